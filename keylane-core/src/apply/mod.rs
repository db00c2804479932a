//! Apply: lanes, and what is written to the replica: each change once, in its key's order, progress in the same transaction as the rows.

mod port;
pub use port::{
    Applied, ApplyBatch, ApplyError, Held, InTurn, LaneStep, Mode, ParkedEntry, ParkedFilter,
    ParkedSummary, PartitionLow, PartitionProgress, PartitionSpec, Replica, ReplicaColumn,
    ReplicaSession, ReplicaTable, Work, WorkAction,
};

mod must_hit;
pub use must_hit::MustHit;

mod write;
pub use write::{RowWrite, WriteKind, fold, single, singles};

mod reorder;
pub use reorder::{Reordering, Turn, in_transaction};

mod lanes;
pub use lanes::{
    Batch, BatchId, BatchItem, BatchKind, BatchLane, Clearance, Disposition, FailurePolicy,
    LaneKey, Lanes, Limits, Notice, Outcome, ParkedMark, PartitionState, ReceivedAs, WhenExhausted,
};

mod threads;
pub use threads::{AskedThreads, AutoThreads, THREADS_MAX, Threads, Window};

mod frontier;
pub use frontier::Frontier;
