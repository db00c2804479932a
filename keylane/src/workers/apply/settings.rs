//! What the apply worker is told.

use std::sync::Arc;
use std::time::Duration;

use keylane_core::apply::{FailurePolicy, Limits, Threads};
use keylane_core::model::LaneCount;
use keylane_core::publish::GroupProtocol;

/// What the apply worker is told.
#[derive(Clone, Debug)]
pub struct ApplySettings {
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// The topics' prefix.
    pub prefix: Arc<str>,
    /// Topics that Debezium writes, applied instead of captured ones.
    pub debezium_topics: Option<Vec<String>>,
    /// How this process shares the partitions with others.
    pub group: GroupOptions,
    /// Workers, each with a connection of its own, unless a person asks for another number while they work.
    pub threads: Threads,
    /// The most workers that are found by themselves.
    pub threads_max: u32,
    /// Lanes of each partition; fixed for the life of the pipeline.
    pub lanes: LaneCount,
    /// What readers of the replica may rely on.
    pub consistency: Consistency,
    /// The size of a transaction.
    pub limits: Limits,
    /// Bytes fetched and not yet applied, over all partitions, the client library's own queues included.
    pub buffer_bytes: usize,
    /// Whether several changes of one row in one transaction are folded into one write.
    pub fold: bool,
    /// Whether tables and columns that the replica lacks are created.
    pub create_tables: bool,
    /// Whether an update or delete that hits no row stops the pipeline, once its table's copy is applied. Else it is counted.
    pub stop_at_missing_rows: bool,
    /// What is done about failures.
    pub policy: FailurePolicy,
    /// More parked keys than this stop the pipeline.
    pub parked_keys_max: usize,
    /// How often the partitions' progress as a whole is saved.
    pub save_interval: Duration,
    /// How long a drain may take.
    pub drain_max: Duration,
    /// The shortest and the longest pause while a system is unreachable.
    pub backoff: (Duration, Duration),
}

/// What readers of the replica may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Each key's changes in their order.
    Key,
    /// Only states that the origin had: its transactions whole, in the order of their commits. One process applies.
    Transaction,
}

/// How processes that apply the same pipeline share its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// The group's name; `None`: one that pipeline and replica have to themselves.
    pub name: Option<String>,
    /// How they agree.
    pub protocol: GroupProtocol,
    /// After how long without a sign of life a process's partitions are given to others.
    pub session_timeout: Duration,
    /// A name of this process that stays over restarts.
    pub instance_id: Option<String>,
}
