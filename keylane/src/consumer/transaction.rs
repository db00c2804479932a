//! One attempt at a record in a transaction that holds the progress of its lane too.

use std::fmt::Display;
use std::ops::Deref;
use std::time::{Duration, Instant};

use keylane_core::apply::ApplyError;
use rand::Rng as _;
use tokio_postgres::Client;

use super::error::ConsumerError;
use super::record::Record;
use super::work::{Done, Ended, How, Todo, call, only};
use crate::postgres::consume::{LaneMove, NotCommitted, Open, Opening, PostgresProgress, Stood};

/// The pauses between questions what became of a commit.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// The open transaction of a record, for its handler's statements: all that [`tokio_postgres::Client`] has for them, `execute`, `query` and the rest; also where something asks
/// for a `GenericClient`.
///
/// It is committed, with the progress, when the handler returns `Ok`, and rolled back if not. A handler never ends it itself: who says `COMMIT` or `ROLLBACK` ends the consumer. `SAVEPOINT` and
/// `ROLLBACK TO` are the handler's own. What is set for the session rather than the transaction (`SET`, temporary tables, advisory locks of the session) stays for
/// the next record on the connection.
pub struct Transaction(Open);

impl Deref for Transaction {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.0.client()
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

/// One attempt at one record.
pub(super) async fn attempt<H, E>(
    handler: &H,
    store: &PostgresProgress,
    todo: Todo,
    longest: Option<Duration>,
) -> Ended
where
    H: AsyncFn(Record, &Transaction) -> Result<(), E>,
    E: Display,
{
    let Todo { task, records } = todo;
    let how = match open(store, &task.moves).await {
        Err(how) => how,
        Ok(transaction) => {
            let began = Instant::now();
            let handling = async { handler(only(records), &transaction).await };
            let handled = call(handling, longest).await;
            close(store, transaction.0, &task.moves, began, handled).await
        }
    };
    Ended { task, how }
}

/// One attempt at a batch. A function of its own: an async closure around the handler, which would make one of both, is no `Send` future to the compiler.
pub(super) async fn attempt_batch<H, E>(
    handler: &H,
    store: &PostgresProgress,
    todo: Todo,
    longest: Option<Duration>,
) -> Ended
where
    H: AsyncFn(Vec<Record>, &Transaction) -> Result<(), E>,
    E: Display,
{
    let Todo { task, records } = todo;
    let how = match open(store, &task.moves).await {
        Err(how) => how,
        Ok(transaction) => {
            let began = Instant::now();
            let handled = call(
                async { handler(records.into_vec(), &transaction).await },
                longest,
            )
            .await;
            close(store, transaction.0, &task.moves, began, handled).await
        }
    };
    Ended { task, how }
}

/// The handler has ended: a commit, or a rollback.
async fn close(
    store: &PostgresProgress,
    open: Open,
    moves: &[LaneMove],
    began: Instant,
    handled: How,
) -> How {
    match handled {
        How::Done(done) => commit(store, open, moves, done).await,
        failed => give_up(store, open, began, failed).await,
    }
}

/// The progress of a record alone: it is passed over, or was put elsewhere.
pub(super) async fn pass(store: &PostgresProgress, moves: &[LaneMove], done: Done) -> How {
    match open(store, moves).await {
        Err(how) => how,
        Ok(transaction) => commit(store, transaction.0, moves, done).await,
    }
}

async fn open(store: &PostgresProgress, moves: &[LaneMove]) -> Result<Transaction, How> {
    match store.open(moves).await {
        Ok(Opening::Open(open)) => Ok(Transaction(open)),
        Ok(Opening::Fenced) => Err(How::Fenced),
        Err(error) => Err(hindered(error)),
    }
}

fn hindered(error: ApplyError) -> How {
    match error.passes() {
        true => How::Hindered(error.message),
        false => How::broken(error),
    }
}

async fn commit(store: &PostgresProgress, open: Open, moves: &[LaneMove], done: Done) -> How {
    match open.commit().await {
        Ok(()) => How::Done(done),
        Err(NotCommitted::RolledBack(words)) => How::Failed(words),
        Err(NotCommitted::Ended) => {
            let words = "the handler ended its transaction (COMMIT or ROLLBACK), which is not its to end: what it wrote may be there in part";
            How::broken(ConsumerError::Misused(words.to_owned()))
        }
        Err(NotCommitted::Unknown) => what_became(store, moves, done).await,
    }
}

/// Of a commit without an answer: the lane itself tells. It is asked until it does; to begin anew blindly could do twice what was done.
async fn what_became(store: &PostgresProgress, moves: &[LaneMove], done: Done) -> How {
    let (mut pause, longest) = PAUSES;
    loop {
        match store.look(moves).await {
            Ok(Stood::Behind) => return How::Done(done),
            Ok(Stood::Before) => return How::Hindered("the connection was lost".to_owned()),
            Ok(Stood::Elsewhere) => return How::Fenced,
            Err(error) if error.passes() => {}
            Err(error) => return How::broken(error),
        }
        let spread = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(pause.mul_f64(spread)).await;
        pause = (pause * 2).min(longest);
    }
}

/// The handler failed: nothing is written. That its connection was lost is no fault of the record, unless the server ended it because the handler left it idle for too long.
async fn give_up(store: &PostgresProgress, open: Open, began: Instant, failed: How) -> How {
    if matches!(failed, How::TimedOut) {
        // A statement may be running still: the connection goes with it.
        drop(open);
        return failed;
    }
    let left_idle = began.elapsed() >= store.idle_timeout;
    match (open.roll_back().await, failed) {
        (false, How::Failed(words)) if !left_idle => How::Hindered(words),
        (_, failed) => failed,
    }
}
