//! PostgreSQL as a replica: each batch one transaction, rows by the batch, progress beside them in schema `keylane`.

mod replica;
pub use replica::{PostgresReplica, PostgresReplicaConfig};

mod session;

mod careful;

mod together;

mod group;

mod plan;

mod link;

mod progress;

mod parked;

mod threads;

mod catalog;

mod create;

mod own_tables;

mod preflight;
pub use preflight::{applied_by_others, preflight};
