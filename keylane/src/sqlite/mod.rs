//! SQLite: as origin (triggers into a change table), as replica, as a side of a comparison, for the notifier's outbox, and as the place where sagas are kept.
//!
//! Values keep their storage class on the whole road: INTEGER is a [`Value::Number`](keylane_core::model::Value) without `.`, `e` or `E`; REAL one
//! with; TEXT a `Text`; BLOB a `Bytes`. Infinite reals are the numbers `9e999` and `-9e999`: legal JSON, and read back as infinite by SQLite.

mod cell;
mod names;
pub use names::replica_name;
mod table;

mod describe;
pub use describe::describe;

pub mod capture;

pub mod accept;

pub mod apply;

pub mod participant;

pub mod notify;

pub mod reconcile;

pub mod journal;

pub mod saga;
