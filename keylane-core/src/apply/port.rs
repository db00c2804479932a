//! The replica: what a database adapter must promise so that changes can be applied exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{ApplyErrorKind, Remedy};
use crate::model::{
    Change, Lane, LaneCount, Offset, Position, TableName, TableSchema, TopicPartition,
};
use crate::publish::Acceptance;

use super::{AskedThreads, MustHit};

/// A partition to be owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSpec {
    /// Which.
    pub partition: TopicPartition,
    /// The topic's identity; another one than stored means it was re-created.
    pub topic_id: Arc<str>,
    /// How many partitions its topic has; another number than stored means that keys have moved.
    pub partitions: u32,
    /// How many lanes it has; another number than stored is refused.
    pub lanes: LaneCount,
}

/// What the replica knows of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionProgress {
    /// Which.
    pub partition: TopicPartition,
    /// The owner's number: raised by every fence, checked by every write.
    pub owner_epoch: u64,
    /// Everything below this offset is applied, in every lane.
    pub low: Offset,
    /// Everything at or below this position is applied, as far as this partition goes.
    pub low_position: Position,
    /// The acceptance of records at `low`.
    pub acceptance: Acceptance,
    /// Each lane as stored: its next offset and the position it reached. An idle lane may be behind `low`, a lane without a row stands at 0.
    pub lanes: BTreeMap<Lane, (Offset, Position)>,
    /// Keys (record keys) that have parked changes, and their lanes.
    pub parked_keys: Vec<(Lane, Bytes)>,
    /// Parked keys of which a person asked that they be redriven.
    pub redrive_keys: Vec<Bytes>,
}

/// How far a partition is as a whole: saved now and then, so that idle lanes need no row of their own to be up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLow {
    /// Which.
    pub partition: TopicPartition,
    /// The owner's number.
    pub owner_epoch: u64,
    /// Everything below this offset is applied.
    pub low: Offset,
    /// Everything at or below this position is applied, as far as this partition goes.
    pub low_position: Position,
    /// The acceptance of records at `low`.
    pub acceptance: Acceptance,
    /// What must be stored still, or the replica was restored from an older state.
    pub held: Held,
}

/// What the replica held of a partition when it was last written to, and must hold still, or more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The low mark.
    pub low: Offset,
    /// Lanes that are further, and their next offsets.
    pub ahead: Vec<(Lane, Offset)>,
}

impl PartitionLow {
    /// Whether it says of the partition what the other says; what the replica must hold apart.
    pub fn says_as(&self, other: &PartitionLow) -> bool {
        let said = |low: &PartitionLow| {
            let place = (low.low, low.low_position, low.acceptance);
            (low.owner_epoch, place)
        };
        said(self) == said(other)
    }
}

/// A lane's step in a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStep {
    /// The partition.
    pub partition: TopicPartition,
    /// The lane.
    pub lane: Lane,
    /// The owner's number that must be stored, or the process is fenced.
    pub owner_epoch: u64,
    /// The next offset that must be stored, or the process is fenced.
    pub expected: Offset,
    /// The next offset after the step.
    pub next: Offset,
    /// The position reached by the step.
    pub position: Position,
}

/// One thing to do in a transaction.
#[derive(Clone, Debug)]
pub struct Work {
    /// Index of its lane in [`ApplyBatch::steps`].
    pub step: usize,
    /// Its place in its partition.
    pub offset: Offset,
    /// The record's key.
    pub key: Bytes,
    /// What to do.
    pub action: WorkAction,
}

/// What to do with a change.
#[derive(Clone, Debug)]
pub enum WorkAction {
    /// Write it.
    Apply(Arc<Change>),
    /// Park it: write it to the parked table instead.
    Park(Box<ParkedEntry>),
    /// Fold the key's parked queue to its end, write that, and empty the queue.
    Redrive,
}

/// A parked change.
#[derive(Clone, Debug, PartialEq)]
pub struct ParkedEntry {
    /// The table, as far as known.
    pub table: Option<TableName>,
    /// Where it is.
    pub partition: TopicPartition,
    /// Where it is.
    pub offset: Offset,
    /// The lane.
    pub lane: Lane,
    /// The record's key.
    pub key: Bytes,
    /// The record's value as it came.
    pub value: Bytes,
    /// The record's own header as it came.
    pub header: Option<String>,
    /// Why: the error's code; `KL-APPLY-011` for a change that stands behind a parked one.
    pub code: String,
    /// Why, in words without row values.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// A parked key as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ParkedSummary {
    /// Its number.
    pub id: i64,
    /// The pipeline.
    pub pipeline: String,
    /// The table.
    pub table: String,
    /// The key.
    pub key: String,
    /// Where its first change stands in the log.
    pub partition: TopicPartition,
    /// Where its first change stands in the log.
    pub offset: Offset,
    /// Since when, microseconds since 1970.
    pub since_us: i64,
    /// How often its first change was tried.
    pub attempts: u32,
    /// The first change's error code.
    pub code: String,
    /// The first change's error.
    pub error: String,
    /// How many later changes stand behind it.
    pub behind: u64,
    /// Whether its redrive was asked for.
    pub redriving: bool,
}

/// Which parked keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParkedFilter {
    /// Of this number only.
    pub id: Option<i64>,
    /// Of this table only (`schema.name`).
    pub table: Option<String>,
}

/// How a batch is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Columns folded per key, statements grouped per table.
    Folded,
    /// Every change for itself, in position order, grouped in one transaction.
    Unfolded,
    /// As `Unfolded`, and the changes before the first that fails are kept (a savepoint before each).
    Careful,
    /// All or nothing, every change for itself, in whatever order the replica's constraints allow ([`super::Reordering`]), each key's in theirs; constraints that
    /// can be deferred are. It is what is left of one transaction of the origin, and everything before that is applied.
    Together,
}

/// One transaction's work.
#[derive(Clone, Debug)]
pub struct ApplyBatch {
    /// The pipeline.
    pub pipeline: Arc<str>,
    /// The lanes and their steps; if all work is done.
    pub steps: Vec<LaneStep>,
    /// The work, in position order.
    pub work: Vec<Work>,
    /// How.
    pub mode: Mode,
    /// Where an update or delete that hits no row fails the batch (`ApplyErrorKind::MissingRow`).
    pub must_hit: MustHit,
    /// If it begins before everything before it is committed: its turn, which is awaited when its rows are written. Its steps are made then, behind those of the
    /// batches before it. Never in [`Mode::Careful`] or [`Mode::Together`].
    pub turn: Option<Arc<dyn InTurn>>,
}

/// The turn of a batch whose transaction began before everything before it was committed.
#[async_trait]
pub trait InTurn: Send + Sync + std::fmt::Debug {
    /// Waits until everything before it is committed.
    ///
    /// # Errors
    /// It has to roll back instead.
    async fn await_turn(&self) -> Result<(), ApplyError>;

    /// Whether what it did is what it would have done behind everything before it.
    ///
    /// # Errors
    /// It may not be: it has to roll back and be done again.
    fn check(&self, applied: &Applied) -> Result<(), ApplyError>;
}

/// What a transaction did. It is committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// In `Careful` mode: the index in `work` of the change that failed, and why. What stands before it is committed, with the lanes' progress up to it.
    pub failed: Option<(usize, ApplyError)>,
    /// Changes whose update or delete hit no row, by table.
    pub missing: BTreeMap<TableName, u64>,
    /// Rows written (after folding).
    pub rows: u64,
}

/// What went wrong at the replica. The message holds no row values and no secrets. The transaction is rolled back.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApplyError {
    /// What it asks for.
    pub kind: ApplyErrorKind,
    /// What happened, with the database's own code, and where.
    pub message: String,
}

impl ApplyError {
    /// An error of a kind.
    pub fn new(kind: ApplyErrorKind, message: impl Into<String>) -> Self {
        ApplyError {
            kind,
            message: message.into(),
        }
    }

    /// Whether trying again may help, without anybody doing anything here.
    pub fn passes(&self) -> bool {
        matches!(self.kind.remedy(), Remedy::RetryForever | Remedy::Retry)
    }
}

/// A table at the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaTable {
    /// Its name there.
    pub table: TableName,
    /// Its columns.
    pub columns: Vec<ReplicaColumn>,
    /// The names of its primary key's columns.
    pub key: Vec<String>,
}

/// A column at the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaColumn {
    /// Its name.
    pub name: String,
    /// Its type in the replica's own words.
    pub type_name: String,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// Whether the database computes it.
    pub generated: bool,
}

/// A database that changes are applied to.
///
/// *Atomicity*: a transaction's rows and its lanes' steps are committed together or not at all. *Fencing*: after `fence` returns, no transaction that was
/// opened under an earlier owner's number can commit. *Durability*: what `apply` returned `Ok` for survives the loss of either process.
#[async_trait]
pub trait Replica: Send + Sync {
    /// Creates Keylane's own tables where they are missing.
    async fn prepare(&self) -> Result<(), ApplyError>;

    /// Raises the owner's number of the partitions (waiting for open transactions of the former owner), then reads their progress. New partitions start at
    /// offset 0. Refuses (`ApplyErrorKind::Other`) a topic that was re-created, or that has another number of partitions or lanes than stored.
    async fn fence(
        &self,
        pipeline: &str,
        partitions: &[PartitionSpec],
    ) -> Result<Vec<PartitionProgress>, ApplyError>;

    /// Reads all progress of a pipeline without raising anything.
    async fn progress(&self, pipeline: &str) -> Result<Vec<PartitionProgress>, ApplyError>;

    /// As [`Replica::progress`], without the lanes' own: what is cheap enough to look at all the time. Parked keys are read no earlier than progress.
    async fn lows(&self, pipeline: &str) -> Result<Vec<PartitionProgress>, ApplyError>;

    /// Whether one transaction at a time can write: one that waits for its turn then keeps the others out.
    fn writes_one_by_one(&self) -> bool {
        false
    }

    /// What tells this database from any other, the same for every process that writes to it: a few letters and digits.
    async fn identity(&self) -> Result<String, ApplyError>;

    /// A connection of its own for a worker.
    async fn session(&self) -> Result<Box<dyn ReplicaSession>, ApplyError>;

    /// A table as it is; `None` if it is not there.
    async fn describe(&self, table: &TableName) -> Result<Option<ReplicaTable>, ApplyError>;

    /// Creates the table, or adds to it the columns it lacks.
    async fn create_table(&self, schema: &TableSchema) -> Result<(), ApplyError>;

    /// Parked keys, oldest first, at most `limit`.
    async fn parked(
        &self,
        pipeline: &str,
        filter: &ParkedFilter,
        limit: u32,
    ) -> Result<Vec<ParkedSummary>, ApplyError>;

    /// Asks for (`discard` = false) the redrive of parked keys by their lanes' owner, or drops their queues (`true`). Returns how many keys it touched.
    async fn resolve_parked(
        &self,
        pipeline: &str,
        filter: &ParkedFilter,
        discard: bool,
    ) -> Result<u64, ApplyError>;

    /// How many threads a person asked for, if one did.
    async fn asked_threads(&self, pipeline: &str) -> Result<Option<AskedThreads>, ApplyError>;

    /// Stores how many threads a person asks for. Appliers look every second.
    async fn ask_threads(&self, pipeline: &str, asked: AskedThreads) -> Result<(), ApplyError>;
}

/// A connection of one worker.
///
/// *Loss*: a connection that is lost is told once, as `Unreachable`, also where it was lost while nothing was asked of it: what answers next may be a replica that was
/// restored, or a standby that has not seen the last transactions.
#[async_trait]
pub trait ReplicaSession: Send {
    /// Applies a batch in one transaction.
    async fn apply(&mut self, batch: &ApplyBatch) -> Result<Applied, ApplyError>;

    /// When its connection was lost, if it was while nothing was asked of it, and that was not told yet. Who has looked since then what the replica holds may let the
    /// session go without a word.
    fn ended(&self) -> Option<Instant> {
        None
    }

    /// Saves how far partitions are as a whole. Checks the owner's number, and that the replica holds what it held before ([`PartitionLow::held`]).
    async fn save_low(&mut self, pipeline: &str, lows: &[PartitionLow]) -> Result<(), ApplyError>;
}
