//! A message: what changed, or what a day came to. How it reads is in `words`, how it is sent in the channels.

use std::sync::Arc;

use super::report::TableReport;
use super::state::{Severity, State};
use super::step::Day;
use super::subject::{Half, Subject};

/// A replica's lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagFound {
    /// How old the oldest change is that the replica lacks.
    pub lag_ms: u64,
    /// From where on it is told.
    pub bound_ms: u64,
    /// Records that the replica lacks, if known.
    pub changes: Option<u64>,
}

/// What an origin keeps for a slot, and how long its disk takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotFound {
    /// Bytes kept.
    pub retained_bytes: u64,
    /// Bytes that may come before the disk is full or the slot is lost.
    pub room_bytes: u64,
    /// How much more is kept each second, of late.
    pub grows_bytes_per_s: u64,
    /// When there is no room left at that rate; `None`: not foreseeable.
    pub full_in_ms: Option<u64>,
    /// From where on it is told.
    pub bound_ms: u64,
}

/// Parked keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedFound {
    /// How many there are.
    pub keys: u64,
    /// From how many on it is told.
    pub bound: u64,
}

/// Sagas that need help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagasFound {
    /// How many there are.
    pub sagas: u64,
    /// From how many on it is told.
    pub bound: u64,
    /// Of which definitions, the most first, each with its number; some at most.
    pub definitions: Vec<(String, u64)>,
}

/// How half of a road does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoadFound {
    /// Which.
    pub half: Half,
    /// Its state in the status's word.
    pub state: String,
    /// Why, in words.
    pub why: String,
}

/// A pipeline in a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineLine {
    /// Its name.
    pub name: Arc<str>,
    /// Its state in the status's word.
    pub state: String,
    /// Why it is not doing better.
    pub why: String,
    /// Its lag, if known.
    pub lag_ms: Option<u64>,
    /// Its parked keys, if known.
    pub parked: Option<u64>,
}

/// A subject that is not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLine {
    /// Which.
    pub subject: Subject,
    /// How it is.
    pub state: State,
    /// Since when, microseconds since 1970.
    pub since_us: i64,
    /// In how many runs it was found so, of a table.
    pub runs: u32,
    /// What was found last, in words.
    pub words: String,
}

/// What a day came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// From when, microseconds since 1970.
    pub from_us: i64,
    /// Until when.
    pub to_us: i64,
    /// The pipelines.
    pub pipelines: Vec<PipelineLine>,
    /// What is not well, the worst first; at most [`OPEN_MAX`](super::OPEN_MAX).
    pub open: Vec<OpenLine>,
    /// What is not well and is not in `open`.
    pub open_more: u64,
    /// Tables that were compared.
    pub tables: u64,
    /// What happened, of all subjects together.
    pub day: Day,
}

/// Messages that were folded into one, because a channel took none for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// How many.
    pub messages: u64,
    /// When the first was made, microseconds since 1970.
    pub from_us: i64,
    /// When the last was.
    pub to_us: i64,
}

/// What a message tells in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A table's comparison.
    Table(Box<TableReport>),
    /// The lag.
    Lag(LagFound),
    /// The slot's disk.
    Slot(SlotFound),
    /// Parked keys.
    Parked(ParkedFound),
    /// Half of the road.
    Road(RoadFound),
    /// Sagas that need help.
    Sagas(SagasFound),
    /// A day.
    Digest(Box<Digest>),
    /// Folded messages.
    Folded(Folded),
    /// A test.
    Test,
}

/// Why a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A state changed.
    Changed {
        /// What it was.
        from: State,
        /// What it is.
        to: State,
        /// How long the former state had lasted, milliseconds; 0 if it was the first.
        lasted_ms: u64,
        /// In how many runs the former state was found, of a table.
        runs: u32,
    },
    /// A state changes so often that further changes are counted and not told, until it rests.
    Flapping {
        /// What it is at the moment.
        state: State,
        /// How often it changed.
        changes: u32,
        /// Within how long, milliseconds.
        within_ms: u64,
    },
    /// It rests.
    Settled {
        /// What it is.
        state: State,
        /// How often it changed without being told.
        changes: u32,
    },
    /// The daily digest.
    Digest,
    /// Messages were folded.
    Folded,
    /// Somebody tests a channel.
    Test,
}

impl News {
    /// The word that scripts see.
    pub fn word(&self) -> &'static str {
        match self {
            News::Changed { .. } => "changed",
            News::Flapping { .. } => "flapping",
            News::Settled { .. } => "settled",
            News::Digest => "digest",
            News::Folded => "folded",
            News::Test => "test",
        }
    }

    /// The state that the subject has now, if the message is about one.
    pub fn state(&self) -> Option<State> {
        match self {
            News::Changed { to, .. } => Some(*to),
            News::Flapping { state, .. } | News::Settled { state, .. } => Some(*state),
            News::Digest | News::Folded | News::Test => None,
        }
    }
}

/// What is sent to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is about; `None`: about all.
    pub subject: Option<Subject>,
    /// Why it is sent.
    pub news: News,
    /// How bad it is.
    pub severity: Severity,
    /// When it was made, microseconds since 1970.
    pub at_us: i64,
    /// The figures.
    pub detail: Detail,
}

impl Message {
    /// A test of a channel.
    pub fn test(at_us: i64) -> Message {
        Message {
            subject: None,
            news: News::Test,
            severity: Severity::Notice,
            at_us,
            detail: Detail::Test,
        }
    }

    /// A day's digest.
    pub fn digest(digest: Digest) -> Message {
        let worst = digest.open.iter().map(|line| line.state.severity()).max();
        Message {
            subject: None,
            news: News::Digest,
            severity: worst.unwrap_or(Severity::Ok),
            at_us: digest.to_us,
            detail: Detail::Digest(Box::new(digest)),
        }
    }

    /// Messages that were folded, told at `at_us`.
    pub fn folded(folded: Folded, at_us: i64) -> Message {
        Message {
            subject: None,
            news: News::Folded,
            severity: Severity::Warning,
            at_us,
            detail: Detail::Folded(folded),
        }
    }
}
