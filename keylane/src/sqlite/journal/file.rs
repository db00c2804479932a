//! The journal's file: opened, created or refused.

use std::path::Path;

use rusqlite::Connection;

use super::keep::JournalError;
use crate::own_file::{NotOurs, OwnFormat, opened};

/// "KRec" tells a journal from any other SQLite file.
const FORMAT: OwnFormat = OwnFormat {
    application_id: 0x4b52_6563,
    version: 1,
    tables: TABLES,
    pages: "",
    cache_kib: 2048,
    journal_bytes: 4 << 20,
};

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
    match opened(path, &FORMAT) {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(NotOurs::Version(_) | NotOurs::Other)) => Err(failed(
            "it is not a journal of comparisons, or one of another version; move it away".into(),
        )),
        Err(error) => Err(failed(error.to_string())),
    }
}
