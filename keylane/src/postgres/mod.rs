//! PostgreSQL: as origin (logical replication) and as replica.

pub mod connect;

pub mod capture;

pub mod apply;
