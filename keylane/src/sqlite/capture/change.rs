//! Rows of the change table become events.

use std::path::Path;
use std::sync::Arc;

use keylane_core::capture::{OriginError, OriginErrorKind, OriginEvent};
use keylane_core::model::{Row, TableSchema, Value};
use rusqlite::Connection;

use super::super::cell::value_of;
use super::error::{RESHAPED, error, from_sqlite};
use super::install::Shapes;
use super::triggers::cell_names;

/// A row of the change table, as far as the stream goes on by itself.
pub(super) enum Told {
    /// A change, or a message.
    Event {
        seq: u64,
        at_us: i64,
        event: OriginEvent,
    },
    /// A chunk's place.
    Chunk { seq: u64, at_us: i64, id: u64 },
}

/// What a read found.
pub(super) struct Read {
    pub(super) told: Vec<Told>,
    /// Whether nothing stands behind it.
    pub(super) at_end: bool,
}

/// Reads behind `after`, about `bytes_max` of it, and no further than a chunk's place.
pub(super) fn read(
    connection: &Connection,
    path: &Path,
    shapes: &Shapes,
    cells: usize,
    after: u64,
    bytes_max: usize,
) -> Result<Read, OriginError> {
    let explain = |cause: rusqlite::Error| from_sqlite(path, &cause);
    let sql = format!(
        "SELECT seq, shape, op, at_us, {} FROM keylane_change WHERE seq > ?1 ORDER BY seq",
        cell_names(cells.max(1))
    );
    let mut statement = connection.prepare_cached(&sql).map_err(explain)?;
    let mut rows = statement.query([after]).map_err(explain)?;
    let (mut told, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(explain)? {
        let (next, size) = tell(row, path, shapes)?;
        let stop = matches!(next, Told::Chunk { .. });
        told.push(next);
        bytes += size;
        if stop || bytes >= bytes_max {
            return Ok(Read {
                told,
                at_end: false,
            });
        }
    }
    Ok(Read { told, at_end: true })
}

fn tell(
    row: &rusqlite::Row<'_>,
    path: &Path,
    shapes: &Shapes,
) -> Result<(Told, usize), OriginError> {
    let explain = |cause: rusqlite::Error| from_sqlite(path, &cause);
    let seq: u64 = row.get(0).map_err(explain)?;
    let at_us: i64 = row.get(3).map_err(explain)?;
    let op = row.get_ref(2).map_err(explain)?;
    let op = op.as_str().unwrap_or_default();
    if op == "w" {
        let id = row.get(4).map_err(explain)?;
        return Ok((Told::Chunk { seq, at_us, id }, 0));
    }
    if op == "m" {
        let event = OriginEvent::Message;
        return Ok((Told::Event { seq, at_us, event }, 0));
    }
    let number: i64 = row.get(1).map_err(explain)?;
    let Some(schema) = shapes.by_number.get(&number) else {
        // Of a table that is no longer captured.
        let event = OriginEvent::Message;
        return Ok((Told::Event { seq, at_us, event }, 0));
    };
    let first = cells_of(row, 0, schema).map_err(explain)?;
    let mut size = size_of_row(&first);
    let schema = Arc::clone(schema);
    let event = match op {
        "i" => OriginEvent::Insert {
            schema,
            after: first,
        },
        "d" => OriginEvent::Delete {
            schema,
            before: first,
        },
        "u" => {
            let after = cells_of(row, first.len(), &schema).map_err(explain)?;
            size += size_of_row(&after);
            OriginEvent::Update {
                schema,
                before: Some(first),
                after,
            }
        }
        _ => {
            return Err(error(
                OriginErrorKind::Refused,
                RESHAPED,
                path,
                "the change table holds an operation that this program does not know: it was written by a later version",
            ));
        }
    };
    Ok((Told::Event { seq, at_us, event }, size))
}

fn cells_of(row: &rusqlite::Row<'_>, from: usize, schema: &TableSchema) -> rusqlite::Result<Row> {
    (0..schema.columns.len())
        .map(|index| row.get_ref(4 + from + index).map(value_of))
        .collect()
}

/// Memory that a row holds.
pub(super) fn size_of_row(row: &Row) -> usize {
    64 + row.iter().map(Value::size_bytes).sum::<usize>()
}
