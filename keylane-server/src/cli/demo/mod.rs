//! `keylane demo`: the whole road on two SQLite files and the embedded log, under live traffic, with its own workers killed midway; then the proof.
//!
//! A shop's origin is filled and served by a thread that knows nothing of Keylane; capture and apply run as real child processes on a configuration that
//! `keylane run` takes as it is. They are killed with SIGKILL at random moments and started again. At the end the traffic stops, a marker passes through
//! the road, the workers drain, and both databases are compared. Nothing that judges asks the engine: see [`proof`].

mod command;
pub use command::{DemoArguments, Spoil, run};

mod folder;
pub(super) use folder::{Folder, Leaves};

mod stage;

mod shop;
mod traffic;

mod kills;
mod process;
pub(super) use process::{Process, in_words};

mod workers;
pub(super) use workers::evidence_in;

mod display;
pub(super) use display::{marked, told};

mod ledger;
pub mod proof;
mod report;
pub(super) use report::{Paint, grouped, tell};
