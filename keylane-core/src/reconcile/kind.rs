//! What a column's values mean, by the type that its database declares: what decides when two spellings are one value.

use std::borrow::Cow;

use crate::model::Value;

use super::decimal::Decimal;
use super::plan::Engine;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// Whole numbers.
    Integer,
    /// Numbers by their digits; with the digits behind the point that the column keeps, if it is bounded.
    Decimal(Option<u16>),
    /// Floating point of 32 bits.
    Float32,
    /// Floating point of 64 bits.
    Float64,
    /// Text, byte by byte.
    Text,
    /// Text whose blanks at the end say nothing (`char(n)`).
    Padded,
    /// Text whose case says nothing (`citext`).
    Caseless,
    /// Bytes.
    Bytes,
    /// 16 bytes, in hexadecimal digits of either case.
    Uuid,
    /// JSON of which the database keeps the meaning, not the text.
    JsonMeaning,
    /// A moment of a calendar, with the digits of a second's fraction that the column keeps; with a zone if it tells one.
    Timestamp {
        /// Digits behind the second.
        digits: u16,
        /// Whether it is an instant.
        zoned: bool,
    },
    /// What each cell's own class says (a SQLite column).
    AsStored,
    /// Anything else, by its text.
    Other,
}

/// Digits that PostgreSQL keeps of a second's fraction.
const FRACTION_DIGITS: u16 = 6;

impl Kind {
    /// By a declared type in the database's own words, the base type of a domain.
    pub fn of(engine: Engine, type_name: &str) -> Kind {
        match engine {
            Engine::Sqlite => Kind::AsStored,
            Engine::Postgres => Kind::of_postgres(type_name),
        }
    }

    fn of_postgres(type_name: &str) -> Kind {
        let (name, modifiers) = match type_name.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.split_once(')').unwrap_or((rest, ""))),
            None => (type_name.trim(), ("", "")),
        };
        let (inside, behind) = modifiers;
        let number = |at: usize| inside.split(',').nth(at)?.trim().parse::<i32>().ok();
        let digits = || {
            number(0)
                .and_then(|digits| u16::try_from(digits).ok())
                .unwrap_or(FRACTION_DIGITS)
        };
        let array = type_name.ends_with("[]");
        match name.rsplit('.').next().unwrap_or_default() {
            _ if array => Kind::Other,
            "boolean" => Kind::Boolean,
            "smallint" | "integer" | "bigint" | "oid" => Kind::Integer,
            "numeric" if inside.is_empty() => Kind::Decimal(None),
            // A scale below zero rounds before the point: left to the text.
            "numeric" => Kind::Decimal(u16::try_from(number(1).unwrap_or(0)).ok()),
            "real" => Kind::Float32,
            "double precision" => Kind::Float64,
            "text" | "character varying" | "name" => Kind::Text,
            "character" | "bpchar" => Kind::Padded,
            "citext" => Kind::Caseless,
            "bytea" => Kind::Bytes,
            "uuid" => Kind::Uuid,
            "jsonb" => Kind::JsonMeaning,
            "timestamp without time zone" => Kind::Timestamp {
                digits: FRACTION_DIGITS,
                zoned: false,
            },
            "timestamp with time zone" => Kind::Timestamp {
                digits: FRACTION_DIGITS,
                zoned: true,
            },
            "timestamp" => Kind::Timestamp {
                digits: digits(),
                zoned: behind.trim() == "with time zone",
            },
            _ => Kind::Other,
        }
    }

    /// A value in one spelling: two that are spelt alike are one value by [`sameness`](super::sameness); two that are not may be one, still. `None` for NULL.
    pub fn spell(self, value: &Value) -> Option<Vec<u8>> {
        let text = value.as_sql_text()?;
        Some(match self {
            Kind::AsStored => return Some(stored(value, &text)),
            Kind::Boolean => match &*text {
                "t" | "true" => b"1".to_vec(),
                "f" | "false" => b"0".to_vec(),
                other => other.as_bytes().to_vec(),
            },
            kind if kind.is_number() => spelt_number(&text).into_bytes(),
            Kind::Padded => text.trim_end_matches(' ').as_bytes().to_vec(),
            Kind::Caseless => text.to_lowercase().into_bytes(),
            Kind::Uuid => text.to_ascii_lowercase().into_bytes(),
            _ => text.into_owned().into_bytes(),
        })
    }

    /// The value that is spelt so.
    pub(super) fn read(self, spelt: Option<&[u8]>) -> Option<Value> {
        let Some(spelt) = spelt else {
            return Some(Value::Null);
        };
        let text = || std::str::from_utf8(spelt).ok();
        Some(match self {
            Kind::AsStored => {
                let (class, rest) = spelt.split_first()?;
                let text = || std::str::from_utf8(rest).ok();
                match class {
                    b'n' => Value::number(text()?),
                    b't' => Value::text(text()?),
                    _ => Value::Bytes(rest.into()),
                }
            }
            Kind::Boolean => Value::number(text()?),
            kind if kind.is_number() => Value::number(text()?),
            _ => Value::text(text()?),
        })
    }

    /// Whether its values are numbers.
    pub(super) fn is_number(self) -> bool {
        matches!(
            self,
            Kind::Integer | Kind::Decimal(_) | Kind::Float32 | Kind::Float64
        )
    }
}

/// The class first: 1, '1' and x'31' are three values.
fn stored(value: &Value, text: &str) -> Vec<u8> {
    let (class, rest) = match value {
        Value::Number(digits) => (b'n', Cow::Owned(spelt_number(digits).into_bytes())),
        Value::Bytes(bytes) => (b'b', Cow::Borrowed(&**bytes)),
        _ => (b't', Cow::Borrowed(text.as_bytes())),
    };
    std::iter::once(class).chain(rest.iter().copied()).collect()
}

fn spelt_number(text: &str) -> String {
    Decimal::read(text).map_or_else(|| text.to_owned(), |number| number.spelt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_cells_class_is_part_of_its_spelling_and_it_reads_back() {
        let cells = [
            Value::number("1"),
            Value::text("1"),
            Value::Bytes(Box::from(*b"1")),
            Value::Null,
            Value::text(""),
        ];
        let spelt: Vec<_> = cells.iter().map(|it| Kind::AsStored.spell(it)).collect();
        for (at, (cell, one)) in cells.iter().zip(&spelt).enumerate() {
            assert_eq!(Kind::AsStored.read(one.as_deref()).as_ref(), Some(cell));
            assert_eq!(spelt.iter().position(|other| other == one), Some(at));
        }
    }

    #[test]
    fn a_declared_type_says_what_its_values_mean() {
        let stamp = |digits, zoned| Kind::Timestamp { digits, zoned };
        for (type_name, expect) in [
            ("integer", Kind::Integer),
            ("numeric", Kind::Decimal(None)),
            ("numeric(10,2)", Kind::Decimal(Some(2))),
            ("numeric(10)", Kind::Decimal(Some(0))),
            ("character varying(20)", Kind::Text),
            ("character(5)", Kind::Padded),
            ("public.citext", Kind::Caseless),
            ("timestamp without time zone", stamp(6, false)),
            ("timestamp(3) with time zone", stamp(3, true)),
            ("timestamp(0) without time zone", stamp(0, false)),
            ("integer[]", Kind::Other),
            ("numeric(10,2)[]", Kind::Other),
            ("int4range", Kind::Other),
            ("json", Kind::Other),
        ] {
            assert_eq!(Kind::of(Engine::Postgres, type_name), expect, "{type_name}");
        }
        assert_eq!(Kind::of(Engine::Sqlite, "INTEGER"), Kind::AsStored);
    }
}
