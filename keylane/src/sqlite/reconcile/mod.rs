//! SQLite as a side of a comparison: each read a short one, the file opened for reading only. As a replica that is mended: one transaction, which is the fence.

mod side;
pub use side::SqliteSide;

mod mend;
pub use mend::SqliteMender;

mod read;

mod sql;
