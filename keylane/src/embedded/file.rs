//! The log's file: opened, created or refused; SQLite's errors in the log's words. No message holds a record's content.

use std::path::PathBuf;

use keylane_core::publish::{LogError, LogErrorKind};
use rusqlite::{Connection, ErrorCode};

use crate::own_file::{NotOurs, OwnFormat, opened};
use crate::own_thread::ThreadGone;

/// "KLog" tells a log from any other SQLite file. Wide pages keep an envelope of 2 KB inside its page.
const FORMAT: OwnFormat = OwnFormat {
    application_id: 0x4b4c_6f67,
    version: 1,
    tables: TABLES,
    pages: "PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL;",
    cache_kib: 8192,
    journal_bytes: 32 << 20,
};

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
        match opened(&self.path, &FORMAT).map_err(|error| self.explain(&error))? {
            Ok(connection) => {
                connection.set_prepared_statement_cache_capacity(32);
                Ok(connection)
            }
            Err(NotOurs::Version(version)) => Err(self.refuse(&format!(
                "has format {version}, this program knows {}: use the program that wrote it",
                FORMAT.version
            ))),
            Err(NotOurs::Other) => {
                Err(self.refuse("is another program's database: name another file for the log"))
            }
        }
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
