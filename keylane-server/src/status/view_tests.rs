//! Of files and facts, what is said.

use super::*;

const NOW_US: i64 = 1_700_000_000_000_000;

fn capture(state: &str, why: &str) -> CaptureStatus {
    CaptureStatus {
        state: state.to_owned(),
        why: why.to_owned(),
        captured: 12,
        published: 11,
        replays_skipped: 1,
        ..CaptureStatus::default()
    }
}

fn apply(state: &str, why: &str) -> ApplyStatus {
    ApplyStatus {
        state: state.to_owned(),
        why: why.to_owned(),
        applied: 10,
        replays_skipped: 2,
        lag_ms: 40,
        records_behind: 3,
        threads: 4,
        last_commit_us: NOW_US - 5_000_000,
        ..ApplyStatus::default()
    }
}

const BOTH: Halves = Halves {
    captures: true,
    applies: true,
};

fn process(pid: u32, capture: Option<CaptureStatus>, apply: Option<ApplyStatus>) -> ProcessStatus {
    ProcessStatus {
        pipeline: "shop".to_owned(),
        pid,
        updated_us: NOW_US,
        capture,
        apply,
    }
}

fn check(processes: &[ProcessStatus], expect: (State, &str)) -> PipelineView {
    // Process 9 is gone.
    let alive = |process: &ProcessStatus| process.pid != 9;
    let view = view("shop", BOTH, processes, &alive, &Facts::default(), NOW_US);
    assert_eq!((view.state, view.why.as_str()), expect);
    view
}

#[test]
fn the_worse_half_decides_and_says_why() {
    let both = |one: (&str, &str), other: (&str, &str)| {
        [process(
            1,
            Some(capture(one.0, one.1)),
            Some(apply(other.0, other.1)),
        )]
    };
    check(
        &both(("streaming", ""), ("caught_up", "")),
        (State::CaughtUp, ""),
    );
    check(
        &both(("streaming", ""), ("streaming", "")),
        (State::Streaming, ""),
    );
    check(
        &both(("snapshotting", "2 tables left"), ("caught_up", "")),
        (State::Snapshotting, "capture: 2 tables left"),
    );
    check(
        &both(("streaming", ""), ("degraded", "the replica is away")),
        (State::Degraded, "apply: the replica is away"),
    );
    check(
        &both(("starting", "opening a session"), ("caught_up", "")),
        (State::Degraded, "capture: starting: opening a session"),
    );
    check(
        &both(("stopped", "KL-CAPTURE-104: x"), ("degraded", "y")),
        (State::Stopped, "capture: KL-CAPTURE-104: x"),
    );
}

#[test]
fn a_half_without_a_process_is_stopped_and_the_other_goes_on() {
    let split = [
        process(1, Some(capture("streaming", "")), None),
        process(9, None, Some(apply("streaming", ""))),
    ];
    let view = check(
        &split,
        (
            State::Stopped,
            "apply: its process is gone or does not answer",
        ),
    );
    assert_eq!((view.captured, view.applied), (Some(12), Some(10)));
    assert_eq!(
        (view.lag_ms, view.lag_changes, view.threads),
        (None, None, None)
    );
    check(&[], (State::Stopped, "not running on this machine"));
    let asked = [process(
        9,
        Some(capture("stopped", "asked to stop")),
        Some(apply("stopped", "asked to stop")),
    )];
    check(
        &asked,
        (
            State::Stopped,
            "capture: was asked to stop; apply: was asked to stop",
        ),
    );
}

#[test]
fn a_process_that_is_there_counts_before_one_that_is_gone() {
    let mut gone = process(
        9,
        Some(capture("streaming", "")),
        Some(apply("streaming", "")),
    );
    gone.updated_us = NOW_US + 1;
    let here = [
        gone,
        process(2, Some(capture("streaming", "")), None),
        process(3, None, Some(apply("caught_up", ""))),
    ];
    check(&here, (State::CaughtUp, ""));
}

#[test]
fn unknown_is_null_and_stored_facts_stand_in() {
    let facts = Facts {
        changes_behind: Some(7),
        oldest_unapplied_ms: Some(1500),
        parked: Some(1),
        troubles: vec!["the origin did not answer within 1 s".to_owned()],
        ..Facts::default()
    };
    let view = view("shop", BOTH, &[], &|_| false, &facts, NOW_US);
    assert_eq!((view.lag_ms, view.lag_changes), (Some(1500), Some(7)));
    assert_eq!(
        view.why,
        "not running on this machine; the origin did not answer within 1 s"
    );
    let json = serde_json::to_value(&view).expect("a view is JSON");
    for unknown in ["captured", "applied", "threads", "retained_bytes", "epoch"] {
        assert!(json[unknown].is_null(), "{unknown}: {json}");
    }
    assert_eq!(json["state"], "stopped");
}

#[test]
fn a_stuck_applier_s_lag_grows() {
    let stuck = [process(
        1,
        Some(capture("streaming", "")),
        Some(apply("degraded", "the replica is away")),
    )];
    let view = check(&stuck, (State::Degraded, "apply: the replica is away"));
    assert_eq!(view.lag_ms, Some(5000));
}
