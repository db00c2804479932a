//! Figures that rules judge, out of what the processes of this machine have written and what the parts say.

use keylane_core::notify::{HalfLook, Look, PipelineLine};

use crate::status::{ApplyStatus, CaptureStatus, PipelineView, ProcessStatus, half};

/// What a process wrote longer ago than this is no longer looked at: it was moved elsewhere, or taken out.
const FORGOTTEN_US: i64 = 86_400_000_000;
/// The reason of a half that somebody stopped.
const ASKED: [&str; 2] = ["", "asked to stop"];
/// The reason of a capturer that stands by, for as long as another captures.
const STANDS_BY: &str = "another capturer";

/// A pipeline now. `view` is what the parts say, where they were asked.
pub(super) fn look(
    pipeline: &str,
    processes: &[ProcessStatus],
    view: Option<&PipelineView>,
    now_us: i64,
) -> Look {
    let mine = processes.iter().filter(|process| {
        process.pipeline == pipeline && now_us - process.updated_us < FORGOTTEN_US
    });
    let mine: Vec<&ProcessStatus> = mine.collect();
    let capturer = half(&mine, &ProcessStatus::is_alive, |process| {
        process.capture.as_ref()
    });
    let applier = half(&mine, &ProcessStatus::is_alive, |process| {
        process.apply.as_ref()
    });
    let apply_lives = applier.as_ref().is_some_and(|half| half.alive);
    let at_the_applier = applier.as_ref().map(|half| half.status.parked_keys);
    Look {
        at_us: now_us,
        // Where no applier runs, the lag is another machine's to tell.
        lag_ms: view.filter(|_| apply_lives).and_then(|view| view.lag_ms),
        lag_changes: view.and_then(|view| view.lag_changes),
        retained_bytes: view.and_then(|view| view.retained_bytes),
        safe_bytes: view.and_then(|view| view.retained_room_bytes),
        parked: view
            .and_then(|view| view.parked)
            .or(at_the_applier)
            .filter(|_| applier.is_some()),
        capture: capturer.and_then(|half| capturing(half.alive, half.status)),
        apply: applier.and_then(|half| applies(half.alive, half.status)),
    }
}

/// A pipeline's line in the digest.
pub(super) fn line(view: &PipelineView) -> PipelineLine {
    PipelineLine {
        name: view.name.as_str().into(),
        state: view.state.word().to_owned(),
        why: view.why.clone(),
        lag_ms: view.lag_ms,
        parked: view.parked,
    }
}

/// `None` if it was asked to stop.
fn capturing(is_alive: bool, status: &CaptureStatus) -> Option<HalfLook> {
    let was_asked = status.state == "stopped" && ASKED.contains(&status.why.as_str());
    (!was_asked).then(|| HalfLook {
        is_alive,
        state: status.state.clone(),
        why: status.why.clone(),
        stands_by: status.why.contains(STANDS_BY),
        done: status.captured + status.published + status.replays_skipped + status.snapshot_rows,
        has_work: status.in_flight_bytes > 0,
    })
}

/// `None` if it was asked to stop.
fn applies(is_alive: bool, status: &ApplyStatus) -> Option<HalfLook> {
    let was_asked = status.state == "stopped" && ASKED.contains(&status.why.as_str());
    (!was_asked).then(|| HalfLook {
        is_alive,
        state: status.state.clone(),
        why: status.why.clone(),
        stands_by: false,
        done: status.applied + status.replays_skipped + status.unreadable,
        has_work: status.state == "streaming" && status.records_behind > 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Facts, Halves, view};

    const NOW_US: i64 = 1_700_000_000_000_000;

    fn process(state: &str, why: &str) -> ProcessStatus {
        let apply = ApplyStatus {
            state: state.to_owned(),
            why: why.to_owned(),
            parked_keys: 3,
            records_behind: 9,
            ..ApplyStatus::default()
        };
        let capture = CaptureStatus {
            state: "degraded".to_owned(),
            why: "waiting for another capturer to let go: KL-CAPTURE-104".to_owned(),
            ..CaptureStatus::default()
        };
        ProcessStatus {
            pipeline: "shop".to_owned(),
            // No such process: pids end far below.
            pid: u32::MAX,
            updated_us: NOW_US,
            capture: Some(capture),
            apply: Some(apply),
        }
    }

    #[test]
    fn a_half_that_was_asked_to_stop_is_not_judged_and_one_that_was_killed_is() {
        let check = |state, why, is_judged| {
            let look = look("shop", &[process(state, why)], None, NOW_US);
            assert_eq!(look.apply.is_some(), is_judged, "{state}: {why}");
            look
        };
        check("stopped", "asked to stop", false);
        let failed = check("stopped", "KL-APPLY-013: too many", true);
        assert_eq!(failed.parked, Some(3), "of its last word");
        let killed = check("streaming", "", true).apply.expect("it is judged");
        assert!(!killed.is_alive && killed.has_work);
        let standby = check("caught_up", "", true).capture.expect("it is judged");
        assert!(standby.stands_by);
    }

    #[test]
    fn what_is_old_or_anothers_says_nothing() {
        let old = ProcessStatus {
            updated_us: NOW_US - FORGOTTEN_US,
            ..process("degraded", "")
        };
        let others = ProcessStatus {
            pipeline: "other".to_owned(),
            ..process("degraded", "")
        };
        let none = Look {
            at_us: NOW_US,
            ..Look::default()
        };
        assert_eq!(look("shop", &[old, others], None, NOW_US), none);
    }

    #[test]
    fn a_lag_is_told_where_an_applier_lives() {
        let both = Halves {
            captures: true,
            applies: true,
        };
        let mut view = view("shop", both, &[], &|_| true, &Facts::default(), 0);
        view.lag_ms = Some(95_000);
        let mut alive = process("streaming", "");
        alive.pid = std::process::id();
        let now_us = keylane::workers::stats::now_us();
        alive.updated_us = now_us;
        let gone = ProcessStatus {
            pid: u32::MAX,
            ..alive.clone()
        };
        let lag = |process| look("shop", &[process], Some(&view), now_us).lag_ms;
        assert_eq!(lag(alive), Some(95_000));
        assert_eq!(lag(gone), None);
    }
}
