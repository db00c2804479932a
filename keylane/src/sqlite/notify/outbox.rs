//! The outbox's handle.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use keylane_core::notify::{
    AllTerms, Answered, ChannelFigures, DigestOrder, Due, Kept, Next, Observation, Outbox,
    OutboxError, Taken,
};
use rusqlite::{Connection, TransactionBehavior};

use super::error::Fault;
use super::{file, look, observe, queue};
use crate::own_thread::{OwnThread, ThreadGone};

/// The name of the outbox's file in a state folder.
const FILE: &str = "notify.db";

/// An outbox in a SQLite file.
pub struct SqliteOutbox {
    path: Arc<PathBuf>,
    open: OwnThread<Connection>,
}

struct NotOpened(OutboxError);

impl From<ThreadGone> for NotOpened {
    fn from(gone: ThreadGone) -> Self {
        NotOpened(OutboxError(gone.to_string()))
    }
}

impl SqliteOutbox {
    /// Opens the outbox of a state folder; creates it if it is not there.
    ///
    /// # Errors
    /// If the folder or the file cannot be used.
    pub async fn open(state_dir: &Path) -> Result<Self, OutboxError> {
        let path = Arc::new(state_dir.join(FILE));
        let at = Arc::clone(&path);
        let open = OwnThread::start("outbox", move || file::connect(&at).map_err(NotOpened));
        let open = open.await.map_err(|NotOpened(error)| error)?;
        Ok(SqliteOutbox { path, open })
    }

    /// Whether a state folder has an outbox.
    pub fn is_there(state_dir: &Path) -> bool {
        state_dir.join(FILE).exists()
    }

    /// Asks without a transaction of its own.
    async fn ask<R: Send + 'static>(
        &self,
        body: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, OutboxError> {
        let asked = self.open.call(move |connection| body(connection)).await;
        let answer = asked.map_err(Fault::from).and_then(|answer| answer);
        answer.map_err(|fault| fault.explain(&self.path))
    }

    /// Changes all or nothing.
    async fn change<R: Send + 'static>(
        &self,
        body: impl FnOnce(&Connection) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, OutboxError> {
        let changed = self.open.call(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = body(&transaction)?;
            transaction.commit()?;
            Ok(result)
        });
        let answer = changed.await.map_err(Fault::from).and_then(|answer| answer);
        answer.map_err(|fault: Fault| fault.explain(&self.path))
    }

    /// A look every second must not lock the file for others: nothing there, no transaction.
    async fn begin(&self, channel: String, now_us: i64) -> Result<Next, OutboxError> {
        let asked = channel.clone();
        let waits = self
            .ask(move |connection| queue::waits(connection, &asked))
            .await?;
        if !waits {
            return Ok(Next::Idle);
        }
        self.change(move |connection| queue::next(connection, &channel, now_us))
            .await
    }
}

#[async_trait]
impl Outbox for SqliteOutbox {
    async fn observe(
        &self,
        observations: Vec<Observation>,
        terms: Arc<AllTerms>,
        now_us: i64,
    ) -> Result<Vec<Taken>, OutboxError> {
        self.change(move |connection| observe::observe(connection, &observations, &terms, now_us))
            .await
    }

    async fn digest(
        &self,
        order: DigestOrder,
        terms: Arc<AllTerms>,
        now_us: i64,
    ) -> Result<bool, OutboxError> {
        let asked = order.clone();
        let due = self
            .ask(move |connection| observe::digest_due(connection, &asked, now_us))
            .await?;
        if due == Due::NotYet {
            return Ok(false);
        }
        self.change(move |connection| observe::daily(connection, &order, &terms, now_us))
            .await
    }

    async fn next(&self, channel: &str, now_us: i64) -> Result<Next, OutboxError> {
        self.begin(channel.to_owned(), now_us).await
    }

    async fn answered(&self, channel: &str, answered: Answered) -> Result<(), OutboxError> {
        let channel = channel.to_owned();
        self.change(move |connection| queue::answered(connection, &channel, &answered))
            .await
    }

    async fn figures(&self) -> Result<Vec<ChannelFigures>, OutboxError> {
        self.ask(look::figures).await
    }

    async fn kept(&self) -> Result<Vec<Kept>, OutboxError> {
        self.ask(look::kept).await
    }

    async fn resolve_refused(
        &self,
        channel: Option<&str>,
        discard: bool,
    ) -> Result<u64, OutboxError> {
        let channel = channel.map(str::to_owned);
        self.change(move |connection| look::resolve(connection, channel.as_deref(), discard))
            .await
    }
}
