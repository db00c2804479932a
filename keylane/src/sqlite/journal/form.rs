//! How values and figures are written down: as JSON, in which 1, '1' and x'31' are three.

use std::collections::BTreeMap;

use keylane_core::model::{Row, Value};
use keylane_core::reconcile::{Figures, Key};
use serde::{Deserialize, Serialize};

/// A value.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
enum Form {
    Null(()),
    Bool(bool),
    Text(String),
    Other(Other),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Other {
    /// Digits.
    Number(String),
    /// Hexadecimal.
    Bytes(String),
    /// Not carried; always true, so that it is no text.
    Absent(bool),
}

fn form(value: &Value) -> Form {
    match value {
        Value::Null => Form::Null(()),
        Value::Absent => Form::Other(Other::Absent(true)),
        Value::Bool(truth) => Form::Bool(*truth),
        Value::Number(digits) => Form::Other(Other::Number(digits.to_string())),
        Value::Text(text) => Form::Text(text.to_string()),
        Value::Bytes(_) => {
            let hex = value.as_sql_text().unwrap_or_default();
            Form::Other(Other::Bytes(hex.trim_start_matches("\\x").to_owned()))
        }
    }
}

fn value(form: Form) -> Option<Value> {
    Some(match form {
        Form::Null(()) => Value::Null,
        Form::Bool(truth) => Value::Bool(truth),
        Form::Text(text) => Value::text(text),
        Form::Other(Other::Absent(_)) => Value::Absent,
        Form::Other(Other::Number(digits)) => Value::number(digits),
        Form::Other(Other::Bytes(hex)) => {
            let pairs = (0..hex.len()).step_by(2);
            let bytes: Option<Vec<u8>> = pairs
                .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
                .collect();
            Value::Bytes(bytes?.into())
        }
    })
}

/// A row or a key.
pub(super) fn written(row: &[Value]) -> String {
    let forms: Vec<Form> = row.iter().map(form).collect();
    serde_json::to_string(&forms).unwrap_or_default()
}

/// As [`written`]; `None` for what it never wrote.
pub(super) fn read(text: &str) -> Option<Row> {
    let forms: Vec<Form> = serde_json::from_str(text).ok()?;
    forms.into_iter().map(value).collect()
}

/// A key, as [`read`].
pub(super) fn read_key(text: &str) -> Option<Key> {
    read(text)
}

/// Names.
pub(super) fn written_names<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|it| it.as_ref().to_owned()).collect();
    serde_json::to_string(&names).unwrap_or_default()
}

pub(super) fn read_names(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// [`Figures`] as they are written, field by field.
#[derive(Deserialize, Serialize)]
#[serde(remote = "Figures")]
struct FiguresForm {
    rows_origin: u64,
    rows_replica: u64,
    chunks: u64,
    #[serde(default)]
    summed: u64,
    missing: u64,
    extra: u64,
    different: u64,
    settling: u64,
    hot: u64,
    unproved: u64,
    columns: BTreeMap<usize, u64>,
    lossy: BTreeMap<usize, u64>,
    unrepresentable: BTreeMap<usize, u64>,
}

pub(super) fn written_figures(figures: &Figures) -> String {
    let mut json = Vec::new();
    let written = FiguresForm::serialize(figures, &mut serde_json::Serializer::new(&mut json));
    written.expect("numbers are written into memory");
    String::from_utf8(json).expect("JSON is text")
}

pub(super) fn read_figures(text: &str) -> Option<Figures> {
    FiguresForm::deserialize(&mut serde_json::Deserializer::from_str(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_figures_read_back_as_they_were() {
        let row = vec![
            Value::Null,
            Value::Absent,
            Value::Bool(true),
            Value::number("-1.50e300"),
            Value::number("1"),
            Value::text("1"),
            Value::text("null"),
            Value::text("absent"),
            Value::Bytes(Box::from([0, 255])),
        ];
        assert_eq!(read(&written(&row)), Some(row));
        assert_eq!(read("[{\"bytes\":\"0\"}]"), None);
        let figures = Figures {
            rows_origin: u64::MAX,
            different: 3,
            columns: [(2, 3)].into(),
            ..Figures::default()
        };
        assert_eq!(read_figures(&written_figures(&figures)), Some(figures));
    }
}
