//! Row and order keys in canonical form: equal at the origin exactly when equal in bytes.
//!
//! The origin's equality is wider than its text: numeric 1.0 = 1.00, -0 = 0, `char(5)` ignores padding, `citext` ignores case. Two spellings of one
//! key must not go to two partitions, so each key column is brought to one spelling before it is hashed.

use std::sync::Arc;

use super::{Row, TableSchema, Value};

/// A key's canonical text, a JSON object as Debezium writes keys: `{"id":1}`.
pub type KeyText = String;

/// The canonical text of some columns of a row; `None` if one of them is absent from the row.
pub fn key_text(schema: &TableSchema, columns: &[usize], row: &Row) -> Option<KeyText> {
    key_text_as(schema, columns, &[], row)
}

/// As [`key_text`], the columns under other names, as far as there are any: a key of one table in the words of another.
pub fn key_text_as(
    schema: &TableSchema,
    columns: &[usize],
    names: &[Arc<str>],
    row: &Row,
) -> Option<KeyText> {
    let mut text = String::with_capacity(16 * columns.len() + 2);
    text.push('{');
    for (count, index) in columns.iter().enumerate() {
        let (column, value) = (schema.columns.get(*index)?, row.get(*index)?);
        if count > 0 {
            text.push(',');
        }
        json_string(&mut text, names.get(count).unwrap_or(&column.name));
        text.push(':');
        match canonical(&column.type_name, value)? {
            Value::Null | Value::Absent => text.push_str("null"),
            Value::Bool(true) => text.push_str("true"),
            Value::Bool(false) => text.push_str("false"),
            Value::Number(digits) => text.push_str(&digits),
            Value::Text(value) => json_string(&mut text, &value),
            bytes @ Value::Bytes(_) => {
                json_string(&mut text, &bytes.as_sql_text().unwrap_or_default())
            }
        }
    }
    text.push('}');
    Some(text)
}

/// One spelling for all values that the origin calls equal; `None` for an absent value.
pub fn canonical(type_name: &str, value: &Value) -> Option<Value> {
    Some(match value {
        Value::Absent => return None,
        Value::Number(digits) if digits.strip_prefix('-').is_some_and(is_zero) => {
            Value::number(digits.trim_start_matches('-'))
        }
        Value::Text(text) => match bare_type(type_name) {
            "numeric" => Value::text(canonical_decimal(text)),
            "character" | "bpchar" => Value::text(text.trim_end_matches(' ')),
            "citext" => Value::text(text.to_lowercase()),
            _ => value.clone(),
        },
        other => other.clone(),
    })
}

/// A declared type without its modifiers and without the schema that an extension's type is found in (`public.citext`).
fn bare_type(type_name: &str) -> &str {
    let plain = type_name.split('(').next().unwrap_or_default().trim();
    plain.rsplit('.').next().unwrap_or_default()
}

fn is_zero(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|byte| byte == b'0' || byte == b'.')
}

fn canonical_decimal(text: &str) -> String {
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-')
    {
        return text.to_owned(); // NaN, Infinity
    }
    let trimmed = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    if trimmed
        .trim_start_matches('-')
        .bytes()
        .all(|byte| byte == b'0')
    {
        "0".to_owned()
    } else {
        trimmed.to_owned()
    }
}

/// Appends a JSON string. Non-ASCII stays as it is (UTF-8), control characters are escaped.
pub(crate) fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if (control as u32) < 0x20 => {
                out.push_str("\\u00");
                for nibble in [(control as u32) >> 4, (control as u32) & 15] {
                    out.push(char::from_digit(nibble, 16).unwrap_or('0'));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(type_name: &str, left: Value, right: Value, equal: bool) {
        assert_eq!(
            canonical(type_name, &left) == canonical(type_name, &right),
            equal,
            "{type_name}: {left:?} against {right:?}"
        );
    }

    #[test]
    fn spellings_the_origin_calls_equal_have_equal_bytes() {
        check("numeric", Value::text("1.0"), Value::text("1.00"), true);
        check(
            "numeric(10,2)",
            Value::text("-0.00"),
            Value::text("0"),
            true,
        );
        check("numeric", Value::text("100"), Value::text("1"), false);
        check("numeric", Value::text("NaN"), Value::text("NaN"), true);
        check(
            "double precision",
            Value::number("-0"),
            Value::number("0"),
            true,
        );
        check(
            "character(5)",
            Value::text("ab   "),
            Value::text("ab"),
            true,
        );
        check("text", Value::text("ab "), Value::text("ab"), false);
        check("citext", Value::text("Ab"), Value::text("aB"), true);
        check("public.citext", Value::text("Ab"), Value::text("aB"), true);
        check("integer", Value::number("-10"), Value::number("10"), false);
    }
}
