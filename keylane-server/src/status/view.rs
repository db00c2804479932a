//! What `keylane status`, `/v1/status` and `/metrics` say of a pipeline, out of status files and stored facts. Pure: no I/O, no clock.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use super::file::{ApplyStatus, CaptureStatus, HotKeyStatus, ProcessStatus};

/// How a pipeline does; a later one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Everything that was captured is applied; without a replica, is in the log.
    CaughtUp,
    /// Changes are on their way.
    Streaming,
    /// Existing rows are being copied.
    Snapshotting,
    /// It cannot go on by itself now, is starting or tries again; `why` says what is in its way.
    Degraded,
    /// A part of the road is not running.
    Stopped,
}

impl State {
    /// The word that scripts see.
    pub fn word(self) -> &'static str {
        match self {
            State::CaughtUp => "caught_up",
            State::Streaming => "streaming",
            State::Snapshotting => "snapshotting",
            State::Degraded => "degraded",
            State::Stopped => "stopped",
        }
    }
}

/// What the databases and the log say, whether or not a process runs. Unknown is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Changes in the log that are not applied.
    pub changes_behind: Option<u64>,
    /// How long ago the oldest unapplied change came into the log; 0 if there is none.
    pub oldest_unapplied_ms: Option<u64>,
    /// Parked keys.
    pub parked: Option<u64>,
    /// How many workers were configured or asked for: a number, or `auto`.
    pub threads_asked: Option<String>,
    /// How the number was found, where it is `auto`.
    pub threads_why: Option<String>,
    /// Bytes of its log that a PostgreSQL origin keeps for this pipeline.
    pub retained_bytes: Option<u64>,
    /// Bytes that may come before a PostgreSQL origin gives the slot up.
    pub retained_room_bytes: Option<u64>,
    /// Changes that a SQLite origin keeps for this pipeline.
    pub retained_changes: Option<u64>,
    /// What could not be asked, in words.
    pub troubles: Vec<String>,
}

/// A process of the pipeline that wrote a status file on this machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProcessView {
    /// Its process id.
    pub pid: u32,
    /// Whether it is there and has written within the last 10 s.
    pub alive: bool,
    /// Whether it captures.
    pub captures: bool,
    /// Whether it applies.
    pub applies: bool,
    /// When it last wrote, RFC 3339.
    pub updated: String,
}

/// A pipeline as scripts see it. Unknown is `null`, never 0. Counters are those of the last process of their kind, since it started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PipelineView {
    /// Its name.
    pub name: String,
    /// How it does: the worse of its two halves.
    pub state: State,
    /// Why it is not doing better; empty if all is well.
    pub why: String,
    /// How old the oldest change that the replica lacks is; 0 when caught up.
    pub lag_ms: Option<u64>,
    /// Records of the log that the replica lacks, markers included.
    pub lag_changes: Option<u64>,
    /// Changes told by the origin.
    pub captured: Option<u64>,
    /// Changes that the log holds durably.
    pub published: Option<u64>,
    /// Changes applied.
    pub applied: Option<u64>,
    /// Changes that came again and were skipped, by either half.
    pub replays_skipped: Option<u64>,
    /// Keys whose changes are parked.
    pub parked: Option<u64>,
    /// Rows of outbox tables that could not be published and were parked there.
    pub events_parked: Option<u64>,
    /// Partitions that the applier here has; `null` if none runs here.
    pub partitions: Option<u64>,
    /// Workers that apply; `null` if none runs here.
    pub threads: Option<u64>,
    /// How many workers were configured or asked for: a number, or `auto`.
    pub threads_asked: Option<String>,
    /// How the number was found, where it is `auto`.
    pub threads_why: Option<String>,
    /// Bytes of its log that a PostgreSQL origin keeps for this pipeline.
    pub retained_bytes: Option<u64>,
    /// Bytes that may come before a PostgreSQL origin gives the slot up (`max_slot_wal_keep_size`); `null` if it never does.
    pub retained_room_bytes: Option<u64>,
    /// Changes that a SQLite origin keeps for this pipeline.
    pub retained_changes: Option<u64>,
    /// Changes captured per second, over the last 5 s.
    pub captured_per_s: Option<f64>,
    /// Changes applied per second, over the last 5 s.
    pub applied_per_s: Option<f64>,
    /// Bytes captured and not durable in the log yet.
    pub in_flight_bytes: Option<u64>,
    /// Rows copied by the snapshot.
    pub snapshot_rows: Option<u64>,
    /// Rows written to the replica after folding.
    pub rows_written: Option<u64>,
    /// Transactions committed at the replica.
    pub transactions: Option<u64>,
    /// Updates and deletes that hit no row.
    pub missing_rows: Option<u64>,
    /// Records that could not be read.
    pub unreadable: Option<u64>,
    /// Batches rolled back and tried again.
    pub retries: Option<u64>,
    /// Bytes fetched and not applied yet.
    pub buffered_bytes: Option<u64>,
    /// Workers applying at this moment.
    pub busy: Option<u64>,
    /// The keys that most changes of late are of, hottest first, and how many changes a second each allows; empty if none stands out, or no applier runs here.
    pub hot_keys: Vec<HotKeyStatus>,
    /// The capture session's epoch.
    pub epoch: Option<u64>,
    /// When the last applied change was committed at the origin, RFC 3339.
    pub last_applied_commit: Option<String>,
    /// Its processes on this machine.
    pub processes: Vec<ProcessView>,
}

/// A half of the road: what its last process wrote, and whether that process is there.
pub(crate) struct Half<'a, T> {
    /// What it wrote of this half.
    pub(crate) status: &'a T,
    process: &'a ProcessStatus,
    /// Whether the process is there, and has written lately.
    pub(crate) alive: bool,
}

/// What a process says that is there.
fn live<'a, T>(half: &Option<Half<'a, T>>) -> Option<&'a T> {
    half.as_ref()
        .filter(|half| half.alive)
        .map(|half| half.status)
}

/// Which halves a pipeline has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halves {
    /// False where topics of another tool are applied.
    pub captures: bool,
    /// False where there is no replica: events go into topics only.
    pub applies: bool,
}

/// Puts a pipeline's view together. `alive` says of a process whether it is there and has written lately.
pub fn view(
    name: &str,
    halves: Halves,
    processes: &[ProcessStatus],
    alive: &dyn Fn(&ProcessStatus) -> bool,
    facts: &Facts,
    now_us: i64,
) -> PipelineView {
    let mine: Vec<&ProcessStatus> = processes
        .iter()
        .filter(|process| process.pipeline == name)
        .collect();
    let capture = half(&mine, alive, |process| process.capture.as_ref());
    let apply = half(&mine, alive, |process| process.apply.as_ref());
    let (state, why) = merged(halves, &capture, &apply);
    let why = with_troubles(why, &facts.troubles);
    let capturing = capture.as_ref().map(|half| half.status);
    let applying = apply.as_ref().map(|half| half.status);
    let (reading, running) = (live(&capture), live(&apply));
    let (lag_ms, lag_changes) = lag(running, facts, now_us);
    PipelineView {
        name: name.to_owned(),
        state,
        why,
        lag_ms,
        lag_changes,
        captured: capturing.map(|status| status.captured),
        published: capturing.map(|status| status.published),
        applied: applying.map(|status| status.applied),
        replays_skipped: replays(capturing, applying),
        parked: facts.parked.or(running.map(|status| status.parked_keys)),
        events_parked: capturing.map(|status| status.events_parked),
        partitions: running.map(|status| status.partitions),
        threads: running.map(|status| status.threads),
        threads_asked: running.map(|status| status.threads_asked.clone()),
        threads_why: running
            .map(|status| status.threads_why.clone())
            .filter(|why| !why.is_empty()),
        retained_bytes: facts.retained_bytes,
        retained_room_bytes: facts.retained_room_bytes,
        retained_changes: facts.retained_changes,
        captured_per_s: reading.and_then(|status| status.captured_per_s),
        applied_per_s: running.and_then(|status| status.applied_per_s),
        in_flight_bytes: reading.map(|status| status.in_flight_bytes),
        snapshot_rows: capturing.map(|status| status.snapshot_rows),
        rows_written: applying.map(|status| status.rows_written),
        transactions: applying.map(|status| status.transactions),
        missing_rows: applying.map(|status| status.missing_rows),
        unreadable: applying.map(|status| status.unreadable),
        retries: applying.map(|status| status.retries),
        buffered_bytes: running.map(|status| status.buffered_bytes),
        busy: running.map(|status| status.busy),
        hot_keys: running.map_or_else(Vec::new, |status| status.hot_keys.clone()),
        epoch: capturing
            .map(|status| status.epoch)
            .filter(|epoch| *epoch > 0),
        last_applied_commit: applying
            .map(|status| status.last_commit_us)
            .filter(|at| *at > 0)
            .map(rfc3339),
        processes: mine
            .iter()
            .map(|process| process_view(process, alive))
            .collect(),
    }
}

fn with_troubles(mut why: String, troubles: &[String]) -> String {
    for trouble in troubles {
        if !why.is_empty() {
            why.push_str("; ");
        }
        why.push_str(trouble);
    }
    why
}

fn process_view(process: &ProcessStatus, alive: &dyn Fn(&ProcessStatus) -> bool) -> ProcessView {
    ProcessView {
        pid: process.pid,
        alive: alive(process),
        captures: process.capture.is_some(),
        applies: process.apply.is_some(),
        updated: rfc3339(process.updated_us),
    }
}

/// The worst first, then the longest lag, then by name.
pub fn worst_first(views: &mut [PipelineView]) {
    views.sort_by(|one, other| {
        other
            .state
            .cmp(&one.state)
            .then(other.lag_ms.cmp(&one.lag_ms))
            .then_with(|| one.name.cmp(&other.name))
    });
}

/// Microseconds since 1970 as RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(at_us: i64) -> String {
    let since = Duration::from_micros(u64::try_from(at_us).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// The process that does a half: one that is there before one that is gone, a later one before an earlier.
pub(crate) fn half<'a, T>(
    mine: &[&'a ProcessStatus],
    alive: &dyn Fn(&ProcessStatus) -> bool,
    part: impl Fn(&'a ProcessStatus) -> Option<&'a T>,
) -> Option<Half<'a, T>> {
    mine.iter()
        .filter_map(|process| {
            let alive = alive(process);
            part(process).map(|status| Half {
                status,
                process,
                alive,
            })
        })
        .max_by_key(|half| (half.alive, half.process.updated_us))
}

fn merged(
    halves: Halves,
    capture: &Option<Half<'_, CaptureStatus>>,
    apply: &Option<Half<'_, ApplyStatus>>,
) -> (State, String) {
    let capturing = halves.captures.then(|| {
        let half = capture
            .as_ref()
            .map(|half| (half.alive, &*half.status.state, &*half.status.why));
        judge("capture", half)
    });
    let half = apply
        .as_ref()
        .map(|half| (half.alive, &*half.status.state, &*half.status.why));
    let applying = judge("apply", half);
    let Some(capturing) = capturing else {
        return applying;
    };
    if !halves.applies {
        let is_all_out = capture
            .as_ref()
            .is_some_and(|half| half.status.in_flight_bytes == 0);
        return match capturing {
            (State::Streaming, why) if is_all_out => (State::CaughtUp, why),
            other => other,
        };
    }
    match (capturing.0, applying.0) {
        (State::Stopped, State::Stopped) if capture.is_none() && apply.is_none() => {
            (State::Stopped, "not running on this machine".to_owned())
        }
        // A stream of changes with nothing in it is as good as it gets.
        (State::Streaming, State::CaughtUp) => (State::CaughtUp, applying.1),
        (one, other) => {
            let words = |part: &(State, String), worse: State| {
                (part.0 == worse && !part.1.is_empty()).then(|| part.1.clone())
            };
            let worse = one.max(other);
            let why: Vec<String> = [words(&capturing, worse), words(&applying, worse)]
                .into_iter()
                .flatten()
                .collect();
            (worse, why.join("; "))
        }
    }
}

/// A half's state in one of the five words, with its reason.
fn judge(role: &str, half: Option<(bool, &str, &str)>) -> (State, String) {
    let because = |why: &str| match why {
        "" => String::new(),
        why => format!("{role}: {why}"),
    };
    match half {
        None => (
            State::Stopped,
            format!("{role} is not running on this machine"),
        ),
        Some((false, "stopped", "" | "asked to stop")) => {
            (State::Stopped, format!("{role}: was asked to stop"))
        }
        Some((false, "stopped", why)) => (State::Stopped, because(why)),
        Some((false, _, _)) => (
            State::Stopped,
            format!("{role}: its process is gone or does not answer"),
        ),
        Some((true, "caught_up", why)) => (State::CaughtUp, because(why)),
        Some((true, "streaming", why)) => (State::Streaming, because(why)),
        Some((true, "snapshotting", why)) => (State::Snapshotting, because(why)),
        Some((true, "stopped", why)) => (State::Stopped, because(why)),
        Some((true, "starting" | "", why)) => (
            State::Degraded,
            because(&format!("starting: {why}").replace("starting: starting", "starting")),
        ),
        Some((true, _, why)) => (State::Degraded, because(why)),
    }
}

/// (`lag_ms`, `lag_changes`)
fn lag(running: Option<&ApplyStatus>, facts: &Facts, now_us: i64) -> (Option<u64>, Option<u64>) {
    let Some(status) = running else {
        return (facts.oldest_unapplied_ms, facts.changes_behind);
    };
    let behind = match status.state.as_str() {
        "caught_up" | "streaming" => Some(status.records_behind),
        // It may not have looked at the log yet.
        _ => facts
            .changes_behind
            .or(Some(status.records_behind).filter(|behind| *behind > 0)),
    };
    let since_last = |at_us: i64| u64::try_from((now_us - at_us) / 1000).unwrap_or(0);
    let lag_ms = match status.state.as_str() {
        "caught_up" => Some(0),
        "streaming" => Some(status.lag_ms),
        _ => facts.oldest_unapplied_ms.or_else(|| {
            let stuck = behind.unwrap_or(0) > 0 && status.last_commit_us > 0;
            stuck.then(|| since_last(status.last_commit_us))
        }),
    };
    (lag_ms, behind)
}

fn replays(capture: Option<&CaptureStatus>, apply: Option<&ApplyStatus>) -> Option<u64> {
    let parts = [
        capture.map(|status| status.replays_skipped),
        apply.map(|status| status.replays_skipped),
    ];
    parts.into_iter().flatten().reduce(|one, other| one + other)
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
