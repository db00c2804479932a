//! Choreographed sagas of four services, a → b and c, b → d, on real databases of both kinds: events come in any order and twice, b and c may both say no, and each step is done at most once and undone at most once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keylane::participant::{
    Hear, PostgresChoreography, PostgresHandler, Reaction, SagaEvent, SqliteChoreography,
    SqliteHandler, StepError,
};
use keylane::postgres::connect::{ConnectOptions, connect};
use keylane_parts::PostgresHandle;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio_postgres::Client;

const EFFECTS: &str =
    "CREATE TABLE effects (saga text NOT NULL, step text NOT NULL, what text NOT NULL)";
const DID: &str = "INSERT INTO effects VALUES ($1, $2, 'did')";
const UNDID: &str = "INSERT INTO effects VALUES ($1, $2, 'undid')";

/// Whether a step says no to a saga: to those whose names say so.
fn says_no(saga: &str, step: &str) -> bool {
    saga.split('-').skip(1).any(|no| no == step)
}

fn postgres_action(step: &'static str) -> PostgresHandler {
    Arc::new(move |call, tx| {
        Box::pin(async move {
            tx.execute(DID, &[&call.saga, &step]).await?;
            match says_no(&call.saga, step) {
                true => Err(StepError::rejected(format!("{step} says no"))),
                false => Ok(json!({"did": step})),
            }
        })
    })
}

fn postgres_undo(step: &'static str) -> PostgresHandler {
    Arc::new(move |call, tx| {
        Box::pin(async move {
            given_what_was_answered(&call.reply, step)?;
            tx.execute(UNDID, &[&call.saga, &step]).await?;
            Ok(Value::Null)
        })
    })
}

fn sqlite_action(step: &'static str) -> SqliteHandler {
    Arc::new(move |call, tx| {
        tx.execute(DID, [&*call.saga, step])?;
        match says_no(&call.saga, step) {
            true => Err(StepError::rejected(format!("{step} says no"))),
            false => Ok(json!({"did": step})),
        }
    })
}

fn sqlite_undo(step: &'static str) -> SqliteHandler {
    Arc::new(move |call, tx| {
        given_what_was_answered(&call.reply, step)?;
        tx.execute(UNDID, [&*call.saga, step])?;
        Ok(Value::Null)
    })
}

fn given_what_was_answered(reply: &Value, step: &str) -> Result<(), StepError> {
    match *reply == json!({"did": step}) {
        true => Ok(()),
        false => Err(StepError::failed(
            "it is not given what the action answered",
        )),
    }
}

struct Service {
    choreography: Box<dyn Hear>,
    database: Database,
}

enum Database {
    Postgres(Client),
    Sqlite(PathBuf),
}

fn reaction<H>(step: &str, on: &str, action: H, undo: H) -> Vec<Reaction<H>> {
    vec![
        Reaction::of(step, "events")
            .on(on)
            .action(action)
            .undo(undo),
    ]
}

async fn on_postgres(step: &'static str, on: &str) -> Service {
    let server = PostgresHandle::shared_origin().expect("PostgreSQL");
    let name = format!("choreography_{step}");
    server.fresh_database(&name).expect("a database");
    server.psql(&name, EFFECTS).expect("a table");
    let reactions = reaction(step, on, postgres_action(step), postgres_undo(step));
    let choreography = PostgresChoreography::new(server.url(&name), format!("/{step}"), reactions);
    choreography.create_tables().await.expect("tables");
    let client = connect(&server.url(&name), "a test", &ConnectOptions::default()).await;
    Service {
        choreography: Box::new(choreography),
        database: Database::Postgres(client.expect("a connection")),
    }
}

async fn on_sqlite(folder: &Path, step: &'static str, on: &str) -> Service {
    let path = folder.join(format!("{step}.db"));
    let file = rusqlite::Connection::open(&path).expect("a file");
    file.execute_batch(EFFECTS).expect("a table");
    let reactions = reaction(step, on, sqlite_action(step), sqlite_undo(step));
    let choreography = SqliteChoreography::open(&path, format!("/{step}"), reactions).await;
    Service {
        choreography: Box::new(choreography.expect("tables")),
        database: Database::Sqlite(path),
    }
}

/// An event's id, type, source, headers and payload.
type Told = (String, String, String, String, Vec<u8>);

/// What a service has told since it was last asked.
async fn told(service: &Service) -> Vec<SagaEvent> {
    let columns = "id, type, source, headers, payload";
    let told: Vec<Told> = match &service.database {
        Database::Postgres(client) => {
            let columns = columns.replace("headers", "headers::text");
            let sql = format!("DELETE FROM keylane_outbox RETURNING {columns}");
            let rows = client.query(&sql, &[]).await.expect("rows");
            rows.iter()
                .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
                .collect()
        }
        Database::Sqlite(path) => {
            let file = rusqlite::Connection::open(path).expect("a file");
            let sql = format!("DELETE FROM keylane_outbox RETURNING {columns}");
            let mut statement = file.prepare(&sql).expect("a statement");
            let rows = statement.query_map([], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                ))
            });
            rows.expect("rows").map(|row| row.expect("a row")).collect()
        }
    };
    told.into_iter().map(event).collect()
}

fn event((id, type_name, source, headers, payload): Told) -> SagaEvent {
    let own: BTreeMap<String, String> = serde_json::from_str(&headers).expect("headers");
    let columns = [("ce_id", id), ("ce_type", type_name), ("ce_source", source)];
    let columns = columns.map(|(name, text)| (name.to_owned(), text));
    let all: Vec<(String, String)> = columns.into_iter().chain(own).collect();
    let headers = all
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_bytes()));
    let read = SagaEvent::read(headers, &payload, 4_000_000_000_000_000);
    read.expect("it can be read").expect("it is of a saga")
}

fn begun(saga: &str) -> SagaEvent {
    let headers = [
        ("ce_id", "0"),
        ("ce_type", "begun"),
        ("ce_source", "/tests"),
        ("ce_correlationid", saga),
    ];
    let headers = headers.iter().map(|(name, text)| (*name, text.as_bytes()));
    let read = SagaEvent::read(headers, b"{}", 4_000_000_000_000_000);
    read.expect("it can be read").expect("it is of a saga")
}

/// Carries events about until there are none: in any order, each to every service, many twice.
async fn run(services: &[Service], sagas: &[String], seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut on_their_way: Vec<(usize, SagaEvent)> = Vec::new();
    let send = |event: SagaEvent, way: &mut Vec<(usize, SagaEvent)>, chance: &mut StdRng| {
        for to in 0..services.len() {
            for _ in 0..chance.random_range(1..=2) {
                way.push((to, event.clone()));
            }
        }
    };
    for saga in sagas {
        send(begun(saga), &mut on_their_way, &mut chance);
    }
    while !on_their_way.is_empty() {
        on_their_way.shuffle(&mut chance);
        let some: Vec<_> = on_their_way.drain(..on_their_way.len().min(8)).collect();
        let hearing = some
            .iter()
            .map(|(to, event)| services[*to].choreography.hear(event));
        for heard in futures_util::future::join_all(hearing).await {
            heard.expect("nothing fails here");
        }
        for service in services {
            for event in told(service).await {
                send(event, &mut on_their_way, &mut chance);
            }
        }
    }
}

async fn effects(service: &Service, saga: &str, what: &str) -> i64 {
    match &service.database {
        Database::Postgres(client) => {
            let sql = "SELECT count(*) FROM effects WHERE saga = $1 AND what = $2";
            let row = client.query_one(sql, &[&saga, &what]).await;
            row.expect("a row").get(0)
        }
        Database::Sqlite(path) => {
            let file = rusqlite::Connection::open(path).expect("a file");
            let sql = "SELECT count(*) FROM effects WHERE saga = ?1 AND what = ?2";
            let count = file.query_row(sql, [saga, what], |row| row.get(0));
            count.expect("a row")
        }
    }
}

async fn each_is_done_once_and_undone_once(services: &[Service], seed: u64) {
    let kinds = ["", "-b", "-c", "-b-c", "-d", "-c-d", "-b-c-d", "-a"];
    let sagas: Vec<String> = (0..48)
        .map(|n| format!("s{n}{}", kinds[n % kinds.len()]))
        .collect();
    run(services, &sagas, seed).await;
    for saga in &sagas {
        let fails = saga.contains('-');
        for (service, step) in services.iter().zip(["a", "b", "c", "d"]) {
            let (did, undid) = (
                effects(service, saga, "did").await,
                effects(service, saga, "undid").await,
            );
            let expect = match fails {
                false => (1, 0),
                // What was done was undone; what was not never will be.
                true => (did, did),
            };
            assert_eq!((did, undid), expect, "{saga}: {step}");
            assert!(did <= 1, "{saga}: {step} took effect {did} times");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_of_a_choreographed_saga_is_done_once_and_undone_once_in_any_order_of_failures() {
    if keylane_parts::quick() {
        return;
    }
    let services = [
        on_postgres("a", "begun").await,
        on_postgres("b", "a.done").await,
        on_postgres("c", "a.done").await,
        on_postgres("d", "b.done").await,
    ];
    each_is_done_once_and_undone_once(&services, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_where_the_services_databases_are_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let services = [
        on_sqlite(folder.path(), "a", "begun").await,
        on_sqlite(folder.path(), "b", "a.done").await,
        on_sqlite(folder.path(), "c", "a.done").await,
        on_sqlite(folder.path(), "d", "b.done").await,
    ];
    each_is_done_once_and_undone_once(&services, 6).await;
}
