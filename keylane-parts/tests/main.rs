//! The parts start, survive being killed, and never outlive who started them.

mod kafka;
mod lifetimes;
mod postgres;
