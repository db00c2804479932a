//! Choreographed sagas of four services, a → b and c, b → d, on a real database: events come in any order and twice, b and c may both say no, and each step is done at most once and undone at most once.

use std::collections::BTreeMap;
use std::sync::Arc;

use keylane::participant::{PostgresChoreography, PostgresHandler, Reaction, SagaEvent, StepError};
use keylane::postgres::connect::{ConnectOptions, connect};
use keylane_parts::PostgresHandle;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio_postgres::Client;

const EFFECTS: &str =
    "CREATE TABLE effects (saga text NOT NULL, step text NOT NULL, what text NOT NULL)";

/// A step's action: it counts, and says no to the sagas whose data name it.
fn action(step: &'static str) -> PostgresHandler {
    Arc::new(move |call, tx| {
        Box::pin(async move {
            tx.execute(
                "INSERT INTO effects VALUES ($1, $2, 'did')",
                &[&call.saga, &step],
            )
            .await?;
            let says_no = call.saga.split('-').skip(1).any(|no| no == step);
            match says_no {
                true => Err(StepError::rejected(format!("{step} says no"))),
                false => Ok(json!({"did": step})),
            }
        })
    })
}

fn undo(step: &'static str) -> PostgresHandler {
    Arc::new(move |call, tx| {
        Box::pin(async move {
            if call.reply != json!({"did": step}) {
                return Err(StepError::failed(
                    "it is not given what the action answered",
                ));
            }
            tx.execute(
                "INSERT INTO effects VALUES ($1, $2, 'undid')",
                &[&call.saga, &step],
            )
            .await?;
            Ok(Value::Null)
        })
    })
}

struct Service {
    choreography: PostgresChoreography,
    client: Client,
}

async fn service(step: &'static str, on: &str) -> Service {
    let server = PostgresHandle::shared_origin().expect("PostgreSQL");
    let name = format!("choreography_{step}");
    server.fresh_database(&name).expect("a database");
    server.psql(&name, EFFECTS).expect("a table");
    let reaction = Reaction::of(step, "events")
        .on(on)
        .action(action(step))
        .undo(undo(step));
    let choreography =
        PostgresChoreography::new(server.url(&name), format!("/{step}"), vec![reaction]);
    choreography.create_tables().await.expect("tables");
    let client = connect(&server.url(&name), "a test", &ConnectOptions::default()).await;
    Service {
        choreography,
        client: client.expect("a connection"),
    }
}

/// What a service has told since it was last asked.
async fn told(service: &Service) -> Vec<SagaEvent> {
    let sql = "DELETE FROM keylane_outbox RETURNING id, type, source, headers::text, payload";
    let rows = service.client.query(sql, &[]).await.expect("rows");
    let event = |row: &tokio_postgres::Row| {
        let own: BTreeMap<String, String> = serde_json::from_str(row.get(3)).expect("headers");
        let columns = [
            ("ce_id", row.get(0)),
            ("ce_type", row.get(1)),
            ("ce_source", row.get(2)),
        ];
        let columns = columns.map(|(name, text): (&str, String)| (name.to_owned(), text));
        let all: Vec<(String, String)> = columns.into_iter().chain(own).collect();
        let headers = all
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_bytes()));
        let payload: Vec<u8> = row.get(4);
        let read = SagaEvent::read(headers, &payload, 4_000_000_000_000_000);
        read.expect("it can be read").expect("it is of a saga")
    };
    rows.iter().map(event).collect()
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
    let sql = "SELECT count(*) FROM effects WHERE saga = $1 AND what = $2";
    service
        .client
        .query_one(sql, &[&saga, &what])
        .await
        .expect("a row")
        .get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_of_a_choreographed_saga_is_done_once_and_undone_once_in_any_order_of_failures() {
    if keylane_parts::quick() {
        return;
    }
    let services = [
        service("a", "begun").await,
        service("b", "a.done").await,
        service("c", "a.done").await,
        service("d", "b.done").await,
    ];
    let kinds = ["", "-b", "-c", "-b-c", "-d", "-c-d", "-b-c-d", "-a"];
    let sagas: Vec<String> = (0..48)
        .map(|n| format!("s{n}{}", kinds[n % kinds.len()]))
        .collect();
    run(&services, &sagas, 5).await;
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
