//! A settle marker: a row of the change table that means nothing, and whose place in the stream says what came before it.

use std::path::Path;
use std::time::Duration;

use keylane_core::capture::{OriginError, OriginErrorKind};
use rusqlite::{Connection, OpenFlags};

use super::error::{TRIGGERS_GONE, error, from_sqlite};
use super::triggers::NOW_US;

/// Writes a marker into the origin; returns its commit place. Everything committed before this call stands before it.
///
/// Blocks for as long as another writer holds the file, at most 10 s.
///
/// # Errors
/// If the file cannot be opened or written, or was never captured.
pub fn emit_settle_marker(path: &Path) -> Result<u64, OriginError> {
    let explain = |cause: rusqlite::Error| from_sqlite(path, &cause);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(explain)?;
    connection
        .busy_timeout(Duration::from_secs(10))
        .map_err(explain)?;
    let captured = connection
        .table_exists(None, "keylane_change")
        .map_err(explain)?;
    if !captured {
        return Err(error(
            OriginErrorKind::Refused,
            TRIGGERS_GONE,
            path,
            "it was never captured: start the capture first",
        ));
    }
    let sql =
        format!("INSERT INTO keylane_change (op, at_us) VALUES ('m', {NOW_US}) RETURNING seq");
    connection
        .query_row(&sql, [], |row| row.get(0))
        .map_err(explain)
}
