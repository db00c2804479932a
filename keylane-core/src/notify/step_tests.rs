//! What an observation comes to, told one by one and by chance.

use super::*;
use crate::consume::chance::numbers;
use crate::notify::report::{TableReport, Verdict};

const MINUTE_US: i64 = 60_000_000;

fn terms() -> Terms {
    Terms {
        min_rows: 1,
        ..Terms::default()
    }
}

fn report(run: u32, verdict: Verdict, found: u64, repaired: u64, failed: u64) -> TableReport {
    TableReport {
        different: found,
        repaired,
        repair_failed: failed,
        rows_origin: 1000,
        ..TableReport::new(Some("shop"), "public.orders", run.to_string(), verdict)
    }
}

/// A table's life: each run an hour after the last.
struct Table {
    standing: Option<Standing>,
    terms: Terms,
    runs: u32,
}

impl Table {
    fn new() -> Table {
        Table {
            standing: None,
            terms: terms(),
            runs: 0,
        }
    }

    fn run(&mut self, verdict: Verdict, found: u64, repaired: u64, failed: u64) -> Step {
        self.runs += 1;
        let report = report(self.runs, verdict, found, repaired, failed);
        self.observe(report)
    }

    fn observe(&mut self, report: TableReport) -> Step {
        let at_us = i64::from(self.runs) * 2 * FLAP_WINDOW_US;
        let step = step(
            self.standing.take(),
            &Observation::of_table(report, at_us),
            &self.terms,
        );
        self.standing = Some(step.standing.clone());
        step
    }
}

fn told(step: &Step) -> Option<(State, State)> {
    assert!(step.messages.len() <= 1, "{step:?}");
    match step.messages.first()?.news {
        News::Changed { from, to, .. } => Some((from, to)),
        _ => unreachable!("{step:?}"),
    }
}

#[test]
fn each_change_of_a_table_is_told_once_and_repeats_are_counted() {
    use State::{Diverged, Failed, Ok, RepairFailed, Repaired, Stalled};
    let mut table = Table::new();
    let mut check = |verdict, found, repaired, failed, expect: Option<(State, State)>| {
        let step = table.run(verdict, found, repaired, failed);
        assert_eq!(told(&step), expect);
        step
    };
    check(Verdict::Equal, 0, 0, 0, None);
    check(Verdict::Equal, 0, 0, 0, None);
    check(Verdict::Diverged, 42, 0, 0, Some((Ok, Diverged)));
    check(Verdict::Diverged, 42, 0, 0, None);
    let third = check(Verdict::Diverged, 43, 0, 0, None);
    assert_eq!(third.quiet, Some(Quiet::Repeat(3)));
    check(Verdict::Hot, 0, 0, 0, None);
    let repaired = check(Verdict::Diverged, 43, 43, 0, Some((Diverged, Repaired)));
    let News::Changed {
        runs, lasted_ms, ..
    } = repaired.messages[0].news
    else {
        unreachable!("{repaired:?}");
    };
    assert_eq!((runs, lasted_ms), (3, 4 * 2 * 3_600_000));
    check(Verdict::Equal, 0, 0, 0, Some((Repaired, Ok)));
    check(Verdict::Diverged, 9, 8, 1, Some((Ok, RepairFailed)));
    check(Verdict::Stalled, 0, 0, 0, Some((RepairFailed, Stalled)));
    check(Verdict::Stalled, 0, 0, 0, None);
    check(Verdict::Failed, 0, 0, 0, Some((Stalled, Failed)));
    check(Verdict::Equal, 0, 0, 0, Some((Failed, Ok)));
    check(Verdict::Unproved, 0, 0, 0, None);
    let last = check(Verdict::Equal, 0, 0, 0, None);
    assert_eq!(last.standing.day.unproved, 2);
    assert_eq!(last.standing.day.changes, 7);
}

#[test]
fn a_run_that_is_told_again_changes_nothing() {
    let mut table = Table::new();
    table.run(Verdict::Equal, 0, 0, 0);
    table.run(Verdict::Diverged, 5, 0, 0);
    table.run(Verdict::Diverged, 5, 5, 0);
    let before = table.standing.clone();
    let again = table.observe(report(2, Verdict::Diverged, 5, 0, 0));
    assert_eq!(again.quiet, Some(Quiet::Known));
    assert_eq!(Some(again.standing), before);
}

#[test]
fn few_rows_are_logged_only_and_do_not_make_a_table_equal() {
    let mut table = Table::new();
    table.terms.min_rows = 10;
    assert_eq!(
        table.run(Verdict::Diverged, 9, 0, 0).quiet,
        Some(Quiet::Below)
    );
    assert!(table.run(Verdict::Equal, 0, 0, 0).messages.is_empty());
    assert!(told(&table.run(Verdict::Diverged, 10, 0, 0)).is_some());
    assert_eq!(
        table.run(Verdict::Diverged, 9, 0, 0).quiet,
        Some(Quiet::Below)
    );
    let equal = table.run(Verdict::Equal, 0, 0, 0);
    assert_eq!(told(&equal), Some((State::Diverged, State::Ok)));
    assert_eq!(equal.standing.day.below, 2);
}

fn parked(at_us: i64, is_bad: bool, hold_ms: u64) -> Observation {
    Observation {
        subject: Subject {
            pipeline: Some("shop".into()),
            what: What::Parked,
        },
        state: Some(if is_bad { State::Parked } else { State::Ok }),
        run: None,
        at_us,
        hold_ms,
        detail: Detail::Test,
    }
}

#[test]
fn a_figure_must_hold_both_ways_before_it_is_told() {
    let mut standing = None;
    let mut check = |second: i64, is_bad, expect: Option<(State, State)>| {
        let observation = parked(second * 1_000_000, is_bad, 60_000);
        let step = step(standing.take(), &observation, &terms());
        assert_eq!(told(&step), expect, "second {second}");
        standing = Some(step.standing);
    };
    check(0, false, None);
    check(10, true, None);
    check(60, true, None);
    check(65, false, None);
    check(70, true, None);
    check(120, true, None);
    check(130, true, Some((State::Ok, State::Parked)));
    check(200, true, None);
    check(210, false, None);
    check(220, true, None);
    check(230, false, None);
    check(290, false, Some((State::Parked, State::Ok)));
    // Nobody looked for an hour.
    check(300, true, None);
    check(3900, true, None);
    check(3960, true, Some((State::Ok, State::Parked)));
}

#[test]
fn a_state_that_changes_too_often_is_told_once_and_again_when_it_rests() {
    let mut standing = None;
    let mut messages = Vec::new();
    let mut now = 0;
    for minute in 0..31 {
        now = minute * MINUTE_US;
        let observation = parked(now, minute % 2 == 0, 0);
        let step = step(standing.take(), &observation, &terms());
        messages.extend(step.messages);
        standing = Some(step.standing);
    }
    assert_eq!(messages.len(), FLAP_CHANGES + 1, "{messages:?}");
    let last = messages.last().map(|message| message.news);
    assert!(
        matches!(last, Some(News::Flapping { changes: 11, .. })),
        "{last:?}"
    );
    let mut standing = standing.expect("it was observed");
    let subject = parked(0, true, 0).subject;
    assert_eq!(standing.rest(&subject, now + FLAP_WINDOW_US - 1), None);
    let rested = standing
        .rest(&subject, now + FLAP_WINDOW_US)
        .expect("it rests");
    let settled = News::Settled {
        state: State::Parked,
        changes: 20,
    };
    assert_eq!(rested.news, settled);
    assert_eq!(standing.rest(&subject, now + 9 * FLAP_WINDOW_US), None);
    // From now on as before.
    let next = step(
        Some(standing),
        &parked(now + 2 * FLAP_WINDOW_US, false, 0),
        &terms(),
    );
    assert_eq!(told(&next), Some((State::Parked, State::Ok)));
}

/// What people know after these messages.
fn known(messages: &[Message]) -> State {
    messages
        .iter()
        .rev()
        .find_map(|message| message.news.state())
        .unwrap_or(State::Ok)
}

#[test]
fn whatever_comes_no_change_is_told_twice_and_none_is_lost() {
    for seed in 1..2_000_u64 {
        let mut below = numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let hold_ms = below(3) * 30_000;
        let (mut standing, mut messages, mut now) = (None, Vec::new(), 0);
        let (mut held, mut changes) = (State::Ok, 0);
        let (mut seen, mut since, mut last) = (State::Ok, 0, 0);
        for _ in 0..60 {
            now += i64::try_from(1 + below(90)).unwrap_or(1) * 1_000_000;
            let state = [State::Ok, State::Parked, State::Stuck][below(3) as usize];
            let mut observation = parked(now, true, hold_ms);
            observation.state = (below(10) > 0).then_some(state);
            let step = step(standing.take(), &observation, &terms());
            assert!(step.messages.len() <= 1, "seed {seed}");
            messages.extend(step.messages);
            standing = Some(step.standing);
            // The same by another road: what has held long enough, and how often that changed.
            let Some(state) = observation.state else {
                continue;
            };
            if state != seen || now - last > GAP_US {
                (seen, since) = (state, now);
            }
            last = now;
            if seen != held && now - since >= i64::try_from(hold_ms).unwrap_or(0) * 1000 {
                (held, changes) = (seen, changes + 1);
            }
        }
        let mut standing = standing.expect("it was observed");
        let subject = parked(0, true, 0).subject;
        messages.extend(standing.rest(&subject, now + FLAP_WINDOW_US));
        assert!(messages.len() <= changes, "seed {seed}: {messages:?}");
        assert_eq!(known(&messages), held, "seed {seed}: {messages:?}");
        let told_one_by_one = changes <= FLAP_CHANGES;
        assert!(
            !told_one_by_one || messages.len() == changes,
            "seed {seed}: {changes} changes, {messages:?}"
        );
    }
}
