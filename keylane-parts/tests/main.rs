//! The parts start, survive being killed, and never outlive who started them.

mod debezium;
mod failures;
mod kafka;
mod licences;
mod lifetimes;
mod postgres;
