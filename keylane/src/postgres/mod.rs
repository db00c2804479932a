//! PostgreSQL: as origin (logical replication) and as replica.

pub mod connect;

mod tls;

mod describe;
pub use describe::{Counts, SeenTable, connections, counts, describe};

pub mod capture;

pub mod apply;
