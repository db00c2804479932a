//! A participant in PostgreSQL, in a database whose own default is an isolation under which the same commands would fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::BoxFuture;
use keylane::participant::{CarryOut as _, PostgresParticipant, PostgresSteps, StepError};
use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Op, Outcome};
use keylane_parts::PostgresHandle;
use serde_json::json;

use super::cases;
use super::commands::{ACTION, Asked, EFFECTS, UNDO, asking};

/// The step of the cases.
pub fn steps() -> PostgresSteps {
    PostgresSteps::default()
        .on(ACTION)
        .action(|call, tx| {
            Box::pin(async move {
                tx.execute("INSERT INTO effects VALUES ($1, 'did')", &[&call.saga])
                    .await?;
                match call.input["end"].as_str() {
                    Some("no") => Err(StepError::rejected("no")),
                    Some("error") => Err(tx
                        .execute("SELECT 1/0", &[])
                        .await
                        .expect_err("no number")
                        .into()),
                    _ => Ok(json!({"counted": call.saga})),
                }
            })
        })
        .undo(UNDO, |call, tx| {
            Box::pin(async move {
                tx.execute("INSERT INTO effects VALUES ($1, 'undid')", &[&call.saga])
                    .await?;
                Ok(json!({"took": call.reply}))
            })
        })
}

/// A participant, and the database behind it.
pub struct InPostgres {
    pub participant: Arc<PostgresParticipant>,
    url: String,
}

impl InPostgres {
    /// In a fresh database of this name.
    pub async fn new(name: &str, steps: PostgresSteps) -> Self {
        let server = PostgresHandle::shared_origin().expect("PostgreSQL");
        server.fresh_database(name).expect("a database");
        let strict =
            format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
        server.psql("postgres", &strict).expect("a setting");
        server.psql(name, EFFECTS).expect("a table");
        let url = server.url(name);
        let participant = PostgresParticipant::new(&url, "/count", steps);
        participant.create_table().await.expect("a table");
        participant.create_table().await.expect("again nothing");
        InPostgres {
            participant: Arc::new(participant),
            url,
        }
    }
}

impl Asked for InPostgres {
    fn ask<'a>(&'a self, command: CommandMessage) -> BoxFuture<'a, Outcome> {
        Box::pin(async move { self.participant.carry_out(&command).await })
    }

    fn effects<'a>(&'a self, saga: &'a str) -> BoxFuture<'a, (u64, u64)> {
        Box::pin(async move { effects(&self.url, saga).await })
    }
}

/// How often a saga's action and undo took effect.
pub async fn effects(url: &str, saga: &str) -> (u64, u64) {
    let options = keylane::postgres::connect::ConnectOptions::default();
    let client = keylane::postgres::connect::connect(url, "a test", &options).await;
    let sql = "SELECT count(*) FILTER (WHERE what = 'did'), count(*) FILTER (WHERE what = 'undid') FROM effects WHERE saga = $1";
    let row = client
        .expect("a connection")
        .query_one(sql, &[&saga])
        .await
        .expect("a row");
    (row.get::<_, i64>(0) as u64, row.get::<_, i64>(1) as u64)
}

#[test]
fn the_guide_shows_the_barriers_table_as_it_is_made() {
    let guide = include_str!("../../../docs/guides/participants.md");
    assert!(guide.contains(PostgresParticipant::table_sql()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_in_postgres_answers_every_case_as_the_first_verdict_says() {
    if keylane_parts::quick() {
        return;
    }
    let participant = InPostgres::new("participant_cases", steps()).await;
    cases::all("postgres", &participant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_commands_in_postgres_leaves_one_verdict_for_each_step() {
    if keylane_parts::quick() {
        return;
    }
    let participant = InPostgres::new("participant_storm", steps()).await;
    cases::storm("postgres", &participant, 150, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_gave_up_for_anothers_sake_is_tried_again() {
    if keylane_parts::quick() {
        return;
    }
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    let raise = "DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '40001'; END $$";
    let steps = PostgresSteps::default().on(ACTION).action(move |call, tx| {
        let tries = counted.clone();
        Box::pin(async move {
            tx.execute("INSERT INTO effects VALUES ($1, 'did')", &[&call.saga])
                .await?;
            if tries.fetch_add(1, Ordering::Relaxed) < 3 {
                tx.batch_execute(raise).await?;
            }
            Ok(json!(null))
        })
    });
    let participant = InPostgres::new("participant_conflicts", steps).await;
    assert_eq!(
        participant.ask(asking("s", Op::Action)).await,
        Outcome::Ok(json!(null))
    );
    assert_eq!(tries.load(Ordering::Relaxed), 4);
    assert_eq!(participant.effects("s").await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ends_its_transaction_or_passes_over_an_error_gets_no_verdict() {
    if keylane_parts::quick() {
        return;
    }
    let steps = PostgresSteps::default().on(ACTION).action(|call, tx| {
        Box::pin(async move {
            tx.execute("INSERT INTO effects VALUES ($1, 'did')", &[&call.saga])
                .await?;
            if call.input == json!("commits") {
                tx.batch_execute("COMMIT").await?;
            } else {
                tx.batch_execute("SELECT 1/0").await.ok();
            }
            Ok(json!(null))
        })
    });
    let participant = InPostgres::new("participant_misuse", steps).await;
    for (saga, expect) in [("commits", 1), ("passes over", 0)] {
        for _ in 0..2 {
            let mut command = asking(saga, Op::Action);
            command.input = json!(saga);
            let outcome = participant.ask(command).await;
            assert!(
                matches!(outcome, Outcome::Unclear(_)),
                "{saga}: {outcome:?}"
            );
        }
        assert_eq!(participant.effects(saga).await.0, expect, "{saga}");
    }
}
