//! From configuration to running parts: the only place that knows every adapter.

mod road;
pub use road::Road;

mod roads;
pub use roads::roads;

mod checks;
pub use checks::checks;
