//! A participant of sagas whose steps write to a SQLite file.
//!
//! *Isolation*: each command begins as a writer (`BEGIN IMMEDIATE`), so commands go one after another, and none fails because it read before it wrote.

mod barrier;

mod file;

mod carry;
pub use carry::SqliteParticipant;

mod choreography;
pub use choreography::SqliteChoreography;
