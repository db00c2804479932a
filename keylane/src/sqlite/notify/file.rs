//! The outbox's file: opened, created or refused.

use std::path::Path;

use keylane_core::notify::OutboxError;
use rusqlite::Connection;

use super::error::Fault;
use crate::own_file::{NotOurs, OwnFormat, opened};

/// "KNot" tells an outbox from any other SQLite file.
const FORMAT: OwnFormat = OwnFormat {
    application_id: 0x4b4e_6f74,
    version: 1,
    tables: TABLES,
    pages: "",
    cache_kib: 1024,
    journal_bytes: 4 << 20,
};

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
    let fault = match opened(path, &FORMAT) {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(NotOurs::Version(version))) => Fault::Unreadable(format!("format {version}")),
        Ok(Err(NotOurs::Other)) => Fault::Unreadable("another program's tables".to_owned()),
        Err(error) => Fault::Sqlite(error),
    };
    Err(fault.explain(path))
}
