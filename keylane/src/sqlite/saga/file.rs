//! The file of the sagas: opened, created or refused. Times are microseconds since 1970; what JSON there is stands as text, exactly as it came.

use std::path::Path;

use keylane_core::saga::{StoreError, StoreErrorKind};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::own_file::{NotOurs, OwnFormat, opened};

/// "KSag" tells the file of sagas from any other SQLite file.
const FORMAT: OwnFormat = OwnFormat {
    application_id: 0x4b53_6167,
    version: 1,
    tables: TABLES,
    pages: "",
    cache_kib: 16 << 10,
    journal_bytes: 16 << 20,
};

const TABLES: &str = "
CREATE TABLE saga_definition (
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  hash INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE saga (
  id TEXT PRIMARY KEY,
  shard INTEGER NOT NULL,
  definition TEXT NOT NULL,
  version INTEGER NOT NULL,
  hash INTEGER NOT NULL,
  key TEXT,
  phase TEXT NOT NULL,
  state TEXT NOT NULL,
  revision INTEGER NOT NULL,
  data TEXT NOT NULL,
  reason TEXT,
  started_us INTEGER NOT NULL,
  updated_us INTEGER NOT NULL,
  deadline_us INTEGER,
  next_us INTEGER,
  step TEXT,
  attempts INTEGER NOT NULL,
  why TEXT
) STRICT;
CREATE INDEX saga_due ON saga (shard, next_us);
CREATE INDEX saga_started ON saga (started_us, id);
CREATE INDEX saga_states ON saga (definition, state);
CREATE TABLE saga_step (
  saga_id TEXT NOT NULL,
  place INTEGER NOT NULL,
  step TEXT NOT NULL,
  participant TEXT NOT NULL,
  status TEXT NOT NULL,
  is_out INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  since_us INTEGER,
  next_us INTEGER,
  stuck INTEGER NOT NULL,
  by_hand INTEGER NOT NULL,
  reply TEXT,
  error TEXT,
  PRIMARY KEY (saga_id, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX saga_step_waiting ON saga_step (participant) WHERE is_out AND tries > 1;
CREATE TABLE saga_key (
  definition TEXT NOT NULL,
  key TEXT NOT NULL,
  saga_id TEXT NOT NULL,
  request INTEGER NOT NULL,
  PRIMARY KEY (definition, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE saga_history (
  id TEXT PRIMARY KEY,
  definition TEXT NOT NULL,
  version INTEGER NOT NULL,
  key TEXT,
  state TEXT NOT NULL,
  started_us INTEGER NOT NULL,
  updated_us INTEGER NOT NULL,
  ended_us INTEGER NOT NULL,
  why TEXT,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX saga_history_ended ON saga_history (ended_us);
CREATE INDEX saga_history_started ON saga_history (started_us, id);
CREATE TABLE saga_log (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  saga_id TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  what TEXT NOT NULL,
  step TEXT,
  attempt INTEGER,
  actor TEXT,
  reason TEXT
) STRICT;
CREATE INDEX saga_log_of ON saga_log (saga_id, number);
CREATE TABLE saga_outbox (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  saga_id TEXT NOT NULL,
  step TEXT NOT NULL,
  shard INTEGER NOT NULL,
  participant TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  command TEXT NOT NULL,
  UNIQUE (saga_id, step)
) STRICT;
CREATE TABLE saga_parked (
  saga_id TEXT NOT NULL,
  step TEXT NOT NULL,
  op TEXT NOT NULL,
  outcome TEXT NOT NULL,
  body TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  PRIMARY KEY (saga_id, step, op)
) STRICT, WITHOUT ROWID;
CREATE TABLE saga_lease (
  shard INTEGER PRIMARY KEY,
  owner TEXT,
  epoch INTEGER NOT NULL DEFAULT 0,
  until_us INTEGER NOT NULL DEFAULT 0
) STRICT;
WITH RECURSIVE shards(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM shards WHERE n < 15) INSERT INTO saga_lease (shard) SELECT n FROM shards;
CREATE TABLE saga_member (owner TEXT PRIMARY KEY, until_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// What came after the first files were made: added to a file that has none of it.
const TRACKS: &str = "
CREATE TABLE IF NOT EXISTS saga_track (
  id TEXT PRIMARY KEY,
  terms INTEGER NOT NULL,
  definition TEXT,
  state TEXT NOT NULL,
  key TEXT,
  started_us INTEGER NOT NULL,
  updated_us INTEGER NOT NULL,
  ended_us INTEGER,
  waits TEXT NOT NULL,
  why TEXT,
  stuck_us INTEGER,
  stuck_step TEXT,
  stuck_why TEXT,
  track TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS saga_track_open ON saga_track (started_us, id) WHERE ended_us IS NULL;
CREATE INDEX IF NOT EXISTS saga_track_started ON saga_track (started_us, id);
CREATE INDEX IF NOT EXISTS saga_track_ended ON saga_track (ended_us);
CREATE INDEX IF NOT EXISTS saga_track_terms ON saga_track (terms);
CREATE TABLE IF NOT EXISTS saga_signal (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  saga_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  topic TEXT NOT NULL,
  shard INTEGER NOT NULL,
  actor TEXT NOT NULL,
  reason TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  partition INTEGER,
  tried_at INTEGER,
  is_sent INTEGER NOT NULL DEFAULT 0,
  UNIQUE (saga_id, kind, topic)
) STRICT;
CREATE INDEX IF NOT EXISTS saga_signal_unsent ON saga_signal (number) WHERE NOT is_sent;
";

/// Opens the file; creates it, and its folder, where there is none.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| StoreError {
            kind: StoreErrorKind::Refused,
            message: format!("the sagas' file: {}: {error}", folder.display()),
        })?;
    }
    let refused = |what: String| StoreError {
        kind: StoreErrorKind::Refused,
        message: format!("the sagas' file {}: {what}", path.display()),
    };
    match opened(path, &FORMAT) {
        Ok(Ok(mut connection)) => {
            add_tracks(&mut connection).map_err(|error| told(path, "opening it", &error))?;
            connection.set_prepared_statement_cache_capacity(64);
            Ok(connection)
        }
        Ok(Err(NotOurs::Version(version))) => Err(refused(format!(
            "it has format {version}, this program knows format {}: run the newer program",
            FORMAT.version
        ))),
        Ok(Err(NotOurs::Other)) => Err(refused("it is another program's".to_owned())),
        Err(error) => Err(told(path, "opening it", &error)),
    }
}

fn add_tracks(connection: &mut Connection) -> rusqlite::Result<()> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'saga_signal_unsent')";
    if connection.query_row(sql, [], |row| row.get(0))? {
        return Ok(());
    }
    let open = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    open.execute_batch(TRACKS)?;
    open.commit()
}

/// An error of SQLite, while `doing`.
pub(super) fn told(path: &Path, doing: &str, error: &rusqlite::Error) -> StoreError {
    let (kind, words) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (StoreErrorKind::Away, "no room left on the device"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            StoreErrorKind::Conflict,
            "another process held it for too long",
        ),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            (StoreErrorKind::Refused, "it is damaged")
        }
        Some(ErrorCode::CannotOpen) => (
            StoreErrorKind::Refused,
            "it cannot be opened: the folder must exist and be writable",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (StoreErrorKind::Refused, "it may not be written")
        }
        Some(ErrorCode::SystemIoFailure) => (StoreErrorKind::Away, "it cannot be read or written"),
        _ => (StoreErrorKind::Refused, "it failed"),
    };
    StoreError {
        kind,
        message: format!(
            "the sagas' file {}, {doing}: {words} ({error})",
            path.display()
        ),
    }
}
