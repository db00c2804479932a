//! The embedded log: a durable partitioned log in one SQLite file, for processes of one machine.
//!
//! It promises what `keylane_core::publish::Log` promises. A record is durable (`synchronous=FULL`) before its ticket resolves; many appends share one
//! commit. Any number of processes may append and read at once; offsets are given inside the write transaction and have no gaps. Retention is ours:
//! [`EmbeddedLog::trim`](keylane_core::publish::Log::trim) drops what has been applied, and the file shrinks.

mod file;

mod commit;
mod tickets;
mod writer;

mod read;

mod keep;

mod consumer;

mod group;
mod member;

mod log;
pub use log::{EmbeddedLog, EmbeddedOptions};
