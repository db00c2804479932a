//! SQLite as replica: rows and the lanes' progress in one transaction, each change once.
//!
//! A file has one writer at a time, so sessions of one process take turns, and those of several wait for the file. Foreign keys are checked at the end of
//! each transaction. Integers beyond 64 bits are written as text, which keeps their digits. A table of schema `main` or `public` is found under its own
//! name, any other as `schema.table`.

mod error;

mod statement;

mod row;

mod takers;

mod progress;

mod parked;

mod threads;

mod transaction;

mod table;

mod session;

mod replica;
pub use replica::{SqliteReplica, SqliteReplicaOptions};

mod preflight;
pub use preflight::preflight;
