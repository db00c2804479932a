//! Transactions applied side by side and committed in the origin's order: does a reader of the replica only ever see states that the origin had?
//!
//! Transactions of the replica overlap: each writes what it finds when it begins, keeps others from the rows it wrote, and takes effect at its commit. After every
//! commit the replica's rows are compared with the origin's as of the same commit, by plain maps that know nothing of the code under test.

mod variants;
pub use variants::SIMULATION;

mod transaction;

mod world;
