//! A change as a record's value. The hot path: text is written once, into one buffer of about the right size.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use keylane_core::model::{Change, Op, Row, TableSchema, Value};

use super::SourceInfo;
use super::text::{push_json_string, push_number};

/// Writes a change as a Debezium envelope without embedded schemas.
///
/// Columns that the change does not carry ([`Value::Absent`]) are left out of `before` and `after`: a placeholder text could be a row's own.
pub fn encode_change(change: &Change, source: &SourceInfo) -> Bytes {
    let mut out = Vec::with_capacity(size_estimate(change, source));
    out.extend_from_slice(b"{\"before\":");
    push_row(&mut out, &change.schema, change.before.as_ref());
    out.extend_from_slice(b",\"after\":");
    push_row(&mut out, &change.schema, change.after.as_ref());
    if change.moved_from.is_some() {
        out.extend_from_slice(b",\"moved_from\":");
        push_row(&mut out, &change.schema, change.moved_from.as_ref());
    }
    out.push(b',');
    push_source(&mut out, change, source);
    out.extend_from_slice(b",\"op\":\"");
    out.push(change.op.letter() as u8);
    out.extend_from_slice(b"\",\"ts_ms\":");
    push_number(&mut out, now_ms());
    out.push(b'}');
    Bytes::from(out)
}

fn size_estimate(change: &Change, source: &SourceInfo) -> usize {
    let names: usize = change
        .schema
        .columns
        .iter()
        .map(|column| column.name.len() + 4)
        .sum();
    let row = |row: &Row| -> usize { names + row.iter().map(text_estimate).sum::<usize>() };
    let rows = change
        .before
        .iter()
        .chain(&change.after)
        .chain(&change.moved_from);
    let table = change.schema.table.schema.len() + change.schema.table.name.len();
    source.prefix.len() + table + 320 + rows.map(row).sum::<usize>()
}

fn text_estimate(value: &Value) -> usize {
    match value {
        Value::Absent => 0,
        Value::Null | Value::Bool(_) => 5,
        Value::Number(text) => text.len(),
        Value::Text(text) => text.len() + text.len() / 16 + 2,
        Value::Bytes(bytes) => bytes.len() * 4 / 3 + 20,
    }
}

fn push_row(out: &mut Vec<u8>, schema: &TableSchema, row: Option<&Row>) {
    let Some(row) = row else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'{');
    let mut first = true;
    for (column, value) in schema.columns.iter().zip(row) {
        if !value.is_present() {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        push_json_string(out, &column.name);
        out.push(b':');
        push_value(out, value);
    }
    out.push(b'}');
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null | Value::Absent => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Text(text) => push_json_string(out, text),
        Value::Bytes(bytes) => {
            out.extend_from_slice(b"{\"$bytes\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

fn push_source(out: &mut Vec<u8>, change: &Change, source: &SourceInfo) {
    out.extend_from_slice(&source.prefix);
    out.extend_from_slice(b",\"ts_ms\":");
    push_number(out, change.committed_at_us.div_euclid(1000));
    out.extend_from_slice(b",\"ts_us\":");
    push_number(out, change.committed_at_us);
    out.extend_from_slice(match change.op {
        Op::Read => b",\"snapshot\":\"true\"",
        _ => b",\"snapshot\":\"false\"",
    });
    out.extend_from_slice(b",\"schema\":");
    push_json_string(out, &change.schema.table.schema);
    out.extend_from_slice(b",\"table\":");
    push_json_string(out, &change.schema.table.name);
    out.extend_from_slice(b",\"txId\":");
    push_number(out, change.tx);
    out.extend_from_slice(b",\"lsn\":");
    push_number(out, change.position.commit);
    out.extend_from_slice(b",\"sequence\":\"[\\\"");
    push_number(out, change.position.commit);
    out.extend_from_slice(b"\\\",\\\"");
    push_number(out, change.position.ordinal);
    out.extend_from_slice(b"\\\"]\"}");
}

/// When the record was written. A clock before 1970 says 0.
fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
