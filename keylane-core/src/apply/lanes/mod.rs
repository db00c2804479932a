//! Lanes: which change may be applied now, by whom, and what follows from how it went. No I/O, no clock (the caller tells the time).
//!
//! - `state`: a partition's lanes and their queues; taking records in.
//! - `wait`: what a lane's head waits for, and who wakes it.
//! - `take`: a batch for a worker.
//! - `settle`: what a batch's outcome means for its lanes.
//! - `parked`: parked keys, what stands behind them, and their redrive.
//! - `commit_order`: whole transactions, committed in the origin's order.
//! - `gone_back`: a replica that was restored from an older backup.
//! - `together`: the rest of a transaction, when a change of it violates a constraint in order.
//!
//! **Invariant:** a lane is in at most one batch at a time (in commit order: in several, which commit in turn). **Invariant:** a lane's items leave in the order they came. **Invariant:** an item leaves only when
//! everything its stamp names is applied, or is in the same batch before it.

mod state;
pub use state::{LaneKey, Lanes, PartitionState, ReceivedAs};

mod wait;

mod take;
pub use take::{Batch, BatchId, BatchItem, BatchKind, BatchLane, Disposition, Limits};

mod settle;
pub use settle::{FailurePolicy, Notice, Outcome, WhenExhausted};

mod parked;
pub use parked::ParkedMark;

mod together;

mod gone_back;

mod commit_order;
pub use commit_order::Clearance;

#[cfg(test)]
mod tests;
