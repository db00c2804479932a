//! One cell: SQLite's storage classes as values of the road, and back, nothing rounded and no class changed.

use keylane_core::model::Value;
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

/// What SQLite reads back as an infinite real; a legal JSON number.
const INFINITE: &str = "9e999";

/// A cell as a value. Text that is not UTF-8 becomes bytes: its bytes are kept, its class is not.
pub(super) fn value_of(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::number(number.to_string()),
        ValueRef::Real(number) => Value::number(real_digits(number)),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::text(text),
            Err(_) => Value::Bytes(bytes.into()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.into()),
    }
}

/// The shortest digits that read back as the same bits, always with `.` or `e`.
fn real_digits(number: f64) -> String {
    if number.is_infinite() {
        let sign = if number < 0.0 { "-" } else { "" };
        return format!("{sign}{INFINITE}");
    }
    format!("{number:?}")
}

/// A value as SQLite binds it. Integers beyond 64 bits are bound as text, which keeps their digits; an absent value as NULL.
pub(super) struct Bound<'a>(pub(super) &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null | Value::Absent => ValueRef::Null,
            Value::Bool(truth) => ValueRef::Integer(i64::from(*truth)),
            Value::Number(digits) => number(digits),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn number(digits: &str) -> ValueRef<'_> {
    let real = digits.contains(['.', 'e', 'E']);
    match (real, digits.parse::<i64>(), digits.parse::<f64>()) {
        (false, Ok(integer), _) => ValueRef::Integer(integer),
        (true, _, Ok(real)) => ValueRef::Real(real),
        _ => ValueRef::Text(digits.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cell: ValueRef<'_>, expect: &Value) {
        let value = value_of(cell);
        assert_eq!(&value, expect);
        let bound = Bound(&value);
        let Ok(ToSqlOutput::Borrowed(back)) = bound.to_sql() else {
            panic!("a value is bound as it is");
        };
        match (back, cell) {
            (ValueRef::Real(back), ValueRef::Real(cell)) => {
                assert_eq!(back.to_bits(), cell.to_bits());
            }
            _ => assert_eq!(back, cell),
        }
    }

    #[test]
    fn every_storage_class_survives_to_the_bit() {
        check(ValueRef::Null, &Value::Null);
        check(
            ValueRef::Integer(i64::MIN),
            &Value::number("-9223372036854775808"),
        );
        check(
            ValueRef::Integer(i64::MAX),
            &Value::number("9223372036854775807"),
        );
        check(ValueRef::Real(1.0), &Value::number("1.0"));
        check(ValueRef::Real(-0.0), &Value::number("-0.0"));
        check(
            ValueRef::Real(0.1 + 0.2),
            &Value::number("0.30000000000000004"),
        );
        check(
            ValueRef::Real(f64::MIN_POSITIVE / 4.0),
            &Value::number("5.562684646268003e-309"),
        );
        check(
            ValueRef::Real(f64::MAX),
            &Value::number("1.7976931348623157e308"),
        );
        check(ValueRef::Real(f64::INFINITY), &Value::number("9e999"));
        check(ValueRef::Real(f64::NEG_INFINITY), &Value::number("-9e999"));
        check(ValueRef::Text(b"1"), &Value::text("1"));
        check(ValueRef::Text(b"a\0b"), &Value::text("a\0b"));
        check(
            ValueRef::Blob(b"1\0\xff"),
            &Value::Bytes(Box::from(*b"1\0\xff")),
        );
    }
}
