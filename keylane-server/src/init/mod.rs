//! What `keylane init` finds in an origin before it writes a configuration.

mod found;
pub use found::{FoundTable, Unfound, tables_of};
