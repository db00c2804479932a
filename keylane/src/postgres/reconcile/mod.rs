//! PostgreSQL as a side of a comparison: ranges by binary `COPY`, rows by key in their own text; nothing but the right to read.

mod side;
pub use side::PostgresSide;

mod tables;

mod scan;

mod sql;
