//! Chunks: a piece of a table read in one short write transaction together with its place in the change table, so that the read sees every change before
//! that place and none after.
//!
//! A table without a key follows whole: in WAL mode from a second connection, whose snapshot was taken while the write lock was held; in other journal
//! modes, where a reader would hold up the writers, from a temporary copy.

use std::path::Path;
use std::sync::Arc;

use keylane_core::capture::ChunkRequest;
use keylane_core::model::{Row, TableSchema, Value};
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::super::cell::{Bound, value_of};
use super::super::names::{list, quoted, rowid_name};
use super::change::size_of_row;
use super::triggers::NOW_US;

/// A chunk of a table with a key holds no more than this, and at least one row.
const CHUNK_BYTES_MAX: usize = 8 << 20;
const COPY: &str = "keylane_copy";

/// A chunk that waits for the stream to reach its place.
pub(super) struct Placed {
    pub(super) seq: u64,
    pub(super) id: u64,
    pub(super) schema: Arc<TableSchema>,
    pub(super) rows: Rows,
}

/// A chunk's rows.
pub(super) enum Rows {
    /// Read already.
    Read {
        rows: Vec<Row>,
        next_after: Option<Vec<Value>>,
    },
    /// To be read piece by piece.
    Whole(Whole),
}

/// A whole table as it was at the chunk's place.
pub(super) struct Whole {
    /// The second connection; `None` if the rows are in this session's temporary copy.
    snapshot: Option<Connection>,
    rowid: &'static str,
    source: String,
    after: Option<i64>,
    /// Whether its `Begin` was told.
    pub(super) begun: bool,
}

/// Puts the chunk's place into the change table and reads it, or takes its snapshot. Call it inside a write transaction.
pub(super) fn place(
    connection: &Connection,
    path: &Path,
    schema: &Arc<TableSchema>,
    request: &ChunkRequest,
) -> rusqlite::Result<Placed> {
    let rows = if schema.has_key() {
        keyed(connection, schema, request)?
    } else {
        Rows::Whole(Whole::take(connection, path, schema)?)
    };
    let seq = connection.query_row(
        &format!(
            "INSERT INTO keylane_change (op, at_us, v0) VALUES ('w', {NOW_US}, ?1) RETURNING seq"
        ),
        [request.id],
        |row| row.get(0),
    )?;
    Ok(Placed {
        seq,
        id: request.id,
        schema: Arc::clone(schema),
        rows,
    })
}

fn keyed(
    connection: &Connection,
    schema: &TableSchema,
    request: &ChunkRequest,
) -> rusqlite::Result<Rows> {
    let names = || schema.columns.iter().map(|column| &*column.name);
    let keys = list(
        schema
            .key
            .iter()
            .filter_map(|place| schema.columns.get(*place))
            .map(|column| &*column.name),
    );
    let after = request.after.as_deref().unwrap_or_default();
    let behind = if after.is_empty() {
        String::new()
    } else {
        let marks = vec!["?"; after.len()].join(", ");
        format!("WHERE ({keys}) > ({marks})")
    };
    let sql = format!(
        "SELECT {} FROM main.{} {behind} ORDER BY {keys} LIMIT {}",
        list(names()),
        quoted(&schema.table.name),
        request.rows_max.max(1)
    );
    let mut statement = connection.prepare(&sql)?;
    let mut found = statement.query(params_from_iter(after.iter().map(Bound)))?;
    let (mut rows, mut bytes): (Vec<Row>, usize) = (Vec::new(), 0);
    let mut full = false;
    while !full && let Some(row) = found.next()? {
        let row = row_of(row, 0, schema)?;
        bytes += size_of_row(&row);
        rows.push(row);
        full = bytes >= CHUNK_BYTES_MAX || rows.len() >= request.rows_max.max(1) as usize;
    }
    let last = rows.last().filter(|_| full);
    let next_after = last.map(|row| {
        let cells = schema.key.iter().filter_map(|place| row.get(*place));
        cells.cloned().collect()
    });
    Ok(Rows::Read { rows, next_after })
}

impl Whole {
    fn take(connection: &Connection, path: &Path, schema: &TableSchema) -> rusqlite::Result<Self> {
        let columns = schema.columns.iter().map(|column| &*column.name);
        let names = list(columns.clone());
        let table = quoted(&schema.table.name);
        let journal: String =
            connection.query_row("PRAGMA main.journal_mode", [], |row| row.get(0))?;
        if journal.eq_ignore_ascii_case("wal") {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let snapshot = Connection::open_with_flags(path, flags)?;
            snapshot.execute_batch("PRAGMA query_only=ON; BEGIN")?;
            // The first read takes the snapshot. The write lock is held: nothing comes between it and the chunk's place.
            snapshot.query_row("SELECT count(*) FROM keylane_capture", [], |_| Ok(()))?;
            return Ok(Whole {
                snapshot: Some(snapshot),
                // Without a free name the table would have been refused.
                rowid: rowid_name(columns).unwrap_or("rowid"),
                source: format!("SELECT {names} FROM main.{table}"),
                after: None,
                begun: false,
            });
        }
        connection.execute_batch(&format!(
            "DROP TABLE IF EXISTS temp.{COPY}; CREATE TEMP TABLE {COPY} AS SELECT {names} FROM main.{table}"
        ))?;
        Ok(Whole {
            snapshot: None,
            rowid: rowid_name(columns).unwrap_or("rowid"),
            source: format!("SELECT {names} FROM temp.{COPY}"),
            after: None,
            begun: false,
        })
    }

    /// The next rows, about `bytes_max` of them, and whether more stand behind them.
    pub(super) fn piece(
        &mut self,
        own: &Connection,
        schema: &TableSchema,
        bytes_max: usize,
    ) -> rusqlite::Result<(Vec<Row>, bool)> {
        let connection = self.snapshot.as_ref().unwrap_or(own);
        let rowid = self.rowid;
        let sql = self
            .source
            .replacen("SELECT ", &format!("SELECT {rowid}, "), 1);
        let mut statement = connection.prepare_cached(&format!(
            "{sql} WHERE ?1 IS NULL OR {rowid} > ?1 ORDER BY {rowid}"
        ))?;
        let mut found = statement.query([self.after])?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = found.next()? {
            if bytes >= bytes_max {
                return Ok((rows, true));
            }
            self.after = Some(row.get(0)?);
            let row = row_of(row, 1, schema)?;
            bytes += size_of_row(&row);
            rows.push(row);
        }
        Ok((rows, false))
    }

    /// Lets the snapshot or the copy go.
    pub(super) fn finish(self, own: &Connection) -> rusqlite::Result<()> {
        if self.snapshot.is_none() {
            own.execute_batch(&format!("DROP TABLE IF EXISTS temp.{COPY}"))?;
        }
        Ok(())
    }
}

fn row_of(row: &rusqlite::Row<'_>, from: usize, schema: &TableSchema) -> rusqlite::Result<Row> {
    (0..schema.columns.len())
        .map(|index| row.get_ref(from + index).map(value_of))
        .collect()
}
