//! SQLite as origin: triggers on each captured table write every change into a change table of the same file, in the transaction that makes it.
//!
//! It works for any program that writes the file with any SQLite library, and never misses a change that SQLite fires triggers for. Limits:
//! - `INSERT OR REPLACE` and `UPDATE OR REPLACE` that remove **another** row because of a secondary unique index fire no trigger for that row
//!   (unless the writer sets `PRAGMA recursive_triggers=ON`); [`preflight`] names the tables that have such an index.
//! - A column that was renamed or dropped, or a table that was made anew, is refused: its history cannot be told.
//! - TEXT that is not UTF-8 is carried as bytes.
//!
//! A position is `(seq, 0)`: SQLite has one writer at a time, so the order of the change table is the order of commits.

mod error;

mod hold;

mod install;
mod shape;
mod triggers;

mod change;

mod chunk;

mod clean;

mod outbox;

mod session;

mod origin;
pub use origin::{SqliteOrigin, SqliteOriginOptions};

mod marker;
pub use marker::emit_settle_marker;

mod preflight;
pub use preflight::preflight;

mod tables;
pub use tables::plain_tables;
