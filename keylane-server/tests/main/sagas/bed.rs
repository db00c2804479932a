//! A folder with a configuration, a store, participants, and processes that drive sagas.

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane::postgres::saga::PostgresSagas;
use keylane::saga::orchestrator::{Desk, Plans};
use keylane::sqlite::saga::SqliteSagas;
use keylane_core::saga::{Filter, Listed, SagaDesk, SagaStore, Start, State};
use keylane_parts::PostgresHandle;
use serde_json::{Value, json};

use super::participants::Participants;
use crate::bed::PATIENCE;
use crate::running::Running;

/// reserve and hold side by side, charge (the pivot), then ship and mail.
pub const TRIP: &str = "
saga: trip
version: 1
patience: 1h
steps:
  - { id: reserve, kind: compensatable, participant: stock, action: reserve.v1, undo: release.v1, timeout: 20s, retry: { first: 50ms, cap: 500ms, answer: 2s } }
  - { id: hold, kind: compensatable, participant: seats, action: hold.v1, undo: drop.v1, timeout: 20s, after: [], retry: { first: 50ms, cap: 500ms, answer: 2s } }
  - { id: charge, kind: pivot, participant: money, action: charge.v1, timeout: 20s, after: [reserve, hold], input: { by: $reserve.by }, retry: { first: 50ms, cap: 500ms, answer: 2s } }
  - { id: ship, kind: retriable, participant: post, action: ship.v1, after: [charge], retry: { first: 50ms, cap: 500ms, answer: 2s } }
  - { id: mail, kind: retriable, participant: post, action: mail.v1, after: [charge], if: $.mail, retry: { first: 50ms, cap: 500ms, answer: 2s } }
";

pub struct Bed {
    pub folder: tempfile::TempDir,
    pub participants: Participants,
    pub desk: Arc<dyn SagaDesk>,
    pub plans: Arc<Plans>,
    pub by: Desk,
    pub runtime: tokio::runtime::Runtime,
    /// The definition of what is begun.
    definition: String,
}

impl Bed {
    pub fn sqlite(seed: u64) -> Bed {
        Bed::new(seed, None, TRIP)
    }

    /// `None` where there are no parts.
    pub fn postgres(seed: u64, database: &str) -> Option<Bed> {
        if keylane_parts::quick() {
            eprintln!("left out: needs PostgreSQL");
            return None;
        }
        let server = PostgresHandle::shared_replica().expect("a PostgreSQL");
        server.fresh_database(database).expect("a database");
        Some(Bed::new(seed, Some(server.url(database)), TRIP))
    }

    /// With sagas in this database.
    pub fn at(seed: u64, url: String) -> Bed {
        Bed::new(seed, Some(url), TRIP)
    }

    /// Sagas of another definition, in this database.
    pub fn of(definition: &str, seed: u64, url: String) -> Bed {
        Bed::new(seed, Some(url), definition)
    }

    fn new(seed: u64, url: Option<String>, definition: &str) -> Bed {
        let folder = tempfile::tempdir().expect("a folder");
        let participants = Participants::start(seed);
        let at = |service: &str| {
            format!(
                "{service}: {{ http: 'http://{}/{service}' }}",
                participants.address
            )
        };
        let named: Vec<String> = ["stock", "seats", "money", "post"]
            .iter()
            .map(|it| at(it))
            .collect();
        let store = match &url {
            Some(url) => format!("{{ postgres: {{ url: '{url}' }} }}"),
            None => "{ sqlite: { path: saga.db } }".to_owned(),
        };
        let config = format!(
            "version: 1\nhttp: {{ listen: '127.0.0.1:0' }}\nsaga:\n  store: {store}\n  definitions: [trip.yaml]\n  lease: 1s\n  concurrency: 16\n  participants: {{ {} }}\n",
            named.join(", ")
        );
        std::fs::write(folder.path().join("keylane.yaml"), config).expect("written");
        std::fs::write(folder.path().join("trip.yaml"), definition).expect("written");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let path = folder.path().join("saga.db");
        let (store, desk): (Arc<dyn SagaStore>, Arc<dyn SagaDesk>) = match url {
            Some(url) => {
                let store = Arc::new(PostgresSagas::new(url, "a test"));
                runtime.block_on(store.prepare()).expect("tables");
                (store.clone(), store)
            }
            None => {
                let store = runtime.block_on(SqliteSagas::open(path)).expect("a file");
                let store = Arc::new(store);
                (store.clone(), store)
            }
        };
        let trip = keylane_server::config::parse_saga(definition, "trip.yaml");
        let trip = trip.expect("a definition");
        let definition = trip.definition().name.clone();
        let plans = Arc::new(Plans::new(Arc::new(|body: &str| {
            keylane_server::config::parse_saga(body, "kept").map_err(|why| why.to_string())
        })));
        runtime.block_on(async {
            Plans::register(store.as_ref(), &[trip])
                .await
                .expect("kept");
            plans.refresh(store.as_ref()).await.expect("read");
        });
        Bed {
            by: Desk::new(store.clone(), plans.clone()),
            folder,
            participants,
            desk,
            plans,
            runtime,
            definition,
        }
    }

    /// Adds to the block `saga`.
    pub fn configure(&self, line: &str) {
        let path = self.folder.path().join("keylane.yaml");
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(path, format!("{text}  {line}\n")).expect("written");
    }

    /// Leases and what goes on at a time as a user has them who says nothing of them.
    pub fn as_shipped(&self) {
        let path = self.folder.path().join("keylane.yaml");
        let text = std::fs::read_to_string(&path).expect("read");
        let said = |line: &&str| {
            !["lease:", "concurrency:"]
                .iter()
                .any(|it| line.trim().starts_with(it))
        };
        let text: Vec<&str> = text.lines().filter(said).collect();
        std::fs::write(path, text.join("\n") + "\n").expect("written");
    }

    /// Begins so many sagas.
    pub fn begin(&self, ids: impl Iterator<Item = String>) {
        let plan = self.plans.named(&self.definition, None);
        let plan = plan.expect("it is kept");
        self.runtime.block_on(async {
            for id in ids {
                let start = Start {
                    key: Some(format!("key of {id}")),
                    id,
                    data: json!({"mail": true}),
                };
                self.by.begin(plan.clone(), start, 1).await.expect("begun");
            }
        });
    }

    pub fn list(&self, states: &[State]) -> Vec<Listed> {
        let mut all: Vec<Listed> = Vec::new();
        loop {
            let filter = Filter {
                states: states.to_vec(),
                behind: all.last().map(|it| it.id.clone()),
                limit: 500,
                ..Filter::default()
            };
            let more = self
                .runtime
                .block_on(self.desk.list(&filter))
                .expect("listed");
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    /// A process that drives sagas.
    pub fn serve(&self) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keylane"));
        command
            .args(["saga", "serve"])
            .current_dir(self.folder.path());
        Running::start(command, self.folder.path())
    }

    /// Where a process serves; it leaves a note, as the port may be any.
    pub fn address(&self, serving: &Running) -> String {
        let note = self.folder.path().join(".keylane/http.json");
        let mut place = String::new();
        wait("the note of the address", || {
            let read = std::fs::read(&note).ok();
            let read: Option<Value> = read.and_then(|it| serde_json::from_slice(&it).ok());
            let own = read.filter(|it| it["pid"] == serving.pid());
            let listen = own.and_then(|it| it["listen"].as_str().map(str::to_owned));
            place = listen.unwrap_or_default();
            !place.is_empty()
        });
        place
    }

    /// A command to its end.
    pub fn keylane(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_keylane"))
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("the command runs")
    }

    /// A command's JSON, and its exit code.
    pub fn json(&self, arguments: &[&str]) -> (Value, Option<i32>) {
        let output = self.keylane(&[arguments, &["--format", "json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        let value = serde_json::from_str(&text);
        let errors = String::from_utf8_lossy(&output.stderr);
        (
            value.unwrap_or_else(|why| json!({"no JSON": why.to_string(), "stderr": errors})),
            output.status.code(),
        )
    }
}

/// Waits until something holds.
pub fn wait(awaited: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain for {awaited}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
