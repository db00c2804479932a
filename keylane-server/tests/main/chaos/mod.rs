//! The road on real Kafka and PostgreSQL under a foreign workload and kill -9 of every part.
//!
//! pgbench writes to the origin: its own transactions (the history table has no key) and a script whose `counters.version` grows by one with every update and
//! whose notes come, change their keys and go. Both sides' tables carry an append-only audit trigger that knows nothing of Keylane. Afterwards both sides are
//! equal in every column, each row's audit tells the same effects in the same order on both sides, each counter's reads n, n+1, n+2, … without a gap, a repeat or
//! a step back, and no accepted position stands twice in a topic.

mod harness;
pub use harness::Random;

pub mod audit;

mod workload;

pub mod check;

mod runs;

mod round;
