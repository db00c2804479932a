//! Parallel apply under unique and foreign keys: does it come to an end, park nothing and end equal, whatever the interleaving and the history's bound?
//!
//! Random histories that an origin with immediate constraints can have are stamped, put into partitions and applied by several workers whose transactions
//! overlap. Every such history is valid, so a change that is parked is a defect, and so is a run in which nothing may go any more.

mod variants;
pub use variants::SIMULATION;

mod world;
