//! The parts start, survive being killed, and never outlive who started them.

mod debezium;
mod kafka;
mod lifetimes;
mod postgres;
