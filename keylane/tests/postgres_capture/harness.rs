//! A database of its own for each test, and a capturer that remembers what it was told.
#![expect(clippy::panic, reason = "a test ends by a panic")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use keylane::postgres::capture::{PostgresOrigin, PostgresOriginConfig};
use keylane_core::capture::{Opened, Origin, OriginError, OriginEvent};
use keylane_core::model::{Row, TableName, Value};
use keylane_parts::{Postgres, PostgresVersion};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A database of its own on a server that the tests of this process share.
#[derive(Clone, Copy)]
pub struct Database {
    pub server: &'static Postgres,
    pub name: &'static str,
}

impl Database {
    pub fn url(self) -> String {
        self.server.url(self.name)
    }

    pub fn sql(self, sql: &str) -> String {
        match self.server.psql(self.name, sql) {
            Ok(answer) => answer,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// A configuration whose slot is the test's own.
    pub fn config(self) -> PostgresOriginConfig {
        let mut config = PostgresOriginConfig::new(self.url(), self.name, self.name);
        config.heartbeat = Duration::ZERO;
        config
    }

    pub async fn open(self) -> Capturer {
        Capturer::open(self.config()).await.expect("it opens").0
    }

    pub async fn client(self) -> tokio_postgres::Client {
        let connected = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("the server answers");
        tokio::spawn(async move {
            let _ = connection.await;
        });
        client
    }
}

/// Runs a test against every version under test, each time in a fresh database named after the test.
pub fn on_every_version(name: &'static str, test: impl AsyncFn(Database)) {
    if keylane_parts::quick() {
        return;
    }
    for version in PostgresVersion::under_test().expect("versions are named") {
        let server = shared(version);
        server.create_database(name).expect("a fresh database");
        eprintln!("{name}: PostgreSQL {}", version.major());
        runtime().block_on(test(Database { server, name }));
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn shared(version: PostgresVersion) -> &'static Postgres {
    static SERVERS: Mutex<BTreeMap<PostgresVersion, &'static Postgres>> =
        Mutex::new(BTreeMap::new());
    let mut servers = SERVERS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    servers.entry(version).or_insert_with(|| {
        let options = keylane_parts::PostgresOptions::new(version)
            .set("max_replication_slots", 60)
            .set("max_wal_senders", 60)
            .set("max_prepared_transactions", 5);
        Box::leak(Box::new(
            Postgres::start(options).expect("PostgreSQL starts"),
        ))
    })
}

/// An open origin and everything it told.
pub struct Capturer {
    pub origin: PostgresOrigin,
    pub told: Vec<OriginEvent>,
}

impl Capturer {
    pub async fn open(config: PostgresOriginConfig) -> Result<(Self, Opened), OriginError> {
        let mut origin = PostgresOrigin::new(config);
        let opened = origin.open().await?;
        let told = Vec::new();
        Ok((Capturer { origin, told }, opened))
    }

    /// Listens until what was told since `from` satisfies; the events since then.
    pub async fn until(
        &mut self,
        awaited: &str,
        holds: impl Fn(&[OriginEvent]) -> bool,
    ) -> Vec<OriginEvent> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if holds(&self.told) {
                return std::mem::take(&mut self.told);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.origin.next(1 << 20)).await {
                Ok(events) => self.told.extend(events.expect("the stream goes on")),
                Err(_) => panic!("waited in vain for {awaited}; told so far: {:?}", self.told),
            }
        }
    }

    /// Listens until so many transactions have ended.
    pub async fn commits(&mut self, count: usize) -> Vec<OriginEvent> {
        self.until("commits", |told| {
            told.iter()
                .filter(|event| matches!(event, OriginEvent::Commit { .. }))
                .count()
                >= count
        })
        .await
    }

    /// Listens until it fails.
    pub async fn until_error(&mut self, awaited: &str) -> OriginError {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.origin.next(1 << 20)).await {
                Ok(Ok(events)) => self.told.extend(events),
                Ok(Err(error)) => return error,
                Err(_) => panic!("waited in vain for {awaited}; told: {:?}", self.told),
            }
        }
    }
}

/// The changes among events, one line each: `I public.t 1|a`, absent values as `~`, NULL as `-`.
pub fn lines(events: &[OriginEvent]) -> Vec<String> {
    let line = |event: &OriginEvent| {
        Some(match event {
            OriginEvent::Insert { schema, after } => {
                format!("I {} {}", schema.table.name, row_text(after))
            }
            OriginEvent::Update {
                schema,
                before,
                after,
            } => {
                let before = before.as_ref().map_or(String::new(), row_text);
                format!("U {} [{before}] {}", schema.table.name, row_text(after))
            }
            OriginEvent::Delete { schema, before } => {
                format!("D {} {}", schema.table.name, row_text(before))
            }
            OriginEvent::Truncate { schemas } => {
                let names: Vec<&str> = schemas.iter().map(|schema| &*schema.table.name).collect();
                format!("T {}", names.join(" "))
            }
            OriginEvent::Message => "M".to_owned(),
            _ => return None,
        })
    };
    events.iter().filter_map(line).collect()
}

pub fn row_text(row: &Row) -> String {
    let cells: Vec<String> = row.iter().map(value_text).collect();
    cells.join("|")
}

pub fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Absent => "~".to_owned(),
        other => other.as_sql_text().expect("present").into_owned(),
    }
}

pub fn table(name: &str) -> TableName {
    TableName::new("public", name)
}
