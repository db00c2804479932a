//! One command in one transaction.

use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Conclusion, Judgement, Outcome, Ran, Rows, conclude, judge};
use rusqlite::{Connection, params};

use crate::outbox::OutboxError;
use crate::participant::barrier::{Telling, Written, changes, expired, opened, rows_of};
use crate::participant::{Call, SqliteHandler, StepError};
use crate::workers::stats::now_us;

const READ: &str = "SELECT op, verdict, reply FROM keylane_barrier WHERE saga = ?1 AND step = ?2";
const WRITE: &str =
    "INSERT INTO keylane_barrier (saga, step, op, verdict, reply) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (saga, step, op) DO UPDATE SET verdict = excluded.verdict, reply = excluded.reply";

/// Carries a command out. No transaction is open afterwards.
pub(super) fn carry_out(
    connection: &Connection,
    command: &CommandMessage,
    handler: Option<&SqliteHandler>,
    telling: Option<&Telling<'_>>,
) -> Outcome {
    let outcome = attempt(connection, command, handler, telling);
    if !connection.is_autocommit() && connection.execute_batch("ROLLBACK").is_err() {
        return Outcome::Unclear("the transaction cannot be ended".to_owned());
    }
    outcome.unwrap_or_else(|error| Outcome::Unclear(error.to_string()))
}

fn attempt(
    connection: &Connection,
    command: &CommandMessage,
    handler: Option<&SqliteHandler>,
    telling: Option<&Telling<'_>>,
) -> Result<Outcome, OutboxError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let rows = match rows_of(read(connection, command)?) {
        Ok(rows) => rows,
        Err(why) => return Ok(Outcome::Unclear(why)),
    };
    let asked = command.asked();
    let conclusion = match judge(asked, &rows, now_us()) {
        Judgement::Expired => Conclusion::RollBack(Outcome::Unclear(expired())),
        Judgement::Answer(conclusion) => conclusion,
        Judgement::RunAction => {
            write(connection, command, &opened(command.op))?;
            conclude(asked, &rows, run(connection, &Call::of(command), handler)?)
        }
        Judgement::RunUndo(reply) => {
            write(connection, command, &opened(command.op))?;
            let call = Call {
                reply,
                ..Call::of(command)
            };
            conclude(asked, &rows, run(connection, &call, handler)?)
        }
    };
    end(connection, command, &rows, conclusion, telling)
}

fn read(
    connection: &Connection,
    command: &CommandMessage,
) -> rusqlite::Result<Vec<(String, String, String)>> {
    let mut statement = connection.prepare_cached(READ)?;
    let found = statement.query_map([&command.saga, &command.step], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    found.collect()
}

fn run(
    connection: &Connection,
    call: &Call,
    handler: Option<&SqliteHandler>,
) -> rusqlite::Result<Ran> {
    let Some(handler) = handler else {
        return Ok(Ran::Error("there is nothing to run".to_owned()));
    };
    connection.execute_batch("SAVEPOINT keylane_step")?;
    Ok(match handler(call, connection) {
        // Fails where the handler ended the transaction.
        Ok(reply) => match connection.execute_batch("RELEASE keylane_step") {
            Ok(()) if !connection.is_autocommit() => Ran::Ok(reply),
            _ => Ran::Error("the handler ended its transaction, which is not its to end: what it wrote may be there".to_owned()),
        },
        Err(StepError::Rejected(why)) => Ran::Rejected(why),
        Err(StepError::Failed(what) | StepError::Conflict(what)) => Ran::Error(what),
    })
}

fn end(
    connection: &Connection,
    command: &CommandMessage,
    rows: &Rows,
    conclusion: Conclusion,
    telling: Option<&Telling<'_>>,
) -> Result<Outcome, OutboxError> {
    let (new, outcome) = match conclusion {
        Conclusion::Commit(new, outcome) => (new, outcome),
        Conclusion::CommitWithoutEffect(new, outcome) => {
            connection.execute_batch("ROLLBACK TO keylane_step")?;
            (new, outcome)
        }
        Conclusion::RollBack(outcome) => return Ok(outcome),
    };
    let changes = changes(rows, &new);
    for change in &changes {
        write(connection, command, change)?;
    }
    if let Some(telling) = telling.filter(|_| !changes.is_empty())
        && let Some(event) = (telling.tell)(&outcome)
    {
        telling.outbox.put_sqlite(connection, &event)?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(outcome)
}

fn write(
    connection: &Connection,
    command: &CommandMessage,
    change: &Written,
) -> rusqlite::Result<()> {
    let (saga, step) = (&command.saga, &command.step);
    let values = params![saga, step, change.op, change.verdict, change.reply];
    connection.prepare_cached(WRITE)?.execute(values).map(drop)
}
