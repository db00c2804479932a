//! Stores of both kinds, and sagas to put into them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use keylane::postgres::connect::{ConnectOptions, connect};
use keylane::postgres::saga::PostgresSagas;
use keylane::sqlite::saga::SqliteSagas;
use keylane_core::saga::{
    Batch, Change, Decision, Definition, Event, KeptDefinition, Lease, Moment, Op, Outcome,
    Participant, Plan, Reply, Saga, SagaDesk, SagaStore, Start, Step, TrackStore, Wanted, Written,
    check, decide, shard_of, start,
};
use keylane_parts::PostgresHandle;
use serde_json::{Value, json};

/// What both ports are of one store.
pub(super) trait Both: SagaStore + SagaDesk + TrackStore {}
impl<T: SagaStore + SagaDesk + TrackStore> Both for T {}

/// A store, and what keeps it there.
pub(super) struct Kept {
    pub(super) name: &'static str,
    pub(super) store: Arc<dyn Both>,
    folder: Option<tempfile::TempDir>,
    url: String,
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Kept {
    pub(super) async fn sqlite() -> Kept {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteSagas::open(folder.path().join("saga.db")).await;
        Kept {
            name: "sqlite",
            store: Arc::new(store.expect("a file")),
            folder: Some(folder),
            url: String::new(),
        }
    }

    /// `None` where there are no parts.
    pub(super) async fn postgres() -> Option<Kept> {
        if keylane_parts::quick() {
            return None;
        }
        let server = PostgresHandle::shared_replica().expect("a PostgreSQL");
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let database = format!("sagas_{number}");
        server.fresh_database(&database).expect("a database");
        let url = server.url(&database);
        Some(Kept {
            name: "postgres",
            store: Arc::new(opened(&url).await),
            folder: None,
            url,
        })
    }

    /// One of each kind.
    pub(super) async fn all() -> Vec<Kept> {
        let mut all = vec![Kept::sqlite().await];
        all.extend(Kept::postgres().await);
        all
    }

    /// The same, as another process has it.
    pub(super) async fn again(&self) -> Arc<dyn Both> {
        match &self.folder {
            Some(folder) => {
                let store = SqliteSagas::open(folder.path().join("saga.db")).await;
                Arc::new(store.expect("a file"))
            }
            None => Arc::new(opened(&self.url).await),
        }
    }

    /// The rows of the choreographed sagas, to the byte.
    pub(super) async fn track_rows(&self) -> Vec<String> {
        match &self.folder {
            Some(folder) => {
                let file = rusqlite::Connection::open(folder.path().join("saga.db"));
                let file = file.expect("the file");
                let sql = "SELECT json_array(id, terms, definition, state, key, started_us, updated_us, ended_us, waits, why, stuck_us, stuck_step, stuck_why, track) FROM saga_track ORDER BY id";
                let mut asked = file.prepare(sql).expect("the table");
                let rows = asked.query_map([], |row| row.get(0)).expect("rows");
                rows.collect::<Result<_, _>>().expect("texts")
            }
            None => {
                let sql = "SELECT t::text FROM keylane.saga_track AS t ORDER BY id";
                let rows = self.client().await.query(sql, &[]).await.expect("rows");
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    /// Drops the rows of the choreographed sagas.
    pub(super) async fn drop_tracks(&self) {
        match &self.folder {
            Some(folder) => {
                let file = rusqlite::Connection::open(folder.path().join("saga.db"));
                let dropped = file
                    .expect("the file")
                    .execute("DELETE FROM saga_track", []);
                dropped.expect("they are dropped");
            }
            None => {
                let client = self.client().await;
                let dropped = client.execute("DELETE FROM keylane.saga_track", &[]).await;
                dropped.expect("they are dropped");
            }
        }
    }

    async fn client(&self) -> tokio_postgres::Client {
        let options = ConnectOptions::default();
        let client = connect(&self.url, "sagas' tests", &options).await;
        client.expect("a connection")
    }

    pub(super) async fn saga(&self, id: &str) -> Option<Saga> {
        let found = self.store.read(&ids([id])).await.expect("read");
        found.sagas.into_iter().next()
    }

    pub(super) async fn committed(&self, change: Change) -> Written {
        let batch = Batch {
            changes: vec![change],
            ..Batch::default()
        };
        let mut written = self.store.commit(&batch).await.expect("written");
        written.pop().expect("one answer for one change")
    }

    /// A saga that has begun.
    pub(super) async fn begun(&self, id: &str, key: Option<&str>) -> Saga {
        let change = begins(&plan(), id, key, json!({"price": 3}), 7);
        let saga = change.decision.saga.clone();
        let written = self.committed(change).await;
        assert!(
            matches!(written, Written::Done(_)),
            "{}: {written:?}",
            self.name
        );
        saga
    }
}

async fn opened(url: &str) -> PostgresSagas {
    let store = PostgresSagas::new(url, "sagas' tests");
    store.prepare().await.expect("tables");
    store
}

pub(super) fn ids<const N: usize>(ids: [&str; N]) -> Wanted {
    Wanted {
        ids: ids.into_iter().map(str::to_owned).collect(),
        limit: 100,
        ..Wanted::default()
    }
}

/// reserve and hold side by side, then charge (the pivot), then ship.
pub(super) fn plan() -> Arc<Plan> {
    let shop = || Participant::Named("shop".into());
    let bank = Participant::Http {
        url: "http://bank/saga".into(),
    };
    let definition = Definition::new("order", 1)
        .step(Step::compensatable("reserve", shop(), "reserve.v1", "release.v1").timeout_ms(60_000))
        .step(
            Step::compensatable("hold", shop(), "hold.v1", "drop.v1")
                .timeout_ms(60_000)
                .after([]),
        )
        .step(
            Step::pivot("charge", bank, "charge.v1")
                .timeout_ms(60_000)
                .after(["reserve", "hold"]),
        )
        .step(Step::retriable("ship", shop(), "ship.v1").after(["charge"]));
    Arc::new(check(definition).expect("it keeps the rules"))
}

pub(super) fn kept(plan: &Plan) -> KeptDefinition {
    KeptDefinition {
        name: plan.definition().name.clone(),
        version: plan.definition().version,
        hash: plan.hash(),
        body: plan.definition().to_json().to_string(),
    }
}

pub(super) fn at(now_us: i64) -> Moment {
    Moment { now_us, seed: 1 }
}

pub(super) fn begins(
    plan: &Arc<Plan>,
    id: &str,
    key: Option<&str>,
    data: Value,
    request: u64,
) -> Change {
    let wanted = Start {
        id: id.into(),
        key: key.map(str::to_owned),
        data,
    };
    Change {
        plan: plan.clone(),
        before: None,
        decision: start(plan, wanted, at(1_000_000)).expect("it fits"),
        request,
        lease: None,
    }
}

/// What an event means for a saga.
pub(super) fn moves(saga: &Saga, event: Event, now_us: i64, lease: Option<Lease>) -> Change {
    Change {
        plan: plan(),
        before: Some(saga.clone()),
        decision: decide(&plan(), saga.clone(), event, at(now_us)),
        request: 0,
        lease,
    }
}

pub(super) fn ok(step: &str, value: Value) -> Event {
    answer(step, Op::Action, Outcome::Ok(value))
}

pub(super) fn answer(step: &str, op: Op, outcome: Outcome) -> Event {
    Event::Reply(Reply {
        step: step.into(),
        op,
        outcome,
    })
}

/// A saga's decisions, one after the other.
pub(super) async fn driven(kept: &Kept, mut saga: Saga, events: Vec<Event>) -> Decision {
    let mut last = None;
    for (event, now_us) in events.into_iter().zip(2_000_000..) {
        let change = moves(&saga, event, now_us, None);
        saga = change.decision.saga.clone();
        last = Some(change.decision.clone());
        let written = kept.committed(change).await;
        assert!(
            matches!(written, Written::Done(_)),
            "{}: {written:?}",
            kept.name
        );
    }
    last.expect("an event")
}

/// An id in a shard.
pub(super) fn id_in(shard: u16) -> String {
    (0..)
        .map(|number| format!("s-{number}"))
        .find(|id| shard_of(id) == shard)
        .expect("one of many")
}

/// The numbers in the outbox of what was written.
pub(super) fn numbers(written: Written) -> Option<Vec<i64>> {
    match written {
        Written::Done(numbers) => Some(numbers),
        Written::Stale | Written::Fenced | Written::Taken { .. } => None,
    }
}
