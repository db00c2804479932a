//! A participant of sagas whose steps write to PostgreSQL.
//!
//! *Isolation*: READ COMMITTED, whatever the database's default: an insert that meets another's waits for it, and then sees what it stored. Under a snapshot it would fail instead.

mod barrier;

mod database;

mod carry;
pub use carry::PostgresParticipant;

mod choreography;
pub use choreography::PostgresChoreography;
