//! PostgreSQL as a replica, against a real one.

mod bed;

mod connecting;
mod crash;
mod folding;
mod once;
mod parking;
mod tables;
mod types;
mod writes;
