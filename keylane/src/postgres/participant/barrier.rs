//! One command in one transaction.

use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Conclusion, Judgement, Outcome, Ran, Rows, conclude, judge};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use crate::outbox::{Outbox, OutboxError, OutboxEvent};
use crate::participant::barrier::{Telling, Written, changes, expired, opened, rows_of};
use crate::participant::{Call, PostgresHandler, StepError};
use crate::workers::stats::now_us;

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Takes the step: of two that come at once one waits here for the other's end.
const TAKE: &str = "INSERT INTO keylane_barrier (saga, step, op, verdict, reply) VALUES ($1, $2, 'action', 'open', 'null') ON CONFLICT DO NOTHING RETURNING 1";
/// Takes a step whose action's row is there: of two that come at once one waits here.
const LOCK: &str =
    "SELECT 1 FROM keylane_barrier WHERE saga = $1 AND step = $2 AND op = 'action' FOR UPDATE";
/// A statement of its own behind the lock: the one that waited saw the table as it was before it waited, without a row that the other has added since.
const READ: &str = "SELECT op, verdict, reply FROM keylane_barrier WHERE saga = $1 AND step = $2";
const WRITE: &str = "INSERT INTO keylane_barrier (saga, step, op, verdict, reply) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (saga, step, op) DO UPDATE SET verdict = EXCLUDED.verdict, reply = EXCLUDED.reply, at = now()";

/// Why an attempt came to nothing.
pub(super) enum Trouble {
    /// The database, or the way to it, or an event that cannot be told; in words.
    Failed(String),
    /// Another transaction was in the way: again.
    Conflict(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match crate::participant::is_conflict(&error) {
            true => Trouble::Conflict(error.to_string()),
            false => Trouble::Failed(error.to_string()),
        }
    }
}

/// Carries a command out. No transaction is open afterwards if this returns `Ok`.
pub(super) async fn attempt(
    client: &Client,
    command: &CommandMessage,
    handler: Option<&PostgresHandler>,
    telling: Option<&Telling<'_>>,
) -> Result<Outcome, Trouble> {
    let names = [
        (
            &command.saga as &(dyn tokio_postgres::types::ToSql + Sync),
            Type::TEXT,
        ),
        (&command.step as _, Type::TEXT),
    ];
    // Sent together: the second waits at the server for the first.
    let (begun, taken) = tokio::join!(
        client.batch_execute(BEGIN),
        client.query_typed(TAKE, &names)
    );
    begun?;
    let rows = match taken?.is_empty() {
        false => Ok(Rows::default()),
        true => read(client, &names).await?,
    };
    let rows = match rows {
        Ok(rows) => rows,
        Err(why) => {
            client.batch_execute("ROLLBACK").await?;
            return Ok(Outcome::Unclear(why));
        }
    };
    let asked = command.asked();
    let conclusion = match judge(asked, &rows, now_us()) {
        Judgement::Expired => Conclusion::RollBack(Outcome::Unclear(expired())),
        Judgement::Answer(conclusion) => conclusion,
        Judgement::RunAction => {
            conclude(asked, &rows, run(client, Call::of(command), handler).await?)
        }
        Judgement::RunUndo(reply) => {
            write(client, command, &opened(command.op)).await?;
            let call = Call {
                reply,
                ..Call::of(command)
            };
            conclude(asked, &rows, run(client, call, handler).await?)
        }
    };
    end(client, command, &rows, conclusion, telling).await
}

async fn read(
    client: &Client,
    names: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)],
) -> Result<Result<Rows, String>, Error> {
    // Sent together, and carried out one after the other.
    let (locked, found) = tokio::join!(
        client.query_typed(LOCK, names),
        client.query_typed(READ, names)
    );
    locked?;
    let found = found?;
    let mut stored = Vec::with_capacity(found.len());
    for row in &found {
        stored.push((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    }
    if stored.is_empty() {
        // Deleted in between: the next attempt takes the step.
        return Ok(Err("the step's record was deleted meanwhile".to_owned()));
    }
    Ok(rows_of(stored))
}

async fn run(
    client: &Client,
    call: Call,
    handler: Option<&PostgresHandler>,
) -> Result<Ran, Trouble> {
    let Some(handler) = handler else {
        return Ok(Ran::Error("there is nothing to run".to_owned()));
    };
    client.batch_execute("SAVEPOINT keylane_step").await?;
    match handler(&call, client).await {
        Ok(reply) => {
            // Fails where the handler ended the transaction, or passed over a statement that failed.
            let whole = client.batch_execute("RELEASE keylane_step").await;
            Ok(match whole {
                Ok(()) => Ran::Ok(reply),
                Err(error) => Ran::Error(format!(
                    "the handler ended its transaction, or passed over a statement that failed: {error}"
                )),
            })
        }
        Err(StepError::Rejected(why)) => Ok(Ran::Rejected(why)),
        Err(StepError::Failed(what)) => Ok(Ran::Error(what)),
        Err(StepError::Conflict(what)) => Err(Trouble::Conflict(what)),
    }
}

async fn end(
    client: &Client,
    command: &CommandMessage,
    rows: &Rows,
    conclusion: Conclusion,
    telling: Option<&Telling<'_>>,
) -> Result<Outcome, Trouble> {
    let (new, outcome) = match conclusion {
        Conclusion::Commit(new, outcome) => (new, outcome),
        Conclusion::CommitWithoutEffect(new, outcome) => {
            client.batch_execute("ROLLBACK TO keylane_step").await?;
            (new, outcome)
        }
        Conclusion::RollBack(outcome) => {
            client.batch_execute("ROLLBACK").await?;
            return Ok(outcome);
        }
    };
    let changes = changes(rows, &new);
    for change in &changes {
        write(client, command, change).await?;
    }
    if let Some(telling) = telling.filter(|_| !changes.is_empty())
        && let Some(event) = (telling.tell)(&outcome)
    {
        tell(client, telling.outbox, &event).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(outcome)
}

async fn tell(client: &Client, outbox: &Outbox, event: &OutboxEvent) -> Result<(), Trouble> {
    match outbox.put_postgres(client, event).await {
        Ok(_) => Ok(()),
        Err(OutboxError::Postgres(error)) => Err(error.into()),
        Err(other) => Err(Trouble::Failed(other.to_string())),
    }
}

async fn write(client: &Client, command: &CommandMessage, change: &Written) -> Result<(), Error> {
    let values = [
        (
            &command.saga as &(dyn tokio_postgres::types::ToSql + Sync),
            Type::TEXT,
        ),
        (&command.step as _, Type::TEXT),
        (&change.op as _, Type::TEXT),
        (&change.verdict as _, Type::TEXT),
        (&change.reply as _, Type::TEXT),
    ];
    client.query_typed(WRITE, &values).await.map(drop)
}
