//! How far a group is, and whose partitions are: fence first, then read.

use std::sync::Arc;
use std::time::Duration;

use keylane_core::apply::{ApplyError, PartitionSpec};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Offset, TopicPartition};
use tokio_postgres::Client;

use super::open::{LaneMove, Opening};
use super::pool::Pool;
use super::tables::{LANES, TABLES};
use crate::postgres::connect::redacted;
use crate::postgres::error::apply_error;
use crate::postgres::lanes::{Must, NotRaised, named, names, signed, unsigned};

const READ: &str = "
SELECT p.topic, p.partition, p.lane, p.next_offset, p.owner_epoch
FROM keylane.consumer_progress AS p
WHERE p.consumer_group = $1 AND (p.topic, p.partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))
ORDER BY p.topic, p.partition, p.lane";

/// Never backwards.
const SAVE_LOWS: &str = "
UPDATE keylane.consumer_progress AS p SET next_offset = greatest(p.next_offset, s.low), done_at = now()
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) AS s (topic, partition, epoch, low)
WHERE p.consumer_group = $1 AND p.topic = s.topic AND p.partition = s.partition AND p.lane = -1 AND p.owner_epoch = s.epoch
RETURNING p.topic, p.partition";

/// The lock waits for a transaction that is not at its end yet.
const LOOK: &str = "
SELECT next_offset, owner_epoch FROM keylane.consumer_progress
WHERE consumer_group = $1 AND topic = $2 AND partition = $3 AND lane = $4 FOR NO KEY UPDATE";

/// A PostgreSQL database in which a consumer group keeps how far it is: the one that its handlers write to. Tables of its own, in schema `keylane`, are made
/// when they are missing.
///
/// One group, one database: members of a group that keep their progress in different ones would each handle everything.
#[derive(Clone)]
pub struct PostgresProgress {
    pub(super) url: String,
    pub(super) application_name: String,
    pub(super) connect_timeout: Duration,
    pub(super) lock_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) lanes: u16,
    pub(crate) connections: usize,
    group: String,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for PostgresProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresProgress")
            .field("url", &redacted(&self.url))
            .field("lanes", &self.lanes)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

impl PostgresProgress {
    /// The database at `postgres://user@host:port/db?sslmode=…`; the URL may hold a password.
    pub fn new(url: impl Into<String>) -> Self {
        PostgresProgress {
            url: url.into(),
            application_name: "keylane consumer".to_owned(),
            connect_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            lanes: 128,
            connections: 20,
            group: String::new(),
            pool: Arc::default(),
        }
    }

    /// How many lanes each partition has; 128 by default. Keys of one lane wait for each other, so let there be several times as many as handlers are in progress. Stored
    /// with the group: another number than the stored one is refused (KL-CONSUME-006). With one lane, a whole partition keeps its order.
    #[must_use]
    pub fn lanes(mut self, lanes: u16) -> Self {
        self.lanes = lanes.max(1);
        self
    }

    /// Transactions open at a time at most, each with a connection of its own; 20 by default. [`Consumer::concurrency`](crate::consumer::Consumer::concurrency) bounds them too.
    /// One connection more is opened now and then.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// The longest that a statement waits for what somebody else has locked; 30 s by default. Then the transaction is rolled back and tried again.
    #[must_use]
    pub fn lock_timeout(mut self, longest: Duration) -> Self {
        self.lock_timeout = longest;
        self
    }

    /// The longest that a handler may do something else between two statements; then the server ends its transaction. 30 s by default. As long may another process
    /// that takes over from one that hangs have to wait.
    #[must_use]
    pub fn idle_timeout(mut self, longest: Duration) -> Self {
        self.idle_timeout = longest;
        self
    }

    /// What connections call themselves in `pg_stat_activity`; `keylane consumer` by default.
    #[must_use]
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = name.into();
        self
    }

    pub(crate) fn of_group(mut self, group: &str) -> Self {
        group.clone_into(&mut self.group);
        self
    }
}

/// A partition as it is taken over.
pub(crate) struct Begun {
    pub partition: TopicPartition,
    pub owner_epoch: u64,
    /// Everything below is done, in every lane; `None` if the group has not begun there.
    pub low: Option<Offset>,
    /// What is stored of each lane, by its number: its next offset, or −1.
    pub lanes: Vec<i64>,
}

/// How far a partition is as a whole.
#[derive(Clone)]
pub(crate) struct Low {
    pub partition: TopicPartition,
    pub owner_epoch: u64,
    pub low: Offset,
    /// Where each lane must be stored, or further: its number and next offset.
    pub held: Vec<(u16, i64)>,
}

/// Where a lane was found after an answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stood {
    /// Behind the step: it was committed.
    Behind,
    /// Before it: it was not.
    Before,
    /// Somewhere else, or under another owner.
    Elsewhere,
}

impl PostgresProgress {
    /// Makes what is missing.
    pub(crate) async fn prepare(&self) -> Result<(), ApplyError> {
        TABLES.prepare(&mut self.knock().await?).await
    }

    /// Takes partitions over: waits for open transactions of the former owner, after which it can write no more, and reads what it left.
    pub(crate) async fn fence(&self, specs: &[PartitionSpec]) -> Result<Vec<Begun>, NotRaised> {
        let mut client = self.knock().await?;
        let at_rim = |error: tokio_postgres::Error| {
            apply_error(
                &error,
                "taking partitions over in keylane.consumer_progress",
            )
        };
        let transaction = client.transaction().await.map_err(at_rim)?;
        LANES.raise(&transaction, &self.group, specs).await?;
        let (topics, numbers) = names(specs.iter().map(|spec| &spec.partition));
        let rows = transaction
            .query(READ, &[&self.group, &topics, &numbers])
            .await
            .map_err(at_rim)?;
        let mut begun: Vec<Begun> = Vec::with_capacity(specs.len());
        for row in rows {
            let next: i64 = row.get(3);
            if row.get::<_, i32>(2) < 0 {
                begun.push(Begun {
                    partition: named(&row),
                    owner_epoch: unsigned(row.get(4)),
                    low: (next >= 0).then(|| Offset(unsigned(next))),
                    lanes: Vec::new(),
                });
            } else if let Some(last) = begun.last_mut() {
                // By number, from 0 on, without gaps: so they were made.
                last.lanes.push(next);
            }
        }
        transaction.commit().await.map_err(at_rim)?;
        Ok(begun)
    }

    /// Saves how far partitions are. Returns those that another owner has taken over, and those of which less is held than was written.
    pub(crate) async fn save_lows(&self, lows: &[Low]) -> Result<Vec<TopicPartition>, ApplyError> {
        let at_rim =
            |error: tokio_postgres::Error| apply_error(&error, "saving keylane.consumer_progress");
        let client = self.pool.take(self).await?;
        let lacking = LANES.lacking(&client, &self.group, &must(lows)).await;
        let lacking = lacking.map_err(at_rim)?;
        if let Some(partition) = lacking.first() {
            tracing::warn!(
                group = self.group,
                %partition,
                "keylane.consumer_progress holds less than was written there: it was restored from an older state; going on from what it holds"
            );
        }
        let held: Vec<&Low> = lows
            .iter()
            .filter(|low| !lacking.contains(&low.partition))
            .collect();
        let (topics, numbers) = names(held.iter().map(|low| &low.partition));
        let epochs: Vec<i64> = held.iter().map(|low| signed(low.owner_epoch)).collect();
        let offsets: Vec<i64> = held.iter().map(|low| signed(low.low.0)).collect();
        let rows = client
            .query(
                SAVE_LOWS,
                &[&self.group, &topics, &numbers, &epochs, &offsets],
            )
            .await
            .map_err(at_rim)?;
        self.pool.give(client);
        let saved: Vec<TopicPartition> = rows.iter().map(named).collect();
        let partitions = lows.iter().map(|low| &low.partition);
        Ok(partitions
            .filter(|partition| !saved.contains(partition))
            .cloned()
            .collect())
    }

    /// Begins a transaction: the lanes' steps are its first statements. That takes their row locks, so a new owner's fence waits for the transaction and reads
    /// what it left; and who was fenced fails before anything is written.
    pub(crate) async fn open(&self, moves: &[LaneMove]) -> Result<Opening, ApplyError> {
        let client = self.pool.take(self).await?;
        super::open::begin(client, self.pool.clone(), &self.group, moves).await
    }

    /// Where the lanes of a transaction stand whose commit was not answered. Waits until it is at its end.
    pub(crate) async fn look(&self, moves: &[LaneMove]) -> Result<Stood, ApplyError> {
        // One transaction moves them all, or none.
        let Some(first) = moves.first() else {
            return Ok(Stood::Before);
        };
        let client = self.pool.take(self).await?;
        let topic = &*first.partition.topic;
        let number = i32::try_from(first.partition.partition).unwrap_or(i32::MAX);
        let row = client
            .query_opt(
                LOOK,
                &[&self.group, &topic, &number, &i32::from(first.lane)],
            )
            .await
            .map_err(|error| apply_error(&error, "reading keylane.consumer_progress"))?;
        self.pool.give(client);
        let Some(row) = row else {
            let words = "rows of keylane.consumer_progress are gone: somebody deleted them";
            return Err(ApplyError::new(ApplyErrorKind::Other, words));
        };
        let (next, epoch): (i64, i64) = (row.get(0), row.get(1));
        Ok(match unsigned(epoch) == first.owner_epoch {
            true if next == signed(first.next.0) => Stood::Behind,
            true if next == first.expected => Stood::Before,
            _ => Stood::Elsewhere,
        })
    }

    /// A connection for taking over: it waits for locks as long as it takes.
    async fn knock(&self) -> Result<Client, ApplyError> {
        self.pool.open(self, None).await
    }
}

/// What must be stored.
fn must(lows: &[Low]) -> Vec<Must<'_>> {
    let lanes = lows.iter().flat_map(|low| {
        let lanes = low.held.iter();
        lanes.map(|(lane, next)| (&low.partition, i32::from(*lane), *next))
    });
    lanes.collect()
}
