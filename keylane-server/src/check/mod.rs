//! Everything that must be right before `keylane run`, each with what was found and what mends it.
//!
//! - `verdict`: one check, and the list of them for people.
//! - `fit`: whether a replica's table takes what the origin's table tells. Pure.

mod verdict;
pub use verdict::{Check, Severity, any_failed, tick_list};

mod fit;
pub use fit::{Fitting, fits};
