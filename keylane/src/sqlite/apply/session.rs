//! A connection to the replica on a thread of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::apply::{Applied, ApplyBatch, ApplyError, PartitionLow, ReplicaSession};
use keylane_core::error::ApplyErrorKind;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::from_sqlite;
use super::progress;
use super::statement::Texts;
use super::takers::Takers;
use super::transaction::Transaction;
use crate::envelope::DecodeParked;
use crate::own_thread::OwnThread;

/// How long a transaction waits for another process's one.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// What every connection to one replica shares.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Whether foreign keys are enforced on what is applied.
    pub(super) foreign_keys: bool,
    pub(super) decoder: Arc<dyn DecodeParked>,
    /// Sessions of this process take turns here: waiting for a mutex costs nothing, waiting for the file is polling.
    pub(super) turn: Arc<Mutex<()>>,
}

/// An open connection.
pub(super) struct Open {
    pub(super) place: Place,
    pub(super) connection: Connection,
    texts: Texts,
    takers: Takers,
}

impl Open {
    pub(super) fn connect(place: Place) -> Result<Self, ApplyError> {
        let connection =
            connection(&place).map_err(|cause| from_sqlite(&place.path, None, &cause))?;
        Ok(Open {
            place,
            connection,
            texts: Texts::default(),
            takers: Takers::default(),
        })
    }

    fn apply(&mut self, batch: &ApplyBatch) -> Result<Applied, ApplyError> {
        let turn = Arc::clone(&self.place.turn);
        let _turn = taken(&turn);
        Transaction {
            connection: &self.connection,
            path: &self.place.path,
            texts: &mut self.texts,
            takers: &mut self.takers,
            decoder: &*self.place.decoder,
        }
        .apply(batch)
    }

    /// All of them, or none.
    fn save_low(&mut self, pipeline: &str, lows: &[PartitionLow]) -> Result<(), ApplyError> {
        self.transaction(|connection| {
            for low in lows {
                if !progress::save_low(connection, pipeline, low)? {
                    return Ok(Err(ApplyError::new(
                        ApplyErrorKind::Fenced,
                        format!(
                            "partition {}: another process owns it now, or the file was restored",
                            low.partition
                        ),
                    )));
                }
            }
            Ok(Ok(()))
        })
    }

    /// Runs `body` in one write transaction, committed if it is well.
    pub(super) fn transaction<R>(
        &mut self,
        body: impl FnOnce(&Connection) -> rusqlite::Result<Result<R, ApplyError>>,
    ) -> Result<R, ApplyError> {
        let turn = Arc::clone(&self.place.turn);
        let _turn = taken(&turn);
        let path = self.place.path.clone();
        let explain = |cause: rusqlite::Error| from_sqlite(&path, None, &cause);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(explain)?;
        let result = body(&transaction).map_err(explain)??;
        transaction.commit().map_err(explain)?;
        Ok(result)
    }
}

fn connection(place: &Place) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&place.path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(256);
    let _turn = taken(&place.turn);
    connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
    connection.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA cache_size=-8192; PRAGMA journal_size_limit=33554432;",
    )?;
    connection.pragma_update(None, "foreign_keys", place.foreign_keys)?;
    Ok(connection)
}

/// The turn; who had it last left nothing half done that a new transaction could see.
fn taken(turn: &Mutex<()>) -> MutexGuard<'_, ()> {
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker's session.
pub(super) struct SqliteSession {
    pub(super) open: OwnThread<Open>,
}

#[async_trait]
impl ReplicaSession for SqliteSession {
    async fn apply(&mut self, batch: &ApplyBatch) -> Result<Applied, ApplyError> {
        let batch = batch.clone();
        self.open.call(move |open| open.apply(&batch)).await?
    }

    async fn save_low(&mut self, pipeline: &str, lows: &[PartitionLow]) -> Result<(), ApplyError> {
        let (pipeline, lows) = (pipeline.to_owned(), lows.to_vec());
        self.open
            .call(move |open| open.save_low(&pipeline, &lows))
            .await?
    }
}
