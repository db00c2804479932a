//! Everything that must be right before `keylane run`, each with what was found and what mends it.
//!
//! - `verdict`: what was found, for people and for scripts.
//! - `fit`: whether a replica's table takes what the origin's table tells. Pure.

mod verdict;
pub use verdict::{any_failed, tick_list, wire};

mod fit;
pub use fit::{Fitting, fits};
