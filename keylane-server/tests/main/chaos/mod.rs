//! The road on real Kafka and PostgreSQL under a foreign workload and kill -9 of every part.
//!
//! pgbench writes to the origin: its own transactions (the history table has no key) and a script whose `counters.version` grows by one with every update. The
//! replica's tables carry an append-only audit trigger that knows nothing of Keylane. Afterwards both sides are equal in every column, each counter's audit reads
//! 1, 2, 3, … without a gap, a repeat or a step back, each account was updated exactly as often as its history says, and no accepted position stands twice in a
//! topic.

mod harness;
pub use harness::Random;

mod workload;

mod check;

mod runs;
