//! A replica that holds less than it held.

use super::*;
use crate::apply::Held;

/// What the replica says now.
fn stored(low: u64, lanes: &[(&str, u64)]) -> PartitionProgress {
    let lanes = lanes.iter();
    PartitionProgress {
        low: Offset(low),
        lanes: lanes
            .map(|(key, next)| (lane(key), (Offset(*next), at(*next))))
            .collect(),
        ..progress()
    }
}

#[test]
fn what_must_be_held_is_the_saved_mark_and_the_lanes_that_are_further() {
    let mut bench = Bench::new();
    bench.keys(&["a", "b", "a"]);
    let first = bench.take();
    bench.settle(&first, Outcome::Committed, 0);
    let low = bench.lanes.lows().remove(0);
    assert_eq!((low.low, low.held.low), (Offset(4), Offset(1)));
    let mut ahead = low.held.ahead.clone();
    ahead.sort_unstable();
    let mut expect = [(lane("a"), Offset(4)), (lane("b"), Offset(3))];
    expect.sort_unstable();
    assert_eq!(ahead, expect);
    bench.lanes.saved(&[low]);
    let again = bench.lanes.lows().remove(0);
    let all = Held {
        low: Offset(4),
        ahead: Vec::new(),
    };
    assert_eq!(again.held, all);
}

#[test]
fn a_replica_that_holds_less_has_gone_back_and_one_that_holds_more_has_not() {
    let mut bench = Bench::new();
    bench.keys(&["a", "b", "a"]);
    let batch = bench.take();
    bench.settle(&batch, Outcome::Committed, 0);
    let check = |stored: PartitionProgress, gone_back: bool| {
        assert_eq!(bench.lanes.has_gone_back(&stored), gone_back, "{stored:?}");
    };
    check(stored(1, &[("a", 4), ("b", 3)]), false);
    check(stored(1, &[("a", 4), ("b", 9)]), false);
    check(stored(4, &[]), false);
    check(stored(1, &[("a", 4)]), true);
    check(stored(1, &[("a", 2), ("b", 3)]), true);
    check(stored(0, &[("a", 4), ("b", 3)]), true);
    // Also of what was given up meanwhile.
    bench.lanes.revoke(&partition());
    assert!(bench.lanes.has_gone_back(&stored(1, &[("a", 4)])));
    bench.lanes.assign(&stored(1, &[("a", 4)]));
    assert!(!bench.lanes.has_gone_back(&stored(1, &[("a", 4)])));
}

#[test]
fn after_a_doubt_nothing_is_owned_and_nothing_counts_as_applied_elsewhere() {
    let mut bench = Bench::new();
    bench.lanes.set_elsewhere(&[], false);
    bench.keys(&["a"]);
    assert_eq!(bench.lanes.doubt_all(), [partition()]);
    assert!(!bench.lanes.owns(&partition()));
    assert_eq!(bench.lanes.unapplied_from(), Position::ZERO);
    assert!(bench.lanes.take(ALL).is_none());
}

#[test]
fn held_work_waits_for_a_look() {
    let mut bench = Bench::new();
    bench.keys(&["a"]);
    bench.lanes.hold();
    assert!(bench.lanes.take(ALL).is_none());
    bench.lanes.go_on();
    assert_eq!(bench.take().items.len(), 1);
}
