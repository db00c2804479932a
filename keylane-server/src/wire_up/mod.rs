//! From configuration to running parts: the only place that knows every adapter.

mod roads;
pub use roads::{Road, roads};

mod checks;
pub use checks::checks;
