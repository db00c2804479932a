//! The three tests that are offered for any saga: a right one passes, and each kind of wrong one is caught, by the answers or by what it leaves.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keylane::participant::{Call, CarryOut, SqliteParticipant, SqliteSteps, StepError};
use keylane::saga::harness::{Ended, Harness, HarnessError};
use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Definition, Op, Outcome, Participant, Plan, State, Step, check};
use rusqlite::Connection;
use serde_json::json;

/// Two steps that can be undone, the pivot, one that succeeds in the end.
fn plan() -> Plan {
    let by = || Participant::Named("shop".to_owned());
    let definition = Definition::new("order", 1)
        .step(Step::compensatable("reserve", by(), "reserve.v1", "release.v1").timeout_ms(5_000))
        .step(Step::compensatable("hold", by(), "hold.v1", "drop.v1").timeout_ms(5_000))
        .step(Step::pivot("charge", by(), "charge.v1").timeout_ms(5_000))
        .step(Step::retriable("ship", by(), "ship.v1"));
    check(definition).expect("it is right")
}

fn note(tx: &Connection, call: &Call, amount: i64) -> rusqlite::Result<()> {
    let values = rusqlite::params![call.saga, call.step, amount];
    let noted = tx.execute("INSERT INTO effects VALUES (?1, ?2, ?3)", values);
    noted.map(drop)
}

/// A service with all four steps, that notes each effect.
async fn shop(folder: &Path) -> (Arc<dyn CarryOut>, PathBuf) {
    let path = folder.join("shop.db");
    let file = Connection::open(&path).expect("a file");
    file.execute_batch("CREATE TABLE effects (saga TEXT, step TEXT, amount INTEGER)")
        .expect("a table");
    let mut steps = SqliteSteps::default();
    for (action, undo) in [
        ("reserve.v1", Some("release.v1")),
        ("hold.v1", Some("drop.v1")),
        ("charge.v1", None),
        ("ship.v1", None),
    ] {
        steps = steps.on(action).action(|call, tx| {
            note(tx, call, 1)?;
            Ok(json!({"did": call.step}))
        });
        if let Some(undo) = undo {
            steps = steps.undo(undo, |call, tx| {
                if call.reply != json!({"did": call.step}) {
                    return Err(StepError::failed("it is not given what was answered"));
                }
                note(tx, call, -1)?;
                Ok(json!(null))
            });
        }
    }
    let shop = SqliteParticipant::open(&path, "/shop", steps).await;
    (Arc::new(shop.expect("a participant")), path)
}

/// All effects of a completed saga are there, each once; of a compensated one, none.
async fn adds_up(path: &Path, ended: &Ended) -> Result<(), String> {
    let file = Connection::open(path).map_err(|error| error.to_string())?;
    let sql = "SELECT count(*), coalesce(sum(sum = 1), 0) FROM (SELECT sum(amount) AS sum FROM effects WHERE saga = ?1 GROUP BY step HAVING sum(amount) <> 0)";
    let left: (u64, u64) = file
        .query_row(sql, [&ended.saga], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|error| error.to_string())?;
    match (ended.state, left) {
        (State::Completed, (4, 4)) | (State::Compensated, (0, 0)) => Ok(()),
        (state, left) => Err(format!("{} with {left:?} steps left", state.code())),
    }
}

/// A participant with a fault of its own.
struct Wrong {
    inner: Arc<dyn CarryOut>,
    fault: Fault,
    path: PathBuf,
    seen: AtomicU64,
    undone: Mutex<HashSet<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Every command takes effect again.
    NoRecord,
    /// The answer says something else each time.
    AnswersDiffer,
    /// An undo is answered and not made.
    UndoLost,
    /// What comes after the undo is done all the same.
    DoneAfterUndo,
    /// A fence is answered without a look.
    FenceGuessed,
}

#[async_trait]
impl CarryOut for Wrong {
    async fn carry_out(&self, command: &CommandMessage) -> Outcome {
        let again = |amount: i64| {
            let file = Connection::open(&self.path).expect("a file");
            let values = rusqlite::params![command.saga, command.step, amount];
            let done = file.execute("INSERT INTO effects VALUES (?1, ?2, ?3)", values);
            done.expect("it is written");
        };
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        let is_undone = {
            let mut undone = self.undone.lock().expect("it is whole");
            if command.op == Op::Compensate {
                undone.insert(command.saga.clone());
            }
            undone.contains(&command.saga)
        };
        match (self.fault, command.op) {
            (Fault::NoRecord, Op::Action) => {
                again(1);
                Outcome::Ok(json!({"did": command.step}))
            }
            (Fault::AnswersDiffer, Op::Action) => {
                self.inner.carry_out(command).await;
                Outcome::Ok(json!({"number": seen}))
            }
            (Fault::UndoLost, Op::Compensate) => Outcome::Ok(json!(null)),
            (Fault::DoneAfterUndo, Op::Action) if is_undone => {
                let outcome = self.inner.carry_out(command).await;
                if command.step == "reserve" {
                    again(1);
                }
                outcome
            }
            (Fault::FenceGuessed, Op::Fence) => Outcome::Fenced,
            _ => self.inner.carry_out(command).await,
        }
    }

    fn source(&self) -> &str {
        self.inner.source()
    }
}

async fn tried(fault: Option<Fault>) -> Result<(), HarnessError> {
    let folder = tempfile::tempdir().expect("a folder");
    let (inner, path) = shop(folder.path()).await;
    let shop: Arc<dyn CarryOut> = match fault {
        None => inner,
        Some(fault) => Arc::new(Wrong {
            inner,
            fault,
            path: path.clone(),
            seen: AtomicU64::new(0),
            undone: Mutex::default(),
        }),
    };
    let harness = Harness::new(plan()).participant("shop", shop);
    let data = |run: u32| json!({"order": run});
    let check = async |ended: &Ended| adds_up(&path, ended).await;
    harness.all(data, check).await
}

#[tokio::test]
async fn a_right_saga_passes_the_three_tests() {
    assert_eq!(tried(None).await, Ok(()));
}

#[tokio::test]
async fn each_kind_of_wrong_participant_is_caught() {
    for (fault, run, what) in [
        (
            Fault::NoRecord,
            "without a fault",
            "come once more: completed",
        ),
        (Fault::AnswersDiffer, "without a fault", "and a repeat"),
        (
            Fault::UndoLost,
            "nobody hears of reserve",
            "compensated with",
        ),
        (
            Fault::DoneAfterUndo,
            "nobody hears of reserve",
            "come once more: compensated with",
        ),
        (
            Fault::FenceGuessed,
            "nobody hears of charge",
            "compensated with",
        ),
    ] {
        let error = tried(Some(fault)).await.expect_err("it is caught");
        assert!(
            error.run == run && error.what.contains(what),
            "{fault:?}: {error}"
        );
    }
}

#[tokio::test]
async fn who_is_not_named_is_told() {
    let harness = Harness::new(plan());
    let all = harness.all(|_| json!(null), async |_: &Ended| Ok(())).await;
    let error = all.expect_err("nobody is there");
    assert!(error.what.contains("participant shop"), "{error}");
}
