//! The rest of a transaction.

use super::*;

/// A parent's delete that violates, and the deletes of its children in the same transaction.
fn violating_cascade(bench: &mut Bench) -> Batch<&'static str> {
    for (key, ordinal) in [("a", 0), ("b", 1), ("a", 2)] {
        bench.offer_at(key, Position::new(10, ordinal));
    }
    let all = bench.take();
    bench.fails(&all, ApplyErrorKind::Constraint);
    let head = bench.take();
    assert_eq!(
        (head.kind, offsets(&head)),
        (BatchKind::Careful, vec![1, 3])
    );
    head
}

fn violation() -> Outcome {
    Outcome::Partly(0, ApplyError::new(ApplyErrorKind::Constraint, "x"))
}

#[test]
fn what_is_left_of_a_transaction_goes_together_once_all_of_it_is_there_and_none_in_work() {
    let mut bench = Bench::new();
    let head = violating_cascade(&mut bench);
    let child = bench.take();
    assert_eq!(offsets(&child), [2]);
    assert!(bench.settle(&head, violation(), 0).is_empty());
    bench.marker(Position::end_of(10));
    assert!(!bench.lanes.has_ready(), "a part of it is in work");
    bench.settle(&child, Outcome::Committed, 0);
    let rest = bench.take();
    assert_eq!(
        (rest.kind, offsets(&rest)),
        (BatchKind::Together, vec![1, 3])
    );
    bench.settle(&rest, Outcome::Committed, 0);
    assert!(bench.lanes.is_drained());
}

#[test]
fn a_transaction_of_which_something_may_still_come_is_waited_for_but_not_for_ever() {
    let mut bench = Bench::new();
    let head = violating_cascade(&mut bench);
    bench.settle(&head, violation(), 0);
    let child = bench.take();
    bench.settle(&child, Outcome::Committed, 0);
    assert!(!bench.lanes.has_ready(), "no word yet that this is all");
    assert_eq!(bench.lanes.tick(0), Some(POLICY.rest_ms_max));
    assert_eq!(bench.lanes.tick(POLICY.rest_ms_max), None);
    let head = bench.take();
    let notices = bench.settle(&head, violation(), POLICY.rest_ms_max);
    assert!(matches!(notices[..], [Notice::WillPark { .. }]));
}
