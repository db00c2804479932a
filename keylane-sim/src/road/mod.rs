//! The whole road in one world: origin transactions, capture sessions, a log with faults, appliers with faults, and the replica.
//!
//! The origin commits while everything else goes on. Capturers crash, hang past their time-out and wake as former owners; what they had handed to the log
//! lands late, or in part. An applier crashes with transactions open, or between a commit and its reply; its zombies go on writing; its number of workers changes
//! at any moment. In `group` and its mutants several appliers share the partitions, which move between them while transactions are open, and who loses one hears
//! of it late: what the others hold counts by what they have stored. At the end the origin's rows must be the replica's, each change in order, none lost, none doubled, and no position twice in the accepted log.

mod variants;
pub use variants::SIMULATION;

mod wal;

mod capturer;

mod stream;

mod applier;

mod world;

mod check;
