//! A message of every kind, made up: for a look at how they are sent, and for tests.

use std::sync::Arc;

use super::digest;
use super::message::{
    Detail, Folded, LagFound, Message, News, ParkedFound, PipelineLine, RoadFound, SagasFound,
    SlotFound,
};
use super::report::{SampleKey, TableReport, ValuePair, Verdict};
use super::state::{Severity, State};
use super::step::{Day, Standing};
use super::subject::{Half, Subject, What};

/// When the samples are made: 27 November 2026, 09:00 UTC.
const NOW_US: i64 = 1_795_770_000_000_000;
const HOUR_MS: u64 = 3_600_000;
const TABLE: &str = "public.orders";

/// A message of every kind, of this pipeline; with values of rows or without.
pub fn samples(pipeline: &str, values: bool) -> Vec<Message> {
    let pipeline: Arc<str> = pipeline.into();
    let mut all = of_tables(&pipeline, values);
    all.extend(of_figures(&pipeline));
    all.extend(of_all(&pipeline, values));
    all
}

fn changed(
    pipeline: &Arc<str>,
    what: What,
    (from, to): (State, State),
    runs: u32,
    detail: Detail,
) -> Message {
    Message {
        subject: Some(Subject {
            pipeline: Some(pipeline.clone()),
            what,
        }),
        news: News::Changed {
            from,
            to,
            lasted_ms: 2 * HOUR_MS + 600_000,
            runs,
        },
        severity: to.severity(),
        at_us: NOW_US,
        detail,
    }
}

fn report(pipeline: &Arc<str>, verdict: Verdict, values: bool) -> TableReport {
    let row = |id: u32| SampleKey {
        key: format!("{{\"id\":{id}}}"),
        values: vec![ValuePair {
            column: "total".to_owned(),
            origin: "12.50".to_owned(),
            replica: "12.00".to_owned(),
        }],
    };
    let report = TableReport {
        rows_origin: 1_204_311,
        rows_replica: 1_204_310,
        missing: 3,
        extra: 2,
        different: 37,
        hot: 1,
        lossy: vec!["weight".to_owned()],
        columns: [("total", 30), ("state", 7), ("note", 2), ("changed_at", 1)]
            .map(|(column, rows)| (column.to_owned(), rows))
            .to_vec(),
        keys: [1007, 1008, 2044, 2045, 90_210].map(row).to_vec(),
        took_ms: 4_210,
        position: "0/16B3748, lag 120 ms".to_owned(),
        next: format!("keylane reconcile {pipeline} --table {TABLE} --repair --dry-run"),
        ..TableReport::new(Some(pipeline), TABLE, "20261127-090000", verdict)
    };
    report.bounded(values)
}

fn of_tables(pipeline: &Arc<str>, values: bool) -> Vec<Message> {
    use State::{Diverged, Failed, Ok, RepairFailed, Repaired, Stalled};
    let of = |from: State, to: State, runs: u32, report: TableReport| {
        let what = What::Table(TABLE.into());
        let detail = Detail::Table(Box::new(report));
        changed(pipeline, what, (from, to), runs, detail)
    };
    let diverged = report(pipeline, Verdict::Diverged, values);
    let repaired = TableReport {
        repaired: 42,
        next: "verified: equal".to_owned(),
        ..diverged.clone()
    };
    let not_repaired = TableReport {
        repaired: 40,
        repair_failed: 2,
        next: "keylane reconcile show 20261127-090000 --rows".to_owned(),
        ..diverged.clone()
    };
    let bare = |verdict, next: &str| TableReport {
        took_ms: 60_000,
        next: next.to_owned(),
        ..TableReport::new(Some(pipeline), TABLE, "20261127-090000", verdict)
    };
    let equal = TableReport {
        rows_origin: 1_204_311,
        rows_replica: 1_204_311,
        ..bare(Verdict::Equal, "")
    };
    vec![
        of(Ok, Diverged, 12, diverged),
        of(Diverged, Repaired, 3, repaired),
        of(Diverged, RepairFailed, 3, not_repaired),
        of(Repaired, Ok, 1, equal),
        of(
            Ok,
            Stalled,
            12,
            bare(
                Verdict::Stalled,
                "keylane settle says what holds the road up",
            ),
        ),
        of(
            Stalled,
            Failed,
            1,
            bare(Verdict::Failed, "the replica cannot be asked: KL-APPLY-001"),
        ),
    ]
}

fn of_figures(pipeline: &Arc<str>) -> Vec<Message> {
    let lag = |lag_ms| {
        Detail::Lag(LagFound {
            lag_ms,
            bound_ms: 60_000,
            changes: Some(lag_ms / 10),
        })
    };
    let slot = |full_in_ms| {
        Detail::Slot(SlotFound {
            retained_bytes: 52 << 30,
            room_bytes: 48 << 30,
            grows_bytes_per_s: 9 << 20,
            full_in_ms,
            bound_ms: 4 * HOUR_MS,
        })
    };
    let parked = |keys| Detail::Parked(ParkedFound { keys, bound: 1 });
    let road = |half, state: &str, why: &str| {
        Detail::Road(RoadFound {
            half,
            state: state.to_owned(),
            why: why.to_owned(),
        })
    };
    let away = "the replica is away: KL-APPLY-001";
    let pairs = [
        (What::Lag, State::Lagging, lag(95_000), lag(200)),
        (
            What::Slot,
            State::Filling,
            slot(Some(HOUR_MS + 1_800_000)),
            slot(None),
        ),
        (What::Parked, State::Parked, parked(3), parked(0)),
        (
            What::Road(Half::Apply),
            State::Stuck,
            road(Half::Apply, "degraded", away),
            road(Half::Apply, "streaming", ""),
        ),
        (
            What::Road(Half::Capture),
            State::Stuck,
            road(
                Half::Capture,
                "stopped",
                "KL-CAPTURE-103: the slot was lost",
            ),
            road(Half::Capture, "streaming", ""),
        ),
        (What::Sagas, State::Stuck, sagas(2), sagas(0)),
    ];
    pairs
        .into_iter()
        .flat_map(|(what, bad, then, now)| {
            let to_bad = (State::Ok, bad);
            let to_ok = (bad, State::Ok);
            [
                changed(pipeline, what.clone(), to_bad, 0, then),
                changed(pipeline, what, to_ok, 0, now),
            ]
        })
        .collect()
}

fn of_all(pipeline: &Arc<str>, values: bool) -> Vec<Message> {
    let table = Subject {
        pipeline: Some(pipeline.clone()),
        what: What::Table(TABLE.into()),
    };
    let detail = Detail::Table(Box::new(report(pipeline, Verdict::Diverged, values)));
    let about = |news, severity| Message {
        subject: Some(table.clone()),
        news,
        severity,
        at_us: NOW_US,
        detail: detail.clone(),
    };
    let flapping = News::Flapping {
        state: State::Diverged,
        changes: 11,
        within_ms: 720_000,
    };
    let settled = News::Settled {
        state: State::Diverged,
        changes: 7,
    };
    let standing = Standing {
        told: State::Diverged,
        runs: 3,
        day: Day {
            runs: 24,
            unproved: 1,
            below: 2,
            found: 126,
            repaired: 84,
            changes: 4,
        },
        last: Some(detail.clone()),
        ..Standing::new(NOW_US - 7_200_000_000)
    };
    let line = PipelineLine {
        name: pipeline.clone(),
        state: "streaming".to_owned(),
        why: String::new(),
        lag_ms: Some(120),
        parked: Some(3),
    };
    let day_us = 86_400_000_000;
    let open = [(table.clone(), standing)];
    let day = digest::digest((NOW_US - day_us, NOW_US), vec![line.clone()], &open);
    let quiet = digest::digest((NOW_US - day_us, NOW_US), vec![line], &[]);
    let folded = Folded {
        messages: 17,
        from_us: NOW_US - day_us,
        to_us: NOW_US,
    };
    vec![
        about(flapping, Severity::Warning),
        about(settled, Severity::Warning),
        Message::digest(day),
        Message::digest(quiet),
        Message::folded(folded, NOW_US),
        Message::test(NOW_US),
    ]
}

fn sagas(count: u64) -> Detail {
    let definitions = [("travel".to_owned(), count)];
    Detail::Sagas(SagasFound {
        sagas: count,
        bound: 1,
        definitions: definitions.into_iter().filter(|_| count > 0).collect(),
    })
}
