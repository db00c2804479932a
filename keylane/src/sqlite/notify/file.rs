//! The outbox's file: opened, created or refused.

use std::path::Path;

use keylane_core::notify::OutboxError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::Fault;
use crate::own_file::{BUSY_WAIT, close_to_others, retried};

/// "KNot": tells an outbox from any other SQLite file.
const APPLICATION_ID: i64 = 0x4b4e_6f74;
const FORMAT_VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE subjects (
  pipeline TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  standing TEXT NOT NULL,
  flapping INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  PRIMARY KEY (pipeline, kind, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  channel TEXT NOT NULL,
  id TEXT NOT NULL,
  subject TEXT NOT NULL,
  message TEXT NOT NULL,
  made_us INTEGER NOT NULL,
  folded INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  begun INTEGER NOT NULL DEFAULT 0,
  doubtful INTEGER NOT NULL DEFAULT 0,
  not_before_us INTEGER NOT NULL DEFAULT 0,
  refused INTEGER NOT NULL DEFAULT 0,
  why TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX outbox_of_channel ON outbox (channel, refused, number);
CREATE TABLE channels (
  channel TEXT PRIMARY KEY,
  not_before_us INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  taken INTEGER NOT NULL DEFAULT 0,
  folded INTEGER NOT NULL DEFAULT 0,
  why TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE identity (id TEXT NOT NULL) STRICT;
INSERT INTO identity VALUES (lower(hex(randomblob(6))));
";

/// Opens the file; creates it, and its folder, where there is none.
pub(super) fn connect(path: &Path) -> Result<Connection, OutboxError> {
    if let Some(folder) = path.parent() {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|error| OutboxError(format!("{}: {error}", folder.display())))?;
    }
    close_to_others(path);
    connect_raw(path).map_err(|fault| fault.explain(path))
}

fn connect_raw(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    retried(|| connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())))?;
    connection.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=4194304; PRAGMA cache_size=-1024;",
    )?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |pragma| transaction.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let format = (
        number("PRAGMA application_id")?,
        number("PRAGMA user_version")?,
    );
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match format {
        (APPLICATION_ID, FORMAT_VERSION) => {}
        (0, 0) if tables == 0 => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", FORMAT_VERSION)?;
        }
        (APPLICATION_ID, version) => {
            return Err(Fault::Unreadable(format!("format {version}")));
        }
        _ => return Err(Fault::Unreadable("another program's tables".to_owned())),
    }
    transaction.commit()?;
    Ok(connection)
}
