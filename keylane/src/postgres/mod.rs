//! PostgreSQL: as origin (logical replication), as replica, as a side of a comparison, and as the place where a consumer group keeps how far it is, or where sagas are kept.

pub mod connect;

mod tls;

mod describe;
pub use describe::{Counts, SeenTable, connections, counts, describe};

mod error;

mod own_tables;

mod lanes;
pub(crate) use lanes::NotRaised;

pub mod capture;

pub mod apply;

pub mod consume;

pub mod participant;

pub mod reconcile;

pub mod saga;
