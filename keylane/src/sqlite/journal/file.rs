//! The journal's file: opened, created or refused.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::keep::JournalError;
use crate::own_file::{BUSY_WAIT, close_to_others, retried};

/// "KRec": tells a journal from any other SQLite file.
const APPLICATION_ID: i64 = 0x4b52_6563;
const FORMAT_VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE runs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL UNIQUE,
  pipeline TEXT,
  origin TEXT NOT NULL,
  replica TEXT NOT NULL,
  filter TEXT,
  scheduled INTEGER NOT NULL,
  begun_us INTEGER NOT NULL,
  gone_on_us INTEGER NOT NULL,
  ended_us INTEGER,
  state TEXT NOT NULL,
  why TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE tables (
  run TEXT NOT NULL,
  place INTEGER NOT NULL,
  name TEXT NOT NULL,
  columns TEXT NOT NULL DEFAULT '[]',
  key INTEGER NOT NULL DEFAULT 0,
  figures TEXT,
  after TEXT,
  state TEXT NOT NULL,
  verdict TEXT NOT NULL DEFAULT '',
  why TEXT NOT NULL DEFAULT '',
  took_ms INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE findings (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL,
  name TEXT NOT NULL,
  identity BLOB NOT NULL,
  key TEXT NOT NULL,
  kind TEXT NOT NULL,
  columns TEXT NOT NULL,
  origin TEXT,
  replica TEXT,
  first_seen_us INTEGER NOT NULL,
  proved_us INTEGER NOT NULL,
  proof TEXT NOT NULL,
  counts INTEGER NOT NULL DEFAULT 0,
  repair TEXT NOT NULL DEFAULT '',
  repair_why TEXT NOT NULL DEFAULT '',
  repaired_us INTEGER,
  before_image TEXT,
  after_image TEXT,
  UNIQUE (run, name, identity)
) STRICT;
";

/// Opens the file; creates it, and its folder, where there is none.
pub(super) fn connect(path: &Path) -> Result<Connection, JournalError> {
    let failed = |why: String| JournalError(format!("{}: {why}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
    }
    close_to_others(path);
    match connect_raw(path) {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => Err(failed(
            "it is not a journal of comparisons, or one of another version; move it away".into(),
        )),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn connect_raw(path: &Path) -> rusqlite::Result<Option<Connection>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    retried(|| connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())))?;
    connection.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=4194304; PRAGMA cache_size=-2048;",
    )?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |pragma| transaction.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let format = (
        number("PRAGMA application_id")?,
        number("PRAGMA user_version")?,
    );
    match format {
        (APPLICATION_ID, FORMAT_VERSION) => {}
        (0, 0) if number("SELECT count(*) FROM sqlite_schema")? == 0 => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", FORMAT_VERSION)?;
        }
        _ => return Ok(None),
    }
    transaction.commit()?;
    Ok(Some(connection))
}
