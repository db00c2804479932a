//! PostgreSQL: as origin (logical replication) and as replica.

pub mod connect;

mod tls;

pub mod capture;

pub mod apply;
