//! PostgreSQL as a replica, against a real one.

pub(crate) mod bed;

mod connecting;
mod crash;
mod folding;
mod lossless;
mod once;
mod parking;
mod tables;
mod writes;
