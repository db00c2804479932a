//! Debezium on Kafka Connect: the peer that benchmarks and fault runs are compared with, and the writer of topics that must be readable.

mod options;
mod plugins;
mod rest;
mod worker;

pub use options::DebeziumOptions;
pub use worker::Debezium;
