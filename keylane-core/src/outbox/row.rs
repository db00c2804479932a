//! From a row of the outbox table to its event.

use bytes::Bytes;

use super::event::{Event, headers_of};
use super::refusal::{Refusal, RefusalCode};
use super::rules::Rules;
use super::time::rfc3339;
use crate::model::{Row, TableSchema, Value};

/// The columns of an outbox table. Others are left alone.
pub const COLUMNS: [&str; 12] = [
    "seq",
    "id",
    "topic",
    "partition_key",
    "type",
    "source",
    "subject",
    "time",
    "content_type",
    "headers",
    "payload",
    "parked",
];

/// The columns without which a table is no outbox.
const NEEDED: [&str; 6] = ["seq", "id", "topic", "type", "payload", "parked"];

/// What keeps a table from being an outbox, if anything: a column that it lacks, or another key than `seq`.
pub fn fault_of(schema: &TableSchema) -> Option<String> {
    let lacks = |name: &&&str| schema.column_index(name).is_none();
    if let Some(missing) = NEEDED.iter().find(lacks) {
        return Some(format!("it has no column `{missing}`"));
    }
    let seq: Vec<usize> = schema.column_index("seq").into_iter().collect();
    (schema.key != seq).then(|| "its primary key is not `seq`".to_owned())
}

/// Where a row stands in its table, and whether it is to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, the table's key.
    pub seq: i64,
    /// Whether it was found to be unfit before: such a row is left alone.
    pub is_parked: bool,
}

/// Where a row stands; `None` if it has no number, which a table of this shape does not allow.
pub fn place(schema: &TableSchema, row: &Row) -> Option<Place> {
    let seq = match cell(schema, row, "seq")? {
        Value::Number(digits) => digits.parse().ok()?,
        _ => return None,
    };
    let parked = cell(schema, row, "parked");
    let is_parked = !matches!(parked, None | Some(Value::Null | Value::Absent));
    Some(Place { seq, is_parked })
}

impl Event {
    /// The topic that a row names; empty if none.
    pub fn topic_of_row<'a>(schema: &TableSchema, row: &'a Row) -> &'a str {
        match cell(schema, row, "topic") {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// The event of a row.
    ///
    /// # Errors
    /// What keeps it from being published.
    pub fn of_row(schema: &TableSchema, row: &Row, rules: &Rules) -> Result<Event, Refusal> {
        let text = |name: &str| text(cell(schema, row, name));
        let topic = Event::topic_of_row(schema, row);
        rules.allow(topic)?;
        let time = match text("time") {
            None => None,
            Some(time) => Some(rfc3339(&time).ok_or_else(|| {
                let why = "column `time` is neither a timestamp with time zone nor RFC 3339";
                Refusal::new(RefusalCode::BadHeaders, why)
            })?),
        };
        let event = Event {
            topic: topic.into(),
            key: text("partition_key"),
            id: text("id").unwrap_or_default(),
            type_name: text("type").unwrap_or_default(),
            source: text("source").unwrap_or_else(|| rules.source.clone()),
            subject: text("subject"),
            time,
            content_type: text("content_type"),
            headers: match text("headers") {
                Some(json) => headers_of(&json)?,
                None => Vec::new(),
            },
            payload: payload(schema, row),
        };
        event.check()?;
        let size = event.size_bytes();
        if size > rules.event_bytes_max {
            let max = rules.event_bytes_max;
            let why = format!("the event has {size} bytes, at most {max} are published");
            return Err(Refusal::new(RefusalCode::TooLarge, why));
        }
        Ok(event)
    }
}

fn cell<'a>(schema: &TableSchema, row: &'a Row, name: &str) -> Option<&'a Value> {
    row.get(schema.column_index(name)?)
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Null | Value::Absent => None,
        Value::Text(text) | Value::Number(text) => Some(text.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// The payload's bytes: of a `bytea` or a blob as they are, of a text or JSON its UTF-8.
fn payload(schema: &TableSchema, row: &Row) -> Option<Bytes> {
    let index = schema.column_index("payload")?;
    let is_bytea = schema
        .columns
        .get(index)
        .is_some_and(|column| &*column.type_name == "bytea");
    match row.get(index)? {
        Value::Null | Value::Absent => None,
        Value::Bytes(bytes) => Some(Bytes::copy_from_slice(bytes)),
        Value::Bool(yes) => Some(Bytes::from(yes.to_string())),
        Value::Text(text) if is_bytea => Some(hex(text).unwrap_or_else(|| text.to_string().into())),
        Value::Text(text) | Value::Number(text) => Some(Bytes::from(text.to_string())),
    }
}

/// The bytes of PostgreSQL's `\x…`.
fn hex(text: &str) -> Option<Bytes> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let nibble = |digit: u8| (digit as char).to_digit(16);
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(nibble(*high)? * 16 + nibble(*low)?).ok(),
        _ => None,
    };
    pairs
        .map(byte)
        .collect::<Option<Vec<u8>>>()
        .map(Bytes::from)
}

#[cfg(test)]
mod tests;
