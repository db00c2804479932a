//! One transaction.

use std::fmt::Write as _;
use std::sync::Arc;

use keylane_core::apply::ApplyError;
use keylane_core::model::{Offset, TopicPartition};
use postgres_protocol::escape::escape_literal;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::pool::Pool;
use crate::postgres::connect::is_connection_lost;
use crate::postgres::error::apply_error;

/// A setting of the transaction alone, the name of a table. Where it is no name at the end, the transaction was ended in between; where the question itself fails, a
/// statement had failed. What `COMMIT` answers tells neither.
const MARK: &str = "SET LOCAL keylane.open = 'keylane.consumer_progress'";
const IS_MARKED: &str = "SELECT current_setting('keylane.open')::regclass";
const ENDED_BEFORE: &str = "42602";

/// A lane's step.
#[derive(Clone, Debug)]
pub(crate) struct LaneMove {
    pub partition: TopicPartition,
    pub lane: u16,
    /// The owner's number that must be stored.
    pub owner_epoch: u64,
    /// The next offset that must be stored; −1: nothing was handled yet.
    pub expected: i64,
    /// The next offset then.
    pub next: Offset,
}

/// How it began.
pub(crate) enum Opening {
    /// The lanes' steps are made; the rest is to follow.
    Open(Open),
    /// Another owner has the partition, or a lane stands elsewhere. Nothing is open.
    Fenced,
}

/// An open transaction. Dropped, it is rolled back with its connection.
pub(crate) struct Open {
    client: Client,
    pool: Arc<Pool>,
}

/// How it ended, if not by a commit.
pub(crate) enum NotCommitted {
    /// Rolled back, for a reason that lies in what was written.
    RolledBack(String),
    /// The handler ended it: part of what it wrote may be there, and nothing says which.
    Ended,
    /// Nobody knows: the connection was lost.
    Unknown,
}

pub(super) async fn begin(
    client: Client,
    pool: Arc<Pool>,
    group: &str,
    moves: &[LaneMove],
) -> Result<Opening, ApplyError> {
    let at_rim = |error| apply_error(&error, "moving a lane on in keylane.consumer_progress");
    let sql = opening(group, moves);
    let answers = client.simple_query(&sql).await.map_err(at_rim)?;
    let hit: u64 = answers.iter().fold(0, |sum, answer| match answer {
        SimpleQueryMessage::CommandComplete(rows) => sum + rows,
        _ => sum,
    });
    let open = Open { client, pool };
    if hit == moves.len() as u64 {
        return Ok(Opening::Open(open));
    }
    open.roll_back().await;
    Ok(Opening::Fenced)
}

fn opening(group: &str, moves: &[LaneMove]) -> String {
    let mut sorted: Vec<&LaneMove> = moves.iter().collect();
    sorted.sort_by(|a, b| (&a.partition, a.lane).cmp(&(&b.partition, b.lane)));
    let group = escape_literal(group);
    let mut sql = String::with_capacity(64 + moves.len() * 96);
    sql.push_str("BEGIN;");
    for step in sorted {
        // Writing to a String cannot fail.
        let _ = write!(
            sql,
            "EXECUTE keylane_step ({group},{},{},{},{},{},{});",
            escape_literal(&step.partition.topic),
            step.partition.partition,
            step.lane,
            step.owner_epoch,
            step.expected,
            step.next.0
        );
    }
    sql.push_str(MARK);
    sql
}

impl Open {
    /// For the handler's statements.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Commits. What the handler did to the transaction itself is found here: that it ended it, or passed over a statement that failed.
    pub(crate) async fn commit(self) -> Result<(), NotCommitted> {
        let ended = self
            .client
            .batch_execute(&format!("{IS_MARKED};COMMIT"))
            .await;
        let Err(error) = ended else {
            self.pool.give(self.client);
            return Ok(());
        };
        if is_connection_lost(&error) {
            return Err(NotCommitted::Unknown);
        }
        let words = match error.code().map(|code| code.code()) {
            Some(ENDED_BEFORE) => return Err(NotCommitted::Ended),
            Some("25P02") => "a statement failed, and the handler passed over that".to_owned(),
            _ => apply_error(&error, "committing").message,
        };
        match self.roll_back().await {
            true => Err(NotCommitted::RolledBack(words)),
            // The server's word was that it is not committed; only the connection is gone since.
            false if error.code().is_some() => Err(NotCommitted::RolledBack(words)),
            false => Err(NotCommitted::Unknown),
        }
    }

    /// Rolls back. Returns whether the connection is well.
    pub(crate) async fn roll_back(self) -> bool {
        let well = self.client.batch_execute("ROLLBACK").await.is_ok();
        if well {
            self.pool.give(self.client);
        }
        well
    }
}
