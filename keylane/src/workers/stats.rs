//! Counters that the workers keep for status, metrics and the demo's display. Cheap to write, read at any moment.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes off, down to 0.
    pub fn take_off(&self, count: u64) {
        let less = |value: u64| Some(value.saturating_sub(count));
        // Never `Err`: `less` always answers.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Sets.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a capture worker did since it started.
#[derive(Debug, Default)]
pub struct CaptureStats {
    /// Changes told by the origin.
    pub captured: Counter,
    /// Changes that the log holds durably.
    pub published: Counter,
    /// Changes told again after a restart and found in the log.
    pub replays_skipped: Counter,
    /// Rows of outbox tables that could not be published and were parked there.
    pub events_parked: Counter,
    /// Rows copied by the snapshot.
    pub snapshot_rows: Counter,
    /// Tables whose copy is not done.
    pub snapshot_tables_left: Counter,
    /// Sessions opened.
    pub sessions: Counter,
    /// The epoch of the open session.
    pub epoch: Counter,
    /// The commit place up to which the origin may forget.
    pub confirmed: Counter,
    /// Bytes handed to the log and not yet durable.
    pub in_flight_bytes: Counter,
    /// When the last captured change was committed, microseconds since 1970.
    pub last_commit_us: AtomicI64,
    /// What the worker is doing, and why it is not doing better.
    pub state: StateCell,
}

/// What an apply worker did since it started.
#[derive(Debug, Default)]
pub struct ApplyStats {
    /// Changes applied (or parked) and committed.
    pub applied: Counter,
    /// Rows written after folding.
    pub rows_written: Counter,
    /// Transactions committed.
    pub transactions: Counter,
    /// Replays skipped.
    pub replays_skipped: Counter,
    /// Changes parked since the start.
    pub parked: Counter,
    /// Keys that are parked now.
    pub parked_keys: Counter,
    /// Updates and deletes that hit no row.
    pub missing_rows: Counter,
    /// Records that could not be read.
    pub unreadable: Counter,
    /// Changes fetched and not applied yet.
    pub waiting: Counter,
    /// Their bytes.
    pub buffered_bytes: Counter,
    /// Records in the log that are not applied yet, markers included.
    pub records_behind: Counter,
    /// Partitions that this process has.
    pub partitions: Counter,
    /// Workers applying now.
    pub busy: Counter,
    /// Workers.
    pub threads: Counter,
    /// What was asked for (a number, or `auto`), and how the number was found.
    pub threads_found: StateCell,
    /// Batches that were rolled back and tried again.
    pub retries: Counter,
    /// When the last applied change was committed at the origin, microseconds since 1970.
    pub last_commit_us: AtomicI64,
    /// How long the last applied changes took from commit to commit, milliseconds.
    pub lag_ms: Counter,
    /// How long a transaction takes, microseconds, a moving mean.
    pub transaction_us: Counter,
    /// The keys that most changes of late are of, hottest first.
    pub hot_keys: Mutex<Vec<HotKeyBound>>,
    /// What the worker is doing, and why it is not doing better.
    pub state: StateCell,
}

impl ApplyStats {
    /// A transaction took so long.
    pub fn transaction_took(&self, took: Duration) {
        const MEAN_OF: u64 = 16;
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let mean = match self.transaction_us.get() {
            0 => took_us,
            mean => mean - mean / MEAN_OF + took_us / MEAN_OF,
        };
        self.transaction_us.set(mean.max(1));
    }
}

/// A key that many changes are of, and what that means.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKeyBound {
    /// Its topic.
    pub topic: String,
    /// The key, as records have it.
    pub key: String,
    /// Its share of the changes that came of late, from 0 to 1.
    pub share: f64,
    /// More changes a second than this, of all keys together, cannot be applied as long as it has that share, with whatever number of threads: its own go one
    /// transaction after another, each of `apply.batch_rows` at most, so batch_rows / (transaction time × share). `None` before the first transaction.
    pub changes_per_second_max: Option<f64>,
}

/// A worker's state in a word, and the reason in words.
#[derive(Debug, Default)]
pub struct StateCell(Mutex<(String, String)>);

impl StateCell {
    /// Sets it. A worker that tries again (`starting`) is still `degraded` by what was in its way, until it does its work or meets something else.
    pub fn set(&self, state: &str, why: impl Into<String>) {
        if let Ok(mut cell) = self.0.lock() {
            let tries_again = state == "starting" && cell.0 == "degraded";
            if !tries_again {
                *cell = (state.to_owned(), why.into());
            }
        }
    }

    /// Reads it.
    pub fn get(&self) -> (String, String) {
        self.0.lock().map(|cell| cell.clone()).unwrap_or_default()
    }
}

/// The time, microseconds since 1970.
pub fn now_us() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
        })
}

/// Raises an atomic time.
pub fn raise(cell: &AtomicI64, value: i64) {
    cell.fetch_max(value, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_again_hides_nothing() {
        let state = StateCell::default();
        let told = |word: &str, why: &str| {
            state.set(word, why);
            state.get()
        };
        let is = |word: &str, why: &str| (word.to_owned(), why.to_owned());
        assert_eq!(told("starting", "opening"), is("starting", "opening"));
        assert_eq!(told("degraded", "away"), is("degraded", "away"));
        assert_eq!(told("starting", "opening"), is("degraded", "away"));
        assert_eq!(told("streaming", ""), is("streaming", ""));
        assert_eq!(told("starting", "opening"), is("starting", "opening"));
    }
}
