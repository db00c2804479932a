//! A column's value in lossless text.
//!
//! Text, not typed: the databases print every value of every type (extensions, domains, ranges, infinities, 131,072-digit numerics) in a form
//! they read back exactly, so text loses nothing and needs no type map. Only what JSON can say exactly is kept apart (numbers, booleans), because
//! readers of the topics expect `{"id": 1}` and SQLite tells 1 from '1'.

/// One column's value as the origin printed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// Not carried by this change: an unchanged out-of-line value (TOAST), or a column outside the replica identity. Never means NULL.
    Absent,
    /// A boolean.
    Bool(bool),
    /// A number in the origin's own digits, always a legal JSON number (`1`, `-0`, `1e+308`); never rounded through a float.
    Number(Box<str>),
    /// Any other value in the origin's text form.
    Text(Box<str>),
    /// Bytes that are not text (SQLite BLOB).
    Bytes(Box<[u8]>),
}

impl Value {
    /// A text value.
    pub fn text(text: impl Into<Box<str>>) -> Self {
        Value::Text(text.into())
    }

    /// A number, from digits that are a legal JSON number.
    pub fn number(digits: impl Into<Box<str>>) -> Self {
        Value::Number(digits.into())
    }

    /// Whether the change carries this column at all.
    pub fn is_present(&self) -> bool {
        !matches!(self, Value::Absent)
    }

    /// The text form that a database reads back (`t`/`f` for booleans, `\x…` for bytes); `None` for NULL and for an absent value.
    pub fn as_sql_text(&self) -> Option<std::borrow::Cow<'_, str>> {
        use std::borrow::Cow;
        match self {
            Value::Null | Value::Absent => None,
            Value::Bool(true) => Some(Cow::Borrowed("t")),
            Value::Bool(false) => Some(Cow::Borrowed("f")),
            Value::Number(text) | Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Bytes(bytes) => {
                let mut hex = String::with_capacity(2 + bytes.len() * 2);
                hex.push_str("\\x");
                for byte in bytes.iter() {
                    for nibble in [byte >> 4, byte & 15] {
                        hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
                    }
                }
                Some(Cow::Owned(hex))
            }
        }
    }

    /// Memory this value holds, for byte budgets.
    pub fn size_bytes(&self) -> usize {
        size_of::<Value>()
            + match self {
                Value::Null | Value::Absent | Value::Bool(_) => 0,
                Value::Number(text) | Value::Text(text) => text.len(),
                Value::Bytes(bytes) => bytes.len(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn bytes_print_as_hex_that_a_database_reads_back() {
        let value = Value::Bytes(Box::from([0u8, 255, 16]));
        assert_eq!(value.as_sql_text().as_deref(), Some("\\x00ff10"));
    }

    #[test]
    fn absent_is_not_null() {
        assert_ne!(Value::Absent, Value::Null);
        assert!(!Value::Absent.is_present());
        assert!(Value::Null.is_present());
    }
}
