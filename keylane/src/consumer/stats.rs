//! What a consumer did since it started, and whether it is well.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::workers::stats::Counter;

/// Counters; cheap to read at any moment, from anywhere.
#[derive(Debug, Default)]
pub struct ConsumerStats {
    /// Records whose handler succeeded.
    pub handled: Counter,
    /// Attempts that failed.
    pub failed: Counter,
    /// Attempts that took longer than they may, and were dropped. They count as failed too.
    pub timed_out: Counter,
    /// Records that went to the dead-letter topic.
    pub dead_lettered: Counter,
    /// Records that were given up without one.
    pub skipped: Counter,
    /// Records that came and had been done before a restart or a move.
    pub replays_skipped: Counter,
    /// Partitions in which another owner was found (transactions): what was in progress there was rolled back.
    pub fenced: Counter,
    /// Handlers in progress.
    pub working: Counter,
    /// Records fetched and not done.
    pub held: Counter,
    /// Their bytes.
    pub held_bytes: Counter,
    /// Partitions that this process has.
    pub partitions: Counter,
    /// Done records above the frontier that did not fit into the last commit: after a crash they would be handled again.
    pub map_left_out: Counter,
    /// The age of the handler that is in progress longest, milliseconds.
    pub oldest_ms: Counter,
    paused: AtomicBool,
    trouble: Mutex<String>,
}

/// Whether a consumer is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works, or waits for records.
    Well,
    /// It was told to pause.
    Paused,
    /// Something is in its way, in words; it goes on by itself when that is over.
    Troubled(String),
}

impl ConsumerStats {
    /// Stops handing records to the handler, or goes on. What is being handled ends; nothing is lost, and the group sees no difference.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// How it is.
    pub fn health(&self) -> Health {
        let trouble = self.trouble.lock().map(|it| it.clone()).unwrap_or_default();
        match (trouble.is_empty(), self.is_paused()) {
            (false, _) => Health::Troubled(trouble),
            (true, true) => Health::Paused,
            (true, false) => Health::Well,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Empty: no more.
    pub(super) fn troubled(&self, why: &str) {
        if let Ok(mut trouble) = self.trouble.lock()
            && *trouble != why
        {
            why.clone_into(&mut trouble);
        }
    }
}
