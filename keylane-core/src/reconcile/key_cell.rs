//! A key out of the cells that stand for it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::model::Value;

use super::encoded::{EncodedRow, push_cell};
use super::plan::{TablePlan, Told};
use super::port::Key;

/// Types whose binary form is read as a value here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BinaryKey {
    Integer,
    Text,
    Uuid,
}

impl BinaryKey {
    /// By PostgreSQL's name of the type.
    pub(super) fn of(type_name: &str) -> Option<BinaryKey> {
        match type_name.split('(').next().unwrap_or_default() {
            "smallint" | "integer" | "bigint" => Some(BinaryKey::Integer),
            "text" | "character varying" | "name" => Some(BinaryKey::Text),
            "uuid" => Some(BinaryKey::Uuid),
            _ => None,
        }
    }

    fn read(self, cell: &[u8]) -> Option<Value> {
        Some(match self {
            BinaryKey::Integer => {
                let number = match cell.len() {
                    2 => i64::from(i16::from_be_bytes(cell.try_into().ok()?)),
                    4 => i64::from(i32::from_be_bytes(cell.try_into().ok()?)),
                    _ => i64::from_be_bytes(cell.try_into().ok()?),
                };
                Value::number(number.to_string())
            }
            BinaryKey::Text => Value::text(std::str::from_utf8(cell).ok()?),
            BinaryKey::Uuid => {
                let digits = Value::Bytes(cell.into());
                let digits = digits.as_sql_text()?.get(2..)?.to_owned();
                let part = |from: usize, to: usize| digits.get(from..to);
                let (a, b, c) = (part(0, 8)?, part(8, 12)?, part(12, 16)?);
                let (d, e) = (part(16, 20)?, part(20, 32)?);
                Value::text(format!("{a}-{b}-{c}-{d}-{e}"))
            }
        })
    }
}

impl TablePlan {
    /// The key of a row of which these are the first cells; `None` if they are not as planned.
    pub fn key_of(&self, row: &EncodedRow) -> Option<Key> {
        let mut cells = row.cells();
        let columns = self.columns.iter().take(self.key);
        columns
            .map(|column| {
                let cell = cells.next()?;
                match (column.told, cell) {
                    (_, None) => Some(Value::Null),
                    (Told::Binary, Some(cell)) => BinaryKey::of(&column.types.0)?.read(cell),
                    (Told::Text | Told::Trimmed, Some(cell)) => {
                        Some(Value::text(std::str::from_utf8(cell).ok()?))
                    }
                    (Told::Spelt(kind), cell) => kind.read(cell),
                }
            })
            .collect()
    }

    /// [`TablePlan::identity`] of a key as a record's key is written, `{"id":1}`; `None` if it is of other columns.
    pub fn identity_of_text(&self, text: &str) -> Option<Bytes> {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
        let columns = self.columns.iter().take(self.key);
        let key: Option<Key> = columns
            .map(|column| {
                let raw = members.get(&*column.name)?.get();
                Some(match raw {
                    "null" => Value::Null,
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    text if text.starts_with('"') => {
                        Value::text(serde_json::from_str::<String>(text).ok()?)
                    }
                    digits => Value::number(digits),
                })
            })
            .collect();
        key.map(|key| self.identity(&key))
    }

    /// One name for all spellings of a key, by the origin's equality: a key as it was scanned, and as a record of the log tells it.
    pub fn identity(&self, key: &[Value]) -> Bytes {
        let mut identity = Vec::new();
        for (column, value) in self.columns.iter().take(self.key).zip(key) {
            let kind = match column.told {
                Told::Spelt(kind) => kind,
                Told::Binary | Told::Trimmed | Told::Text => column.kinds.0,
            };
            push_cell(&mut identity, kind.spell(value).as_deref());
        }
        identity.into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Engine, SideColumn, SideTable, plan};
    use super::*;
    use crate::model::TableName;

    fn planned(engines: (Engine, Engine), types: (&str, &str)) -> TablePlan {
        let side = |type_name: &str| SideTable {
            name: TableName::new("public", "t"),
            columns: vec![SideColumn {
                name: "k".into(),
                type_name: type_name.into(),
                collation: None,
                generated: false,
            }],
            key: vec!["k".into()],
        };
        plan(engines, &side(types.0), &side(types.1)).expect("a plan")
    }

    fn check(types: (&str, &str), cell: &[u8], expect: Value) {
        let plan = planned((Engine::Postgres, Engine::Postgres), types);
        let mut bytes = Vec::new();
        push_cell(&mut bytes, Some(cell));
        let key = plan.key_of(&EncodedRow(bytes.into()));
        assert_eq!(key, Some(vec![expect]), "{types:?}");
    }

    #[test]
    fn a_key_is_read_out_of_its_cells() {
        check(("smallint", "smallint"), &[0xff, 0xfe], Value::number("-2"));
        check(
            ("bigint", "bigint"),
            &i64::MIN.to_be_bytes(),
            Value::number("-9223372036854775808"),
        );
        check(("text", "text"), "é".as_bytes(), Value::text("é"));
        check(("integer", "bigint"), b"12", Value::number("12"));
        check(("date", "date"), b"2020-01-01", Value::text("2020-01-01"));
        let id = "0190b6d2-7c3e-7000-8000-0123456789ab";
        let bytes: Vec<u8> = (0..16)
            .map(|at| {
                let digits = id.replace('-', "");
                u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).expect("digits")
            })
            .collect();
        check(("uuid", "uuid"), &bytes, Value::text(id));
    }

    #[test]
    fn a_key_has_one_identity_however_it_is_spelt() {
        let same = |types, one: Value, other: Value| {
            let plan = planned((Engine::Postgres, Engine::Postgres), types);
            assert_eq!(plan.identity(&[one]), plan.identity(&[other]), "{types:?}");
        };
        same(
            ("numeric", "numeric"),
            Value::text("1.0"),
            Value::text("1.00"),
        );
        same(
            ("boolean", "boolean"),
            Value::Bool(true),
            Value::text("true"),
        );
        same(
            ("character(5)", "character(5)"),
            Value::text("ab   "),
            Value::text("ab"),
        );
        same(("citext", "citext"), Value::text("Ab"), Value::text("aB"));
        same(("bigint", "bigint"), Value::number("7"), Value::text("7"));
        let plan = planned((Engine::Postgres, Engine::Postgres), ("numeric", "numeric"));
        let of_text = plan.identity_of_text("{\"k\":\"1.50\"}");
        assert_eq!(of_text, Some(plan.identity(&[Value::text("1.5")])));
        assert_eq!(plan.identity_of_text("{\"other\":1}"), None);
    }
}
