//! What is told of: a table's comparison, a figure of a pipeline, or the sagas.

use std::fmt;
use std::sync::Arc;

/// Half a road.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Half {
    /// Origin → log.
    Capture,
    /// Log → replica.
    Apply,
}

impl Half {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Half::Capture => "capture",
            Half::Apply => "apply",
        }
    }
}

/// What of a pipeline is told of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Whether a table of the replica equals the origin's.
    Table(Arc<str>),
    /// How far behind the replica is.
    Lag,
    /// How long the origin's disk still takes what the slot keeps.
    Slot,
    /// Keys whose changes are parked.
    Parked,
    /// Whether half of the road goes on.
    Road(Half),
    /// Sagas that need help. Of no pipeline.
    Sagas,
}

impl What {
    /// Its kind, as scripts see it.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Table(_) => "table",
            What::Lag => "lag",
            What::Slot => "slot",
            What::Parked => "parked",
            What::Road(Half::Capture) => "capture",
            What::Road(Half::Apply) => "apply",
            What::Sagas => "sagas",
        }
    }

    /// Out of its kind and, of a table, its name. `None` if this version knows no such kind.
    pub fn read(kind: &str, table: Option<&str>) -> Option<What> {
        match (kind, table) {
            ("table", Some(name)) => Some(What::Table(name.into())),
            ("lag", None) => Some(What::Lag),
            ("slot", None) => Some(What::Slot),
            ("parked", None) => Some(What::Parked),
            ("capture", None) => Some(What::Road(Half::Capture)),
            ("apply", None) => Some(What::Road(Half::Apply)),
            ("sagas", None) => Some(What::Sagas),
            _ => None,
        }
    }

    /// The table's name, if it is one.
    pub fn table(&self) -> Option<&str> {
        match self {
            What::Table(name) => Some(name),
            What::Lag | What::Slot | What::Parked | What::Road(_) | What::Sagas => None,
        }
    }
}

/// One thing whose state is told when it changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The pipeline; `None`: two databases that were compared outside any pipeline.
    pub pipeline: Option<Arc<str>>,
    /// What of it.
    pub what: What,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pipeline) = &self.pipeline {
            write!(f, "{pipeline}: ")?;
        }
        f.write_str(self.what.table().unwrap_or(self.what.kind()))
    }
}
