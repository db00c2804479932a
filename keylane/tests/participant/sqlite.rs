//! A participant in a SQLite file.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use keylane::participant::{CarryOut as _, SqliteParticipant, SqliteSteps, StepError};
use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Op, Outcome};
use rusqlite::Connection;
use serde_json::json;

use super::cases;
use super::commands::{ACTION, Asked, EFFECTS, UNDO, asking};

fn steps() -> SqliteSteps {
    SqliteSteps::default()
        .on(ACTION)
        .action(|call, tx| {
            tx.execute("INSERT INTO effects VALUES (?1, 'did')", [&call.saga])?;
            match call.input["end"].as_str() {
                Some("no") => Err(StepError::rejected("no")),
                Some("error") => Err(StepError::failed("it failed")),
                Some("commits") => Ok(tx.execute_batch("COMMIT").map(|()| json!(null))?),
                _ => Ok(json!({"counted": call.saga})),
            }
        })
        .undo(UNDO, |call, tx| {
            tx.execute("INSERT INTO effects VALUES (?1, 'undid')", [&call.saga])?;
            Ok(json!({"took": call.reply}))
        })
}

struct InSqlite {
    /// Two of one file: commands may come to either.
    participants: [SqliteParticipant; 2],
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl InSqlite {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("service.db");
        let connection = Connection::open(&path).expect("a file");
        connection
            .pragma_update(None, "journal_mode", "wal")
            .expect("WAL");
        connection.execute_batch(EFFECTS).expect("a table");
        let open = || SqliteParticipant::open(&path, "/count", steps());
        let participants = [
            open().await.expect("a participant"),
            open().await.expect("another"),
        ];
        InSqlite {
            participants,
            path,
            _folder: folder,
        }
    }
}

impl Asked for InSqlite {
    fn ask<'a>(&'a self, command: CommandMessage) -> BoxFuture<'a, Outcome> {
        let which = usize::from(command.op == Op::Compensate);
        Box::pin(async move { self.participants[which].carry_out(&command).await })
    }

    fn effects<'a>(&'a self, saga: &'a str) -> BoxFuture<'a, (u64, u64)> {
        let connection = Connection::open(&self.path).expect("the file");
        connection
            .busy_timeout(Duration::from_secs(20))
            .expect("a time");
        let sql = "SELECT count(*) FILTER (WHERE what = 'did'), count(*) FILTER (WHERE what = 'undid') FROM effects WHERE saga = ?1";
        let counts = connection.query_row(sql, [saga], |row| Ok((row.get(0)?, row.get(1)?)));
        Box::pin(std::future::ready(counts.expect("a row")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_in_sqlite_answers_every_case_as_the_first_verdict_says() {
    let participant = InSqlite::new().await;
    cases::all("sqlite", &participant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_commands_in_sqlite_leaves_one_verdict_for_each_step() {
    let participant = InSqlite::new().await;
    cases::storm("sqlite", &participant, 120, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ends_its_transaction_gets_no_verdict_and_is_not_run_again() {
    let participant = InSqlite::new().await;
    for _ in 0..3 {
        let mut command = asking("s", Op::Action);
        command.input = json!({"end": "commits"});
        let outcome = participant.ask(command).await;
        assert!(matches!(outcome, Outcome::Unclear(_)), "{outcome:?}");
    }
    assert_eq!(participant.effects("s").await, (1, 0));
}
