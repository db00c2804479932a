//! The file, and what one transaction does.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Transaction, params};
use sha2::{Digest as _, Sha256};

use crate::outbox::{Outbox, OutboxError, OutboxEvent};

/// How long a transaction waits for another's.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Keys that one transaction forgets at most: more than come with it, so that the table shrinks.
const FORGOTTEN_MAX: usize = 1_000;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS keylane_accepted (
  topic TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  answer TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (topic, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keylane_accepted_at ON keylane_accepted (at_ms);
";

/// An event that a caller hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The caller's key: of two offers of one key for one topic the first counts.
    pub key: String,
    /// The event.
    pub event: OutboxEvent,
}

/// How an offer was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is durable, and this is its answer.
    Now(String),
    /// It was taken before, and this was answered then.
    Before(String),
    /// Another event was taken under its key.
    OtherEvent,
    /// So many keys are kept that none can be added.
    Full,
}

/// Why an offer was not taken. Whether it was, where a commit failed, its next repeat tells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AcceptError {
    /// What happened, without the event.
    pub message: String,
    /// Whether the event itself is at fault: no repeat will be taken.
    pub is_final: bool,
}

/// How long and how many keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptLimits {
    /// A key is kept for this long.
    pub keys_kept: Duration,
    /// Keys that are kept at most.
    pub keys_max: u64,
}

impl Offer {
    /// What tells this event from another under the same key. Not its id, its time and its trace, which a caller that starts anew may make anew.
    fn fingerprint(&self) -> [u8; 32] {
        let event = &self.event;
        let own: Vec<String> = event
            .headers
            .iter()
            .filter(|(name, _)| !name.starts_with("trace"))
            .map(|(name, text)| format!("{name}={text}"))
            .collect();
        let own = own.join("\n");
        let payload = event.payload.as_deref();
        let parts = [
            Some(event.type_name.as_bytes()),
            event.key.as_deref().map(str::as_bytes),
            event.source.as_deref().map(str::as_bytes),
            event.subject.as_deref().map(str::as_bytes),
            event.content_type.as_deref().map(str::as_bytes),
            Some(own.as_bytes()),
            payload,
        ];
        let mut hash = Sha256::new();
        for part in parts {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        hash.finalize().into()
    }
}

/// The file.
pub(super) struct Store {
    connection: Connection,
    outbox: Outbox,
    limits: AcceptLimits,
    /// Keys that are kept, as far as this process knows.
    keys: u64,
}

impl Store {
    /// Opens the file, and makes it and its tables where they are missing.
    pub(super) fn open(path: &Path, table: &str, limits: AcceptLimits) -> rusqlite::Result<Store> {
        if let Some(folder) = path.parent() {
            // Whatever keeps it from being made, opening the file tells.
            let _ = std::fs::create_dir_all(folder);
        }
        // Its owner's alone: it holds events.
        let _ = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        let outbox = Outbox::named(table);
        connection.execute_batch(TABLES)?;
        connection.execute_batch(&outbox.sqlite_sql())?;
        let mut store = Store {
            connection,
            outbox,
            limits,
            keys: 0,
        };
        store.count()?;
        Ok(store)
    }

    /// Counts anew: other processes add and forget keys too.
    pub(super) fn count(&mut self) -> rusqlite::Result<()> {
        let sql = "SELECT count(*) FROM keylane_accepted";
        self.keys = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(())
    }

    /// Takes these in one transaction. What is told is durable.
    pub(super) fn take(
        &mut self,
        offers: &[Offer],
        now_ms: i64,
    ) -> Result<Vec<Result<Accepted, AcceptError>>, AcceptError> {
        let failed = |error: rusqlite::Error| AcceptError {
            message: format!("the store of events did not take it: {error}"),
            is_final: false,
        };
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(failed)?;
        let kept_ms = i64::try_from(self.limits.keys_kept.as_millis()).unwrap_or(i64::MAX);
        let forgotten = forget(&transaction, now_ms.saturating_sub(kept_ms)).map_err(failed)?;
        let mut keys = self.keys.saturating_sub(forgotten);
        let mut answers = Vec::with_capacity(offers.len());
        for offer in offers {
            let room = keys < self.limits.keys_max;
            let answer = one(&transaction, &self.outbox, offer, now_ms, room);
            if let Err(OneError::Store(error)) = answer {
                return Err(failed(error));
            }
            keys += u64::from(matches!(answer, Ok(Accepted::Now(_))));
            answers.push(answer.map_err(|error| AcceptError {
                message: error.words(),
                is_final: true,
            }));
        }
        transaction.commit().map_err(failed)?;
        self.keys = keys;
        Ok(answers)
    }
}

/// Forgets keys that were kept long enough; how many.
fn forget(transaction: &Transaction<'_>, before_ms: i64) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM keylane_accepted WHERE (topic, key) IN
        (SELECT topic, key FROM keylane_accepted WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)";
    let mut statement = transaction.prepare_cached(sql)?;
    Ok(statement.execute(params![before_ms, FORGOTTEN_MAX])? as u64)
}

enum OneError {
    Store(rusqlite::Error),
    Event(OutboxError),
}

impl OneError {
    fn words(&self) -> String {
        match self {
            OneError::Store(error) => error.to_string(),
            OneError::Event(error) => error.to_string(),
        }
    }
}

fn one(
    transaction: &Transaction<'_>,
    outbox: &Outbox,
    offer: &Offer,
    now_ms: i64,
    room: bool,
) -> Result<Accepted, OneError> {
    let (topic, fingerprint) = (&offer.event.topic, offer.fingerprint());
    let known: Option<(Vec<u8>, String)> = transaction
        .prepare_cached(
            "SELECT fingerprint, answer FROM keylane_accepted WHERE topic = ?1 AND key = ?2",
        )
        .and_then(|mut statement| {
            let found = statement.query_row(params![topic, offer.key], |row| {
                Ok((row.get(0)?, row.get(1)?))
            });
            found.optional()
        })
        .map_err(OneError::Store)?;
    match known {
        Some((taken, answer)) if taken == fingerprint => return Ok(Accepted::Before(answer)),
        Some(_) => return Ok(Accepted::OtherEvent),
        None if !room => return Ok(Accepted::Full),
        None => {}
    }
    let id = outbox
        .put_sqlite(transaction, &offer.event)
        .map_err(|error| match error {
            OutboxError::Sqlite(error) => OneError::Store(error),
            other => OneError::Event(other),
        })?;
    let answer = serde_json::json!({"id": id, "topic": topic}).to_string();
    transaction
        .prepare_cached("INSERT INTO keylane_accepted (topic, key, fingerprint, answer, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)")
        .and_then(|mut statement| {
            statement.execute(params![topic, offer.key, fingerprint.as_slice(), answer, now_ms])
        })
        .map_err(OneError::Store)?;
    Ok(Accepted::Now(answer))
}

/// Whether another's transaction was in the way for too long.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

#[cfg(test)]
mod tests;
