//! Connections to the sagas' database, and the ports that they are used by.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::apply::ApplyError;
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::Offset;
use keylane_core::saga::{
    Batch, Choreographies, Figures, Filter, Found, KeptDefinition, Lease, Line, Listed,
    NotedSignal, SagaDesk, SagaStore, Shown, Signal, StoreError, StoreErrorKind, Track, TrackStore,
    Tracked, Unsent, Wanted, Written,
};
use tokio_postgres::{Client, Error, Statement};

use super::tables::TABLES;
use super::{commit, desk, lease, outbox, read, track};
use crate::postgres::connect::{ConnectOptions, connect, redacted};
use crate::postgres::error::{Reached, apply_error};
use crate::saga::Unreadable;

/// The longest that the server lets a transaction of ours stand idle: as long may a process that hangs keep others from its shards.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// The longest that a statement may run, or wait for what another has locked.
const STATEMENT_MAX: Duration = Duration::from_secs(30);

/// Every statement here finds its rows by an index. Sagas come and go: statistics are of tables as they once were, and a plan that was right for an empty one (read all of it) would go on reading what has
/// been deleted since.
const PLANNER: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// A PostgreSQL database that keeps sagas, in tables of its own in schema `keylane`, which are made when they are missing.
pub struct PostgresSagas {
    url: String,
    application_name: String,
    reached: Reached,
    idle: Mutex<Vec<Session>>,
}

impl std::fmt::Debug for PostgresSagas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSagas")
            .field("url", &redacted(&self.url))
            .finish_non_exhaustive()
    }
}

/// A connection and what is prepared in it.
pub(super) struct Session {
    pub(super) client: Client,
    prepared: HashMap<&'static str, Statement>,
}

impl Session {
    /// A statement, prepared once in each connection.
    pub(super) async fn prepared(&mut self, sql: &'static str) -> Result<Statement, Fault> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }
}

/// What went wrong in a transaction, which is rolled back.
#[derive(Debug)]
pub(super) enum Fault {
    Postgres(Error),
    Unreadable(Unreadable),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Postgres(error)
    }
}

impl From<Unreadable> for Fault {
    fn from(what: Unreadable) -> Self {
        Fault::Unreadable(what)
    }
}

impl PostgresSagas {
    /// The database at `postgres://user@host:port/db?sslmode=…`; nothing is asked yet. `application_name` is what connections call themselves in `pg_stat_activity`.
    pub fn new(url: impl Into<String>, application_name: impl Into<String>) -> Self {
        PostgresSagas {
            url: url.into(),
            application_name: application_name.into(),
            reached: Reached::default(),
            idle: Mutex::default(),
        }
    }

    /// Makes the tables that are missing.
    ///
    /// # Errors
    /// [`StoreError`], if the database is away or refuses it.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        let mut session = self.session().await?;
        TABLES.prepare(&mut session.client).await.map_err(told)?;
        self.give(session);
        Ok(())
    }

    async fn session(&self) -> Result<Session, StoreError> {
        loop {
            let idle = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            match idle {
                Some(session) if session.client.is_closed() => {}
                Some(session) => return Ok(session),
                None => break,
            }
        }
        let options = ConnectOptions {
            statement_timeout: Some(STATEMENT_MAX),
            lock_timeout: Some(STATEMENT_MAX),
            idle_in_transaction_timeout: Some(IDLE_MAX),
            settings: PLANNER.map(|(name, value)| (name, value.to_owned())).into(),
            ..ConnectOptions::default()
        };
        let connected = connect(&self.url, &self.application_name, &options).await;
        Ok(Session {
            client: self.reached.heard(connected).map_err(told)?,
            prepared: HashMap::new(),
        })
    }

    /// Gives a session back in which no transaction is open.
    fn give(&self, session: Session) {
        if !session.client.is_closed() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(session);
        }
    }

    /// Does something in a session. After an error, or if the caller goes away, the session is closed: whatever was open in it is rolled back.
    async fn with<T>(
        &self,
        doing: &str,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let mut session = self.session().await?;
        match work(&mut session).await {
            Ok(done) => {
                self.give(session);
                Ok(done)
            }
            Err(Fault::Postgres(error)) => Err(told(apply_error(&error, doing))),
            Err(Fault::Unreadable(Unreadable(what))) => Err(StoreError {
                kind: StoreErrorKind::Refused,
                message: format!("{doing}: what is stored means nothing to this version: {what}"),
            }),
        }
    }
}

fn told(error: ApplyError) -> StoreError {
    let kind = match error.kind {
        ApplyErrorKind::Unreachable | ApplyErrorKind::NoRoom => StoreErrorKind::Away,
        ApplyErrorKind::Conflict => StoreErrorKind::Conflict,
        _ => StoreErrorKind::Refused,
    };
    StoreError {
        kind,
        message: format!("the sagas' database: {}", error.message),
    }
}

#[async_trait]
impl SagaStore for PostgresSagas {
    async fn register(&self, definition: &KeptDefinition) -> Result<(), StoreError> {
        let registered = self
            .with("keeping a definition", async |session| {
                read::register(session, definition).await
            })
            .await?;
        match registered {
            true => Ok(()),
            false => Err(definition.is_taken()),
        }
    }

    async fn definitions(&self) -> Result<Vec<KeptDefinition>, StoreError> {
        self.with("reading the definitions", read::definitions)
            .await
    }

    async fn lease(&self, owner: &str, hold_ms: u64) -> Result<Vec<Lease>, StoreError> {
        let doing = async |session: &mut Session| lease::lease(session, owner, hold_ms).await;
        self.with("leasing shards", doing).await
    }

    async fn release(&self, owner: &str) -> Result<(), StoreError> {
        let doing = async |session: &mut Session| lease::release(session, owner).await;
        self.with("giving shards up", doing).await
    }

    async fn read(&self, wanted: &Wanted) -> Result<Found, StoreError> {
        let doing = async |session: &mut Session| read::read(session, wanted).await;
        self.with("reading sagas", doing).await
    }

    async fn commit(&self, batch: &Batch) -> Result<Vec<Written>, StoreError> {
        let doing = async |session: &mut Session| commit::commit(session, batch).await;
        self.with("writing sagas", doing).await
    }

    async fn unsent(
        &self,
        shards: &[u16],
        but_to: &[String],
        limit: usize,
    ) -> Result<Vec<Unsent>, StoreError> {
        let doing =
            async |session: &mut Session| outbox::unsent(session, shards, but_to, limit).await;
        self.with("reading the outbox", doing).await
    }
}

#[async_trait]
impl SagaDesk for PostgresSagas {
    async fn list(&self, filter: &Filter) -> Result<Vec<Listed>, StoreError> {
        let doing = async |session: &mut Session| desk::list(session, filter).await;
        self.with("listing sagas", doing).await
    }

    async fn show(&self, id: &str) -> Result<Option<Shown>, StoreError> {
        let doing = async |session: &mut Session| desk::show(session, id).await;
        self.with("reading a saga", doing).await
    }

    async fn figures(&self) -> Result<Figures, StoreError> {
        self.with("counting sagas", desk::figures).await
    }

    async fn forget(&self, ended_before_us: i64, parked_before_us: i64) -> Result<u64, StoreError> {
        let doing = async |session: &mut Session| {
            desk::forget(session, ended_before_us, parked_before_us).await
        };
        self.with("forgetting sagas that ended", doing).await
    }
}

#[async_trait]
impl TrackStore for PostgresSagas {
    async fn join(
        &self,
        heard: &BTreeMap<String, Track>,
        known: &Choreographies,
    ) -> Result<(), StoreError> {
        let doing = async |session: &mut Session| track::join(session, heard, known).await;
        self.with("writing what was heard", doing).await
    }

    async fn renew(&self, known: &Choreographies) -> Result<u64, StoreError> {
        let doing = async |session: &mut Session| track::renew(session, known).await;
        self.with("writing by other choreographies", doing).await
    }

    async fn tracked(&self, id: &str) -> Result<Option<Tracked>, StoreError> {
        let doing = async |session: &mut Session| track::tracked(session, id).await;
        self.with("reading what was heard", doing).await
    }

    async fn signal(&self, id: &str, asked: &[Line], told: &[Signal]) -> Result<(), StoreError> {
        let doing = async |session: &mut Session| track::signal(session, id, asked, told).await;
        self.with("writing what was asked", doing).await
    }

    async fn unsent_signals(
        &self,
        shards: &[u16],
        limit: usize,
    ) -> Result<Vec<NotedSignal>, StoreError> {
        let doing = async |session: &mut Session| track::unsent(session, shards, limit).await;
        self.with("reading signals", doing).await
    }

    async fn try_signal(&self, number: i64, partition: u32, end: Offset) -> Result<(), StoreError> {
        let doing =
            async |session: &mut Session| track::try_signal(session, number, partition, end).await;
        self.with("noting a signal", doing).await
    }

    async fn signal_sent(&self, number: i64) -> Result<(), StoreError> {
        let doing = async |session: &mut Session| track::sent(session, number).await;
        self.with("noting a signal", doing).await
    }
}
