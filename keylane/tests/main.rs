//! Everything of this crate that is tested through its public face, in one binary. Tests that need parts start them (see `keylane-parts`).

mod changes;
mod consumer;
mod consumer_bed;
mod consumer_examples;
mod consumer_transactions;
mod control;
mod debezium;
mod embedded;
mod embedded_consumer;
mod envelope;
mod in_flight;
mod kafka_brokers;
mod kafka_log;
mod log_conformance;
mod missing_rows;
mod notify;
mod participant;
mod postgres_apply;
mod postgres_capture;
mod reconcile;
mod redrive;
mod sagas;
mod sqlite_apply;
mod sqlite_capture;
