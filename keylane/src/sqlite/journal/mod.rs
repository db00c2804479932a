//! What comparisons found, kept in a SQLite file of Keylane's own: runs, how far each table is, the rows that differ on both sides, and what was done about them.
//!
//! It holds rows' values: the file is its owner's alone. What is told of a run elsewhere holds keys only, unless values are asked for.

mod keep;
pub use keep::{Journal, JournalError};

mod run;
pub use run::{KnownTable, LastCompared, NewRun, Run, RunState, TableState};

mod note;
pub use note::{Noted, Repair};

mod claim;
pub use claim::Claim;

mod file;

mod form;
