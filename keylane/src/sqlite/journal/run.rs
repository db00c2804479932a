//! A run and its tables.

use keylane_core::reconcile::{Figures, Key};

/// A run that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Its name.
    pub run: String,
    /// The pipeline whose tables it compares; `None`: two databases outside any.
    pub pipeline: Option<String>,
    /// The origin, without secrets.
    pub origin: String,
    /// The replica, without secrets.
    pub replica: String,
    /// Rows for which it is not true do not count.
    pub filter: Option<String>,
    /// Nobody asked for it but the configuration.
    pub scheduled: bool,
    /// Tables, by the origin's names, in the order in which they are compared.
    pub tables: Vec<String>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It is under way, or was when its process died.
    Running,
    /// All its tables have a verdict.
    Done,
    /// It ended with an error.
    Failed,
}

impl RunState {
    /// The word that scripts see.
    pub fn word(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Done => "done",
            RunState::Failed => "failed",
        }
    }

    pub(super) fn read(word: &str) -> RunState {
        match word {
            "done" => RunState::Done,
            "failed" => RunState::Failed,
            _ => RunState::Running,
        }
    }
}

/// A run as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What it began with.
    pub begun: NewRun,
    /// Microseconds since 1970.
    pub begun_us: i64,
    /// When a process last began or went on with it.
    pub gone_on_us: i64,
    /// When it ended.
    pub ended_us: Option<i64>,
    /// How it stands.
    pub state: RunState,
    /// Why it failed.
    pub why: String,
    /// Its tables.
    pub tables: Vec<KnownTable>,
}

/// How a table of a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableState {
    /// It is compared, or waits for it; behind this key nothing is compared yet (`None`: from its beginning).
    Open(Option<Key>),
    /// It has a verdict, in the word that scripts see.
    Done(String),
    /// It could not be compared, in words.
    Failed(String),
}

/// A table's last comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCompared {
    /// The pipeline.
    pub pipeline: String,
    /// The run.
    pub run: String,
    /// When a process last went on with it, microseconds since 1970.
    pub at_us: i64,
    /// The table.
    pub table: KnownTable,
}

/// A table of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTable {
    /// Its name.
    pub name: String,
    /// The columns that are compared, those of the key first.
    pub columns: Vec<String>,
    /// How many of them are the key's.
    pub key: usize,
    /// Counts as far as it was compared.
    pub figures: Figures,
    /// How it stands.
    pub state: TableState,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// Rows that were repaired, and whose repair failed.
    pub repaired: (u64, u64),
}
