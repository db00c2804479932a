//! From PostgreSQL's text form to values: what JSON can say exactly is told as such, everything else stays text.

use keylane_core::model::Value;

use super::pgoutput::Cell;

/// How a column's text becomes a value; decided by the type below all domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum TextForm {
    /// `t` or `f`.
    Bool,
    /// Always a legal JSON number.
    Integer,
    /// A legal JSON number unless it is infinite or NaN.
    Float,
    /// Anything else.
    Text,
}

impl TextForm {
    /// By the oid of a base type.
    pub(super) fn of(type_oid: u32) -> Self {
        match type_oid {
            16 => TextForm::Bool,
            20 | 21 | 23 | 26 => TextForm::Integer,
            700 | 701 => TextForm::Float,
            _ => TextForm::Text,
        }
    }

    /// The value of a text that PostgreSQL printed.
    pub(in crate::postgres) fn value(self, text: &str) -> Value {
        match self {
            TextForm::Bool if text == "t" => Value::Bool(true),
            TextForm::Bool if text == "f" => Value::Bool(false),
            TextForm::Integer if is_number(text) => Value::number(text),
            TextForm::Float if is_number(text) => Value::number(text),
            _ => Value::text(text),
        }
    }

    /// The value of a cell; an unchanged one is absent.
    pub(super) fn cell(self, cell: Cell<'_>) -> Value {
        match cell {
            Cell::Null => Value::Null,
            Cell::Unchanged => Value::Absent,
            Cell::Text(text) => self.value(text),
        }
    }
}

/// Integers and finite floats begin with a digit after the sign; `NaN` and `Infinity` do not. What PostgreSQL prints then is legal JSON (`1e-05`, `-0`).
fn is_number(text: &str) -> bool {
    text.trim_start_matches('-')
        .starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(type_oid: u32, text: &str, expect: Value) {
        assert_eq!(TextForm::of(type_oid).value(text), expect, "{text}");
    }

    #[test]
    fn what_json_says_exactly_is_told_as_such_and_nothing_else() {
        check(16, "t", Value::Bool(true));
        check(
            20,
            "-9223372036854775808",
            Value::number("-9223372036854775808"),
        );
        check(26, "4000000000", Value::number("4000000000"));
        check(701, "1e-05", Value::number("1e-05"));
        check(701, "-0", Value::number("-0"));
        check(701, "NaN", Value::text("NaN"));
        check(700, "-Infinity", Value::text("-Infinity"));
        check(1700, "1.0", Value::text("1.0"));
        check(25, "1", Value::text("1"));
    }
}
