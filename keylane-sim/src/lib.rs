//! The simulator: `keylane-core`'s pure steps driven by seeds, with faults on every port, and checkers that share no code with what they check.
//!
//! One seed is one run, on one thread, always the same. Each simulation has *sound* variants, which must hold for every seed, and *mutants*, short cuts that
//! the checkers must catch: a mutant that survives means that the checkers are blind.
//!
//! - [`cross_lane`]: does parallel apply end right under unique and foreign keys, for every history bound?
//! - [`commit_order`]: do readers of the replica only see states that the origin had, where that is asked for?
//! - [`capture_epoch`]: does each change enter the log's accepted part exactly once, over crashes, hangs and late appends?
//! - [`reconcile`]: is a proved difference always one, and does mending never make a replica worse?
//! - [`saga`]: does a saga end with all its effects or with none, whatever is lost, doubled, late or crashes?
//! - [`road`]: all of it in one world, from origin rows to replica rows, and the initial snapshot.

mod chance;
pub use chance::Chance;

mod verdict;
pub use verdict::{Checker, Failure, Findings, Share};

pub mod model;

pub mod cross_lane;

pub mod commit_order;

pub mod capture_epoch;

pub mod reconcile;

pub mod road;

pub mod saga;

mod suite;
pub use suite::{Expect, Report, Simulation, Variant, all, first_failure, shrink};
