//! PostgreSQL as a side of a comparison: ranges by binary `COPY`, rows by key in their own text; nothing but the right to read. As a replica that is mended: row by row, under a fence.

mod side;
pub use side::PostgresSide;

mod level;
pub use level::writers_end;

mod mend;
pub use mend::PostgresMender;

mod tables;

mod scan;

mod checksum;

mod sql;
