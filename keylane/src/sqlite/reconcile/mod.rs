//! SQLite as a side of a comparison: each read a short one, the file opened for reading only.

mod side;
pub use side::SqliteSide;

mod read;

mod sql;
