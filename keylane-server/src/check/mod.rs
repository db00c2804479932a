//! Everything that must be right before `keylane run`, each with what was found and what mends it.
//!
//! - `verdict`: what was found, for people and for scripts.
//! - `fit`: whether a replica's table takes what the origin's table tells. Pure.
//! - `one_writer`: whether a replica's table is written by one pipeline only. Pure.

mod verdict;
pub use verdict::{any_failed, tick_list, wire};

mod fit;
pub use fit::{Fitting, fits};

mod one_writer;
pub use one_writer::{Writes, no_other_writer, one_writer};
