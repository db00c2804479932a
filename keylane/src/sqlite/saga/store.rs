//! The thread that has the connection, and the ports that it is used by.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use keylane_core::model::Offset;
use keylane_core::saga::{
    Batch, Choreographies, Figures, Filter, Found, KeptDefinition, Lease, Line, Listed,
    NotedSignal, SagaDesk, SagaStore, Shown, Signal, StoreError, StoreErrorKind, Track, TrackStore,
    Tracked, Unsent, Wanted, Written,
};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{commit, desk, file, lease, read, track};
use crate::own_thread::{OwnThread, ThreadGone};
use crate::saga::Unreadable;

/// A SQLite file that keeps sagas; it is made where there is none.
pub struct SqliteSagas {
    path: PathBuf,
    thread: OwnThread<Connection>,
}

impl std::fmt::Debug for SqliteSagas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteSagas")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What went wrong in a transaction, which is rolled back.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    Unreadable(Unreadable),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sqlite(error)
    }
}

impl From<Unreadable> for Fault {
    fn from(what: Unreadable) -> Self {
        Fault::Unreadable(what)
    }
}

/// Why nothing came back from the thread.
enum NotOpened {
    Gone,
    Store(StoreError),
}

impl From<ThreadGone> for NotOpened {
    fn from(_: ThreadGone) -> Self {
        NotOpened::Gone
    }
}

impl SqliteSagas {
    /// Opens the file.
    ///
    /// # Errors
    /// [`StoreError`], if it is not to be used.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let at = path.clone();
        let make = move || file::connect(&at).map_err(NotOpened::Store);
        match OwnThread::start("sagas", make).await {
            Ok(thread) => Ok(SqliteSagas { path, thread }),
            Err(NotOpened::Store(error)) => Err(error),
            Err(NotOpened::Gone) => Err(gone(&path)),
        }
    }

    /// Does something in one transaction that no other writer comes between.
    async fn with<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(doing, TransactionBehavior::Immediate, work).await
    }

    /// Reads something as it stands at one moment, without a wait for who writes.
    async fn look<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(doing, TransactionBehavior::Deferred, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        doing: &'static str,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let job = move |connection: &mut Connection| {
            let open = connection.transaction_with_behavior(behavior)?;
            let done = work(&open)?;
            open.commit()?;
            Ok(done)
        };
        let done: Result<T, Fault> = self.thread.call(job).await.map_err(|_| gone(&self.path))?;
        done.map_err(|fault| match fault {
            Fault::Sqlite(error) => file::told(&self.path, doing, &error),
            Fault::Unreadable(Unreadable(what)) => StoreError {
                kind: StoreErrorKind::Refused,
                message: format!(
                    "the sagas' file {}, {doing}: what is stored means nothing to this version: {what}",
                    self.path.display()
                ),
            },
        })
    }
}

fn gone(path: &Path) -> StoreError {
    StoreError {
        kind: StoreErrorKind::Refused,
        message: format!("the sagas' file {}: {ThreadGone}", path.display()),
    }
}

#[async_trait]
impl SagaStore for SqliteSagas {
    async fn register(&self, definition: &KeptDefinition) -> Result<(), StoreError> {
        let kept = definition.clone();
        let work = move |open: &Transaction<'_>| read::register(open, &kept);
        match self.with("keeping a definition", work).await? {
            true => Ok(()),
            false => Err(definition.is_taken()),
        }
    }

    async fn definitions(&self) -> Result<Vec<KeptDefinition>, StoreError> {
        self.look("reading the definitions", |open| read::definitions(open))
            .await
    }

    async fn lease(&self, owner: &str, hold_ms: u64) -> Result<Vec<Lease>, StoreError> {
        let owner = owner.to_owned();
        self.with("leasing shards", move |open| {
            lease::lease(open, &owner, hold_ms)
        })
        .await
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        let owner = owner.to_owned();
        self.with("giving shards up", move |open| lease::release(open, &owner))
            .await
    }

    async fn read(&self, wanted: &Wanted) -> Result<Found, StoreError> {
        let wanted = wanted.clone();
        self.look("reading sagas", move |open| read::read(open, &wanted))
            .await
    }

    async fn commit(&self, batch: &Batch) -> Result<Vec<Written>, StoreError> {
        let batch = batch.clone();
        self.with("writing sagas", move |open| commit::commit(open, &batch))
            .await
    }

    async fn unsent(
        &self,
        shards: &[u16],
        but_to: &[String],
        limit: usize,
    ) -> Result<Vec<Unsent>, StoreError> {
        let (shards, but_to) = (shards.to_vec(), but_to.to_vec());
        let work = move |open: &Transaction<'_>| commit::unsent(open, &shards, &but_to, limit);
        self.look("reading the outbox", work).await
    }
}

#[async_trait]
impl SagaDesk for SqliteSagas {
    async fn list(&self, filter: &Filter) -> Result<Vec<Listed>, StoreError> {
        let filter = filter.clone();
        self.look("listing sagas", move |open| desk::list(open, &filter))
            .await
    }

    async fn show(&self, id: &str) -> Result<Option<Shown>, StoreError> {
        let id = id.to_owned();
        self.look("reading a saga", move |open| desk::show(open, &id))
            .await
    }

    async fn figures(&self) -> Result<Figures, StoreError> {
        self.look("counting sagas", |open| desk::figures(open))
            .await
    }

    async fn forget(&self, ended_before_us: i64, parked_before_us: i64) -> Result<u64, StoreError> {
        let work =
            move |open: &Transaction<'_>| desk::forget(open, ended_before_us, parked_before_us);
        self.with("forgetting sagas that ended", work).await
    }
}

#[async_trait]
impl TrackStore for SqliteSagas {
    async fn join(
        &self,
        heard: &BTreeMap<String, Track>,
        known: &Choreographies,
    ) -> Result<(), StoreError> {
        let (heard, known) = (heard.clone(), known.clone());
        let work = move |open: &Transaction<'_>| track::join(open, &heard, &known);
        self.with("writing what was heard", work).await
    }

    async fn renew(&self, known: &Choreographies) -> Result<u64, StoreError> {
        let known = known.clone();
        let work = move |open: &Transaction<'_>| track::renew(open, &known);
        self.with("writing by other choreographies", work).await
    }

    async fn tracked(&self, id: &str) -> Result<Option<Tracked>, StoreError> {
        let id = id.to_owned();
        let work = move |open: &Transaction<'_>| track::tracked(open, &id);
        self.look("reading what was heard", work).await
    }

    async fn signal(&self, id: &str, asked: &[Line], told: &[Signal]) -> Result<(), StoreError> {
        let (id, asked, told) = (id.to_owned(), asked.to_vec(), told.to_vec());
        let work = move |open: &Transaction<'_>| track::signal(open, &id, &asked, &told);
        self.with("writing what was asked", work).await
    }

    async fn unsent_signals(
        &self,
        shards: &[u16],
        limit: usize,
    ) -> Result<Vec<NotedSignal>, StoreError> {
        let shards = shards.to_vec();
        let work = move |open: &Transaction<'_>| track::unsent(open, &shards, limit);
        self.look("reading signals", work).await
    }

    async fn try_signal(&self, number: i64, partition: u32, end: Offset) -> Result<(), StoreError> {
        let work = move |open: &Transaction<'_>| track::try_signal(open, number, partition, end);
        self.with("noting a signal", work).await
    }

    async fn signal_sent(&self, number: i64) -> Result<(), StoreError> {
        let work = move |open: &Transaction<'_>| track::sent(open, number);
        self.with("noting a signal", work).await
    }
}
