//! What a consumer did since it started, and whether it is well.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use keylane_core::consume::HotKey;

use crate::workers::stats::Counter;

/// How many hot keys are told.
pub const HOT_KEYS_MAX: usize = 5;

/// Counters, and a few switches; cheap to read at any moment, from anywhere.
#[derive(Debug, Default)]
pub struct ConsumerStats {
    /// Records whose handler succeeded.
    pub handled: Counter,
    /// Attempts that failed.
    pub failed: Counter,
    /// Attempts that took longer than they may, and were dropped. They count as failed too.
    pub timed_out: Counter,
    /// Batches that failed, whose records were then tried one by one. It counts as no record's attempt.
    pub batches_apart: Counter,
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
    /// How long a handler takes, microseconds: a moving mean of the last hundred or so.
    pub service_us: Counter,
    member: AtomicBool,
    paused: AtomicBool,
    /// 0: as the settings say.
    concurrency: AtomicUsize,
    rate: Mutex<Option<(f64, u32)>>,
    hot_keys: Mutex<Vec<HotKey>>,
    trouble: Mutex<String>,
}

/// A key that many records are of, and what that means.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKeyBound {
    /// The key.
    pub key: Bytes,
    /// Its share of the records that came of late, from 0 to 1.
    pub share: f64,
    /// More records a second than this, of all keys together, cannot be handled as long as it has that share, however many go side by side: 1 / (share × service time), since its own go one after another.
    /// `None` before the first handler has ended.
    pub records_per_second_max: Option<f64>,
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

    /// Handlers in progress at most, from now on; those that are in progress beyond it end. In transactions never more than
    /// [`PostgresProgress::connections`](super::PostgresProgress::connections).
    pub fn set_concurrency(&self, handlers: usize) {
        self.concurrency.store(handlers.max(1), Ordering::Relaxed);
    }

    /// Records begun in a second at most, and at once after a pause, from now on: see [`Consumer::rate`](super::Consumer::rate). `None`: no limit.
    pub fn set_rate(&self, rate: Option<(f64, u32)>) {
        if let Ok(mut set) = self.rate.lock() {
            *set = rate;
        }
    }

    /// The keys that most records are of, at most [`HOT_KEYS_MAX`], hottest first, where the order is that of keys; brought up to date when progress is committed.
    pub fn hot_keys(&self) -> Vec<HotKeyBound> {
        let keys = self.hot_keys.lock().map(|it| it.clone());
        let service_us = self.service_us.get();
        let bound = |hot: HotKey| HotKeyBound {
            records_per_second_max: (service_us > 0 && hot.share > 0.0)
                .then(|| 1e6 / (hot.share * service_us as f64)),
            key: hot.key,
            share: hot.share,
        };
        keys.unwrap_or_default().into_iter().map(bound).collect()
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

    /// Whether the group has named partitions for this process, or told it that there are none for it, since it last joined.
    pub fn is_member(&self) -> bool {
        self.member.load(Ordering::Relaxed)
    }

    pub(super) fn set_member(&self, member: bool) {
        self.member.store(member, Ordering::Relaxed);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Where nothing else was set, what the settings say.
    pub(super) fn concurrency(&self, settings: usize) -> usize {
        match self.concurrency.load(Ordering::Relaxed) {
            0 => settings,
            set => set,
        }
    }

    pub(super) fn rate(&self) -> Option<(f64, u32)> {
        self.rate.lock().ok().and_then(|rate| *rate)
    }

    pub(super) fn set_hot_keys(&self, keys: Vec<HotKey>) {
        if let Ok(mut set) = self.hot_keys.lock() {
            *set = keys;
        }
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
