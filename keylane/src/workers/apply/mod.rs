//! Log → replica: many workers over the lanes of all partitions, progress in the same transaction as the rows.
//!
//! - `settings`: what the worker is told.
//! - `run`: the tasks of a run, from joining the group to the drain at the end.
//! - `membership`: which partitions this process has: fence, then read progress, then fetch.
//! - `left_out`: topics that are read no more.
//! - `road`: what the tasks share, and how they wake each other.
//! - `troubles`: what is in the way now.
//! - `turn`: commit order: when a batch begins and commits.
//! - `doubt`: a replica that has gone back.
//! - `handover`: what handing a partition over takes.
//! - `fetch`: records in.
//! - `hot`: the keys that most changes are of.
//! - `foreign`: topics that another tool wrote.
//! - `tables`: schemas by their fingerprint, and the replica's tables made ready for them.
//! - `copied`: of which tables the copy is applied to its last row.
//! - `work`: a batch of a lane's items, decoded, applied, settled.
//! - `crew`: how many workers there are.
//! - `progress`: what is saved, trimmed and looked at now and then.

mod settings;
pub use settings::{ApplySettings, Consistency, GroupOptions};

mod road;

mod troubles;

mod run;
pub use run::{ApplyFailure, run};

mod membership;

mod doubt;

mod left_out;

mod handover;

mod turn;

mod fetch;

mod hot;

mod foreign;

mod tables;

mod copied;

mod work;

mod crew;

mod progress;
