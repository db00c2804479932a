//! The loop of a comparison: ranges of both sides, side by side; what differs is looked at again until it is proved, settled or hot.

mod table;
pub use table::{Between, CompareError, Comparing, Observer, compare_table};

mod scan;

mod confirm;
