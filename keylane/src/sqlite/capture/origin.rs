//! The origin: what the port asks for, handed to the session's thread.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::capture::{
    ChunkRequest, Opened, Origin, OriginError, OriginEvent, OutboxRow, RefusedRow,
};
use keylane_core::model::TableSchema;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::session::Session;
use crate::own_thread::{OwnThread, ThreadGone};

/// The pause between two looks: short while changes come, longer while none do.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(25);

/// What to capture.
#[derive(Clone, Debug)]
pub struct SqliteOriginOptions {
    /// The database file. It is never created.
    pub path: PathBuf,
    /// The tables, by name; `None` for all plain tables.
    pub tables: Option<Vec<String>>,
    /// Outbox tables, by name: of these only what is inserted is told, and what stood in them when they were first captured.
    pub outboxes: Vec<String>,
    /// Order keys other than the row key, by table: column names.
    pub order_keys: BTreeMap<String, Vec<String>>,
    /// The identity that the file had when it was captured before; another one is refused as lost.
    pub expected_identity: Option<String>,
}

impl SqliteOriginOptions {
    /// All plain tables of a file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        SqliteOriginOptions {
            path: path.into(),
            tables: None,
            outboxes: Vec::new(),
            order_keys: BTreeMap::new(),
            expected_identity: None,
        }
    }

    /// Whether a table is an outbox.
    pub(super) fn is_outbox(&self, table: &str) -> bool {
        let mut outboxes = self.outboxes.iter();
        outboxes.any(|outbox| outbox.eq_ignore_ascii_case(table))
    }
}

type Events = Result<Vec<OriginEvent>, OriginError>;

/// A SQLite file whose changes are captured by triggers.
pub struct SqliteOrigin {
    session: OwnThread<Session>,
    /// What the thread was asked for last and did not tell yet: a dropped `next` loses nothing.
    asked: Option<oneshot::Receiver<Events>>,
}

impl SqliteOrigin {
    /// Opens the file, without taking it yet.
    ///
    /// # Errors
    /// `Unreachable` if it is not there, `Refused` if it is not a database.
    pub async fn connect(options: SqliteOriginOptions) -> Result<Self, OriginError> {
        let session = OwnThread::start("sqlite-capture", move || Session::connect(options)).await?;
        Ok(SqliteOrigin {
            session,
            asked: None,
        })
    }
}

#[async_trait]
impl Origin for SqliteOrigin {
    async fn tables(&mut self) -> Result<Vec<Arc<TableSchema>>, OriginError> {
        self.session.call(Session::tables).await?
    }

    async fn open(&mut self) -> Result<Opened, OriginError> {
        self.asked = None;
        self.session.call(Session::open).await?
    }

    async fn next(&mut self, bytes_max: usize) -> Events {
        let mut pause = PAUSE_MIN;
        loop {
            let asked = self
                .asked
                .get_or_insert_with(|| self.session.submit(move |session| session.next(bytes_max)));
            let answer = asked.await;
            self.asked = None;
            let events = answer.map_err(|_| ThreadGone)??;
            if !events.is_empty() {
                return Ok(events);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn confirm(&mut self, up_to: u64) -> Result<(), OriginError> {
        self.session
            .call(move |session| session.confirm(up_to))
            .await?
    }

    async fn request_chunk(&mut self, request: ChunkRequest) -> Result<(), OriginError> {
        self.session
            .call(move |session| session.request_chunk(&request))
            .await?
    }

    async fn park_events(&mut self, rows: &[RefusedRow]) -> Result<(), OriginError> {
        let rows = rows.to_vec();
        self.session
            .call(move |session| session.park_events(&rows))
            .await?
    }

    async fn purge_events(&mut self, rows: &[OutboxRow]) -> Result<(), OriginError> {
        let rows = rows.to_vec();
        self.session
            .call(move |session| session.purge_events(&rows))
            .await?
    }
}
