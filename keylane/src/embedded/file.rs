//! The log's file: opened, created or refused; SQLite's errors in the log's words. No message holds a record's content.

use std::path::PathBuf;

use keylane_core::publish::{LogError, LogErrorKind};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::own_file::{BUSY_WAIT, close_to_others, retried};
use crate::own_thread::ThreadGone;

/// "KLog": tells a log from any other SQLite file.
const APPLICATION_ID: i64 = 0x4b4c_6f67;
const FORMAT_VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE topics (
  no INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  id TEXT NOT NULL,
  partitions INTEGER NOT NULL
) STRICT;
CREATE TABLE ends (
  topic_no INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  start_offset INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  PRIMARY KEY (topic_no, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE records (
  topic_no INTEGER NOT NULL,
  partition INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  ts INTEGER NOT NULL,
  key BLOB,
  value BLOB,
  keylane TEXT,
  headers TEXT,
  PRIMARY KEY (topic_no, partition, offset)
) STRICT, WITHOUT ROWID;
";

/// Where the file is, and how much of it each connection keeps in memory.
#[derive(Clone, Debug)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
}

impl LogFile {
    /// Opens a connection; creates the log where there is no file.
    pub(super) fn connect(&self) -> Result<Connection, LogError> {
        close_to_others(&self.path);
        self.connect_raw().map_err(|error| self.explain(&error))?
    }

    fn connect_raw(&self) -> rusqlite::Result<Result<Connection, LogError>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.set_prepared_statement_cache_capacity(32);
        // The first two count only while the file is empty. Wide pages keep an envelope of 2 KB inside its page.
        connection.execute_batch(
            "PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA cache_size=-8192;",
        )?;
        retried(|| connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())))?;
        connection.execute_batch(
            "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=33554432; PRAGMA temp_store=MEMORY;",
        )?;
        Ok(match self.format(&connection)? {
            (APPLICATION_ID, FORMAT_VERSION) => Ok(connection),
            (APPLICATION_ID, version) => Err(self.refuse(&format!(
                "has format {version}, this program knows {FORMAT_VERSION}: use the program that wrote it"
            ))),
            (0, 0) if is_empty(&connection)? => match self.create(&connection)? {
                true => Ok(connection),
                false => Err(self.refuse("was made into something else meanwhile")),
            },
            _ => Err(self.refuse("is another program's database: name another file for the log")),
        })
    }

    /// Creates the tables unless another process just did.
    fn create(&self, connection: &Connection) -> rusqlite::Result<bool> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        if is_empty(connection)? {
            connection.execute_batch(TABLES)?;
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
            connection.pragma_update(None, "user_version", FORMAT_VERSION)?;
        }
        connection.execute_batch("COMMIT")?;
        Ok(self.format(connection)? == (APPLICATION_ID, FORMAT_VERSION))
    }

    fn format(&self, connection: &Connection) -> rusqlite::Result<(i64, i64)> {
        let number = |pragma| connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
        Ok((
            number("PRAGMA application_id")?,
            number("PRAGMA user_version")?,
        ))
    }

    fn refuse(&self, why: &str) -> LogError {
        LogError::new(
            LogErrorKind::Other,
            format!("log file {}: {why}", self.path.display()),
        )
    }

    /// An error of SQLite in the log's words.
    pub(super) fn explain(&self, error: &rusqlite::Error) -> LogError {
        let path = self.path.display();
        // What processes share beside the file could not be made larger.
        let no_room_beside = error
            .sqlite_error()
            .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        let (kind, words) = match error.sqlite_error_code() {
            code if code == Some(ErrorCode::DiskFull) || no_room_beside => (
                LogErrorKind::DiskFull,
                "no room left on the device: make room, nothing is lost",
            ),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                LogErrorKind::Unreachable,
                "another process held it for too long",
            ),
            Some(ErrorCode::NotADatabase) => (
                LogErrorKind::Other,
                "is not a log: name another file, or restore it",
            ),
            Some(ErrorCode::DatabaseCorrupt) => (
                LogErrorKind::Other,
                "is damaged: restore it, or move it away and start with a new snapshot",
            ),
            Some(ErrorCode::CannotOpen) => (
                LogErrorKind::Denied,
                "cannot be opened: the folder must exist and be writable",
            ),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                (LogErrorKind::Denied, "may not be written")
            }
            _ => (LogErrorKind::Other, "failed"),
        };
        LogError::new(kind, format!("log file {path}: {words} ({error})"))
    }
}

impl From<ThreadGone> for LogError {
    fn from(gone: ThreadGone) -> Self {
        LogError::new(
            LogErrorKind::SessionOver,
            format!("the embedded log: {gone}"),
        )
    }
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| {
        row.get(0)
    })
}
