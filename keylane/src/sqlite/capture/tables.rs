//! Which tables there are.

use std::path::Path;

use keylane_core::capture::OriginError;
use rusqlite::{Connection, OpenFlags};

use super::error::from_sqlite;

/// The names of all tables that could be captured. Blocks while it reads the file's schema.
///
/// # Errors
/// If the file cannot be read.
pub fn plain_tables(path: &Path) -> Result<Vec<String>, OriginError> {
    let explain = |cause: rusqlite::Error| from_sqlite(path, &cause);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(explain)?;
    let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'keylane\\_%' ESCAPE '\\' ORDER BY name";
    let mut statement = connection.prepare(sql).map_err(explain)?;
    let names = statement.query_map([], |row| row.get(0)).map_err(explain)?;
    names.collect::<Result<_, _>>().map_err(explain)
}
