//! The loop of a comparison: ranges of both sides, side by side; what differs is looked at again until it is proved, settled or hot. And what mends what is proved.

mod table;
pub use table::{Between, CompareError, Comparing, Observer, compare_table};

mod scan;

mod by_rows;

mod by_checksums;

mod suspects;

mod patient;

mod settle;

mod confirm;
pub use confirm::look_again;

mod mend;
pub use mend::{HowMended, MENDED_AT_ONCE, MendError, Mended, Noting, ToMend, mend_rows};
