//! What each kind of failure at the replica asks for: one exhaustive table, no default arm.

mod policy;
pub use policy::{ApplyErrorKind, Remedy};
