//! The status file: written by the process that runs a pipeline, read by `keylane status` and the like, also when the process is gone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use keylane::workers::stats::{ApplyStats, CaptureStats, HotKeyBound, now_us};
use serde::{Deserialize, Serialize};

/// What a process tells of a pipeline it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// The pipeline.
    pub pipeline: String,
    /// The process.
    pub pid: u32,
    /// When this was written, microseconds since 1970.
    pub updated_us: i64,
    /// Its capturing, if it captures.
    pub capture: Option<CaptureStatus>,
    /// Its applying, if it applies.
    pub apply: Option<ApplyStatus>,
}

/// A capture worker's counters, since its process started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CaptureStatus {
    /// `starting`, `snapshotting`, `streaming`, `degraded` or `stopped`.
    pub state: String,
    /// Why it is not doing better.
    pub why: String,
    /// Changes told by the origin.
    pub captured: u64,
    /// Changes that the log holds durably.
    pub published: u64,
    /// Changes told again after a restart and found in the log.
    pub replays_skipped: u64,
    /// Bytes handed to the log, or about to be, and not durable yet.
    #[serde(default)]
    pub in_flight_bytes: u64,
    /// Rows of outbox tables that could not be published and were parked there.
    #[serde(default)]
    pub events_parked: u64,
    /// Rows copied by the snapshot.
    pub snapshot_rows: u64,
    /// The open session's epoch.
    pub epoch: u64,
    /// The origin may forget up to this commit place.
    pub confirmed: u64,
    /// When the last captured change was committed, microseconds since 1970.
    pub last_commit_us: i64,
    /// Changes captured per second, over the last 5 s.
    #[serde(default)]
    pub captured_per_s: Option<f64>,
}

/// An apply worker's counters, since its process started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ApplyStatus {
    /// `starting`, `streaming`, `caught_up`, `degraded` or `stopped`.
    pub state: String,
    /// Why it is not doing better.
    pub why: String,
    /// Changes applied.
    pub applied: u64,
    /// Rows written after folding.
    pub rows_written: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// Replays skipped.
    pub replays_skipped: u64,
    /// Keys that are parked now.
    pub parked_keys: u64,
    /// Updates and deletes that hit no row.
    pub missing_rows: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Changes fetched and not applied yet.
    pub waiting: u64,
    /// Their bytes.
    pub buffered_bytes: u64,
    /// Records of the log that are not applied yet.
    pub records_behind: u64,
    /// Partitions that this process has.
    #[serde(default)]
    pub partitions: u64,
    /// Workers applying now.
    pub busy: u64,
    /// Workers.
    pub threads: u64,
    /// How many workers were configured or asked for: a number, or `auto`.
    #[serde(default)]
    pub threads_asked: String,
    /// How a number that is found by itself was found.
    #[serde(default)]
    pub threads_why: String,
    /// Batches rolled back and tried again.
    pub retries: u64,
    /// From commit at the origin to commit at the replica, of the last batch's oldest change; 0 when caught up.
    pub lag_ms: u64,
    /// When the last applied change was committed at the origin, microseconds since 1970.
    pub last_commit_us: i64,
    /// Changes applied per second, over the last 5 s.
    #[serde(default)]
    pub applied_per_s: Option<f64>,
    /// The keys that most changes of late are of, hottest first.
    #[serde(default)]
    pub hot_keys: Vec<HotKeyStatus>,
}

/// A key that many changes are of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HotKeyStatus {
    /// Its topic.
    pub topic: String,
    /// The key, as records have it.
    pub key: String,
    /// Its share of the changes that came of late, from 0 to 1.
    pub share: f64,
    /// More changes a second than this, of all keys together, cannot be applied as long as it has that share, with whatever number of threads.
    pub changes_per_second_max: Option<f64>,
}

impl HotKeyStatus {
    fn of(hot: &HotKeyBound) -> Self {
        HotKeyStatus {
            topic: hot.topic.clone(),
            key: hot.key.clone(),
            share: hot.share,
            changes_per_second_max: hot.changes_per_second_max,
        }
    }
}

impl CaptureStatus {
    /// The counters now.
    pub fn of(stats: &CaptureStats) -> Self {
        let (state, why) = stats.state.get();
        CaptureStatus {
            state,
            why,
            captured: stats.captured.get(),
            published: stats.published.get(),
            replays_skipped: stats.replays_skipped.get(),
            in_flight_bytes: stats.in_flight_bytes.get(),
            events_parked: stats.events_parked.get(),
            snapshot_rows: stats.snapshot_rows.get(),
            epoch: stats.epoch.get(),
            confirmed: stats.confirmed.get(),
            last_commit_us: stats.last_commit_us.load(Ordering::Relaxed),
            captured_per_s: None,
        }
    }
}

impl ApplyStatus {
    /// The counters now.
    pub fn of(stats: &ApplyStats) -> Self {
        let (state, why) = stats.state.get();
        let (threads_asked, threads_why) = stats.threads_found.get();
        let hot_keys = stats
            .hot_keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let hot_keys = hot_keys.iter().map(HotKeyStatus::of).collect();
        ApplyStatus {
            state,
            why,
            threads_asked,
            threads_why,
            applied: stats.applied.get(),
            rows_written: stats.rows_written.get(),
            transactions: stats.transactions.get(),
            replays_skipped: stats.replays_skipped.get(),
            parked_keys: stats.parked_keys.get(),
            missing_rows: stats.missing_rows.get(),
            unreadable: stats.unreadable.get(),
            waiting: stats.waiting.get(),
            buffered_bytes: stats.buffered_bytes.get(),
            records_behind: stats.records_behind.get(),
            partitions: stats.partitions.get(),
            busy: stats.busy.get(),
            threads: stats.threads.get(),
            retries: stats.retries.get(),
            lag_ms: stats.lag_ms.get(),
            last_commit_us: stats.last_commit_us.load(Ordering::Relaxed),
            applied_per_s: None,
            hot_keys,
        }
    }
}

/// Replaces the file at once: a reader sees the former or the new content, never half of one.
///
/// # Errors
/// If the state folder cannot be written.
pub fn write(state_dir: &Path, status: &ProcessStatus) -> io::Result<()> {
    std::fs::create_dir_all(state_dir)?;
    let path = path_of(state_dir, status);
    let half = path.with_extension("tmp");
    std::fs::write(&half, serde_json::to_vec(status).map_err(io::Error::other)?)?;
    std::fs::rename(half, path)
}

/// All status files of a state folder, of running and of ended processes. Files that cannot be read are left out.
pub fn read_all(state_dir: &Path) -> Vec<ProcessStatus> {
    let Ok(entries) = std::fs::read_dir(state_dir) else {
        return Vec::new();
    };
    let read = |path: PathBuf| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
    let is_status = |path: &PathBuf| path.to_string_lossy().ends_with(".status.json");
    let mut all: Vec<ProcessStatus> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_status)
        .filter_map(read)
        .collect();
    all.sort_by(|one, other| {
        one.pipeline
            .cmp(&other.pipeline)
            .then(one.updated_us.cmp(&other.updated_us))
    });
    all
}

impl ProcessStatus {
    /// Whether its process has written lately and is still there.
    pub fn is_alive(&self) -> bool {
        const FRESH_US: i64 = 10_000_000;
        let there = Path::new("/proc").join(self.pid.to_string()).exists();
        there && now_us() - self.updated_us < FRESH_US
    }
}

fn path_of(state_dir: &Path, status: &ProcessStatus) -> PathBuf {
    let role = match (&status.capture, &status.apply) {
        (Some(_), Some(_)) => "run",
        (Some(_), None) => "capture",
        _ => "apply",
    };
    state_dir.join(format!("{}.{role}.status.json", status.pipeline))
}
