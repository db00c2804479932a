//! Semantic locks: what one saga has touched no other gets until it is settled.

use std::sync::Arc;

use futures_util::future::join_all;
use keylane::participant::{
    CarryOut, PostgresParticipant, PostgresSteps, SemanticLock, SqliteParticipant, SqliteSteps,
};
use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Op, Outcome};
use keylane_parts::PostgresHandle;
use serde_json::{Value, json};

use super::commands::asking;

/// Holds the room, or waits for it.
const HOLD: &str = "room.hold.v1";
/// Holds it, or says no.
const TRY: &str = "room.try.v1";
/// Gives it back.
const FREE: &str = "room.free.v1";
/// Settles it: a later step of the saga.
const SETTLE: &str = "room.settle.v1";

fn room() -> SemanticLock {
    SemanticLock::of("room 7")
}

fn postgres_steps() -> PostgresSteps {
    let mut steps = PostgresSteps::default();
    for (type_name, lock) in [(HOLD, room()), (TRY, room().or_say_no())] {
        steps = steps.on(type_name).action(move |call, tx| {
            let lock = lock.clone();
            Box::pin(async move {
                lock.take_postgres(tx, call).await?;
                Ok(Value::Null)
            })
        });
    }
    steps
        .on(SETTLE)
        .action(|call, tx| {
            Box::pin(async move {
                room().release_postgres(tx, call).await?;
                Ok(Value::Null)
            })
        })
        .undo(FREE, |call, tx| {
            Box::pin(async move {
                room().release_postgres(tx, call).await?;
                Ok(Value::Null)
            })
        })
}

fn sqlite_steps() -> SqliteSteps {
    let mut steps = SqliteSteps::default();
    for (type_name, lock) in [(HOLD, room()), (TRY, room().or_say_no())] {
        steps = steps.on(type_name).action(move |call, tx| {
            lock.take_sqlite(tx, call)?;
            Ok(Value::Null)
        });
    }
    steps
        .on(SETTLE)
        .action(|call, tx| {
            room().release_sqlite(tx, call)?;
            Ok(Value::Null)
        })
        .undo(FREE, |call, tx| {
            room().release_sqlite(tx, call)?;
            Ok(Value::Null)
        })
}

fn command(saga: &str, step: &str, type_name: &str, op: Op) -> CommandMessage {
    CommandMessage {
        type_name: type_name.to_owned(),
        step: step.to_owned(),
        ..asking(saga, op)
    }
}

fn is_unclear(outcome: &Outcome, why: &str) -> bool {
    matches!(outcome, Outcome::Unclear(words) if words.contains(why))
}

async fn one_saga_has_it_at_a_time(participant: Arc<dyn CarryOut>) {
    let ask = |saga: &str, step: &'static str, type_name: &'static str, op| {
        let command = command(saga, step, type_name, op);
        let participant = participant.clone();
        async move { participant.carry_out(&command).await }
    };
    let null = Outcome::Ok(json!(null));
    let sagas: Vec<String> = (0..12).map(|number| format!("saga-{number}")).collect();
    let mut open = sagas.clone();
    let mut round = 0;
    while !open.is_empty() {
        // All that wait ask again, side by side: one of them gets it.
        let asked = open.iter().map(|saga| ask(saga, "hold", HOLD, Op::Action));
        let outcomes = join_all(asked).await;
        let got: Vec<&String> = open
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| **outcome == null)
            .map(|(saga, _)| saga)
            .collect();
        assert_eq!(got.len(), 1, "{got:?} have it: {outcomes:?}");
        let holder = got[0].clone();
        let waits = |outcome: &&Outcome| is_unclear(outcome, &format!("hands of saga {holder}"));
        assert_eq!(
            outcomes.iter().filter(waits).count(),
            open.len() - 1,
            "{outcomes:?}"
        );
        // The saga's other steps have it too; who does not want to wait is refused for good.
        assert_eq!(ask(&holder, "again", HOLD, Op::Action).await, null);
        let refused = ask(&format!("late-{round}"), "try", TRY, Op::Action).await;
        assert!(matches!(refused, Outcome::Rejected(_)), "{refused:?}");
        // Nobody else can release it.
        assert_eq!(ask("stranger", "settle", SETTLE, Op::Action).await, null);
        let still = ask(&format!("after-{round}"), "hold", HOLD, Op::Action).await;
        assert!(is_unclear(&still, &holder), "{still:?}");
        let settled = match round % 2 {
            0 => ask(&holder, "settle", SETTLE, Op::Action).await,
            _ => ask(&holder, "hold", FREE, Op::Compensate).await,
        };
        assert_eq!(settled, null);
        open.retain(|saga| *saga != holder);
        round += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_saga_has_a_semantic_lock_in_postgres_at_a_time() {
    if keylane_parts::quick() {
        return;
    }
    let server = PostgresHandle::shared_origin().expect("PostgreSQL");
    let name = "participant_locks";
    server.fresh_database(name).expect("a database");
    let made = server.psql(name, SemanticLock::postgres_sql());
    made.expect("a table");
    let participant = PostgresParticipant::new(server.url(name), "/rooms", postgres_steps());
    participant.create_table().await.expect("a table");
    one_saga_has_it_at_a_time(Arc::new(participant)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_saga_has_a_semantic_lock_in_sqlite_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rooms.db");
    let file = rusqlite::Connection::open(&path).expect("a file");
    file.execute_batch(SemanticLock::sqlite_sql())
        .expect("a table");
    let participant = SqliteParticipant::open(&path, "/rooms", sqlite_steps()).await;
    one_saga_has_it_at_a_time(Arc::new(participant.expect("a participant"))).await;
    let holder = SemanticLock::holder_sqlite(&file, "room 7").expect("read");
    assert_eq!(holder, None);
}
