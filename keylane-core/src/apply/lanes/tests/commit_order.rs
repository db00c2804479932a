//! Whole transactions, committed in the origin's order.

use super::*;
use crate::apply::Clearance;

/// Two partitions whose records are given by the test.
struct Two {
    lanes: Lanes<&'static str>,
    next: [u64; 2],
}

fn part(number: u32) -> TopicPartition {
    TopicPartition::new("t", number)
}

impl Two {
    fn new() -> Self {
        let mut lanes = Lanes::in_commit_order(LANES);
        for number in 0..2 {
            lanes.assign(&PartitionProgress {
                partition: part(number),
                ..progress()
            });
        }
        Two {
            lanes,
            next: [1, 1],
        }
    }

    fn change(&mut self, number: u32, key: &'static str, commit: u64, ordinal: u32) {
        self.stamped(number, key, commit, ordinal, Stamp::default());
    }

    fn stamped(&mut self, number: u32, key: &'static str, commit: u64, ordinal: u32, stamp: Stamp) {
        let offset = self.offset(number);
        let item = Item {
            offset,
            position: Position::new(commit, ordinal),
            order: order(key),
            stamp,
            key: Bytes::from_static(key.as_bytes()),
            size_bytes: 100,
            payload: key,
        };
        let received = self.lanes.offer(&part(number), item, Acceptance::default());
        assert_eq!(received, ReceivedAs::Queued);
        self.lanes.received();
    }

    /// This partition holds everything up to this commit.
    fn marker(&mut self, number: u32, commit: u64) {
        let offset = self.offset(number);
        let position = Some(Position::end_of(commit));
        let after = Acceptance::default();
        self.lanes.passed(&part(number), offset, position, after);
        self.lanes.received();
    }

    fn markers(&mut self, commit: u64) {
        self.marker(0, commit);
        self.marker(1, commit);
    }

    fn offset(&mut self, number: u32) -> Offset {
        let next = &mut self.next[number as usize];
        *next += 1;
        Offset(*next - 1)
    }

    /// A batch of at most so many changes.
    fn take(&mut self, items_max: usize) -> Batch<&'static str> {
        let limits = Limits { items_max, ..ALL };
        self.lanes.take(limits).expect("work")
    }

    fn settle(&mut self, batch: &Batch<&'static str>, outcome: Outcome) -> Vec<Notice> {
        self.lanes.settle(batch.id, outcome, &POLICY, 0, 0.0)
    }

    fn fails(&mut self, batch: &Batch<&'static str>, kind: ApplyErrorKind) -> Vec<Notice> {
        self.settle(batch, Outcome::RolledBack(ApplyError::new(kind, "x")))
    }

    fn clearance(&self, batch: &Batch<&'static str>) -> (Clearance, Clearance) {
        let (begin, commit) = (
            self.lanes.may_begin(batch.id),
            self.lanes.may_commit(batch.id),
        );
        (begin, commit)
    }
}

fn commits(batch: &Batch<&'static str>) -> Vec<u64> {
    let mut commits: Vec<u64> = batch
        .items
        .iter()
        .map(|item| item.item.position.commit)
        .collect();
    commits.dedup();
    commits
}

#[test]
fn a_transaction_is_taken_once_every_partition_holds_all_of_it() {
    let mut two = Two::new();
    two.change(0, "a", 10, 0);
    two.change(1, "b", 10, 1);
    assert!(!two.lanes.has_ready(), "more of it may come");
    two.marker(0, 10);
    assert_eq!(two.lanes.incomplete(), Some((10, vec![part(1)])));
    // The next change there tells that nothing is missing.
    two.change(1, "b", 20, 0);
    assert_eq!(two.lanes.incomplete(), None);
    let batch = two.take(100);
    assert_eq!(commits(&batch), [10], "of 20 more may come");
    assert_eq!(batch.items.len(), 2);
}

#[test]
fn a_transaction_is_never_divided_and_those_behind_it_go_with_it_if_they_fit() {
    let mut two = Two::new();
    for commit in [10, 20, 30] {
        two.change(0, "a", commit, 0);
        two.change(1, "b", commit, 1);
    }
    two.markers(30);
    assert_eq!(commits(&two.take(1)), [10], "larger than a batch may be");
    assert_eq!(commits(&two.take(5)), [20, 30]);
    assert!(two.lanes.take(ALL).is_none());
}

#[test]
fn independent_batches_begin_at_once_and_commit_in_turn() {
    let mut two = Two::new();
    two.change(0, "a", 10, 0);
    two.change(1, "b", 20, 0);
    two.change(0, "a", 30, 0);
    two.markers(30);
    let (first, second, third) = (two.take(1), two.take(1), two.take(1));
    assert_eq!(two.clearance(&first), (Clearance::Now, Clearance::Now));
    assert_eq!(two.clearance(&second), (Clearance::Now, Clearance::Later));
    // It holds a key of the first.
    assert_eq!(two.clearance(&third), (Clearance::Later, Clearance::Later));
    two.settle(&first, Outcome::Committed);
    assert_eq!(two.clearance(&second), (Clearance::Now, Clearance::Now));
    assert_eq!(two.clearance(&third), (Clearance::Now, Clearance::Later));
    two.settle(&second, Outcome::Committed);
    two.settle(&third, Outcome::Committed);
    assert!(two.lanes.is_drained());
}

#[test]
fn a_lane_in_several_batches_is_expected_where_the_one_before_leaves_it() {
    let mut two = Two::new();
    two.change(0, "a", 10, 0);
    two.change(0, "a", 20, 0);
    two.markers(20);
    let (first, second) = (two.take(1), two.take(1));
    let step = |batch: &Batch<&'static str>| {
        let step = &batch.lanes[0].step;
        (step.expected, step.next)
    };
    assert_eq!(step(&first), (Offset(0), Offset(2)));
    assert_eq!(step(&second), (Offset(2), Offset(3)));
}

#[test]
fn who_depends_on_a_change_or_on_everything_begins_when_that_is_committed() {
    let mut two = Two::new();
    two.change(0, "a", 10, 0);
    two.change(0, "c", 20, 0);
    two.stamped(1, "b", 30, 0, on("a", 1));
    let floor = Stamp {
        floor: Position::new(20, 0),
        ..Stamp::default()
    };
    two.stamped(1, "d", 40, 0, floor);
    two.markers(40);
    let batches: Vec<_> = (0..4).map(|_| two.take(1)).collect();
    let begin = |two: &Two| -> Vec<Clearance> {
        let batches = batches.iter();
        batches.map(|batch| two.clearance(batch).0).collect()
    };
    let (now, later) = (Clearance::Now, Clearance::Later);
    assert_eq!(begin(&two), [now, now, later, later]);
    two.settle(&batches[0], Outcome::Committed);
    assert_eq!(begin(&two)[1..], [now, now, later]);
    two.settle(&batches[1], Outcome::Committed);
    assert_eq!(begin(&two)[2..], [now, now]);
}

#[test]
fn with_a_batch_that_is_not_committed_all_behind_it_give_way_and_come_again_in_order() {
    let mut two = Two::new();
    for (commit, key) in [(10, "a"), (20, "b"), (30, "c"), (40, "a")] {
        two.change(0, key, commit, 0);
    }
    two.markers(40);
    let batches: Vec<_> = (0..3).map(|_| two.take(1)).collect();
    two.settle(&batches[1], Outcome::OutOfTurn);
    assert_eq!(two.clearance(&batches[0]).1, Clearance::Now);
    let never = (Clearance::Never, Clearance::Never);
    assert_eq!(two.clearance(&batches[2]), never);
    assert!(!two.lanes.has_ready(), "one behind is being worked on");
    two.settle(&batches[2], Outcome::OutOfTurn);
    // It began before its turn: now it waits for everything before it.
    let again = two.take(2);
    assert_eq!(commits(&again), [20, 30]);
    assert_eq!(two.clearance(&again).0, Clearance::Later);
    let behind = two.take(100);
    assert_eq!(commits(&behind), [40]);
    assert_eq!(
        behind.lanes[0].step.expected,
        Offset(2),
        "the first is to come"
    );
    two.settle(&batches[0], Outcome::Committed);
    assert_eq!(two.clearance(&again).1, Clearance::Now);
    two.settle(&again, Outcome::Committed);
    two.settle(&behind, Outcome::Committed);
    assert!(two.lanes.is_drained());
}

#[test]
fn a_transaction_that_fails_in_its_turn_is_tried_alone_and_then_stops_the_pipeline() {
    let mut two = Two::new();
    for commit in [10, 20] {
        two.change(0, "a", commit, 0);
        two.change(1, "b", commit, 1);
    }
    two.markers(20);
    let both = two.take(100);
    assert!(two.fails(&both, ApplyErrorKind::Constraint).is_empty());
    let alone = two.take(100);
    assert_eq!(
        (alone.kind, commits(&alone)),
        (BatchKind::Together, vec![10])
    );
    assert!(!two.lanes.has_ready(), "nothing goes beside it");
    two.settle(&alone, Outcome::Committed);
    let alone = two.take(100);
    assert_eq!(
        (alone.kind, commits(&alone)),
        (BatchKind::Together, vec![20])
    );
    let notices = two.fails(&alone, ApplyErrorKind::Misfit);
    assert!(matches!(notices[..], [Notice::Stop(_)]), "{notices:?}");
}

#[test]
fn what_passes_is_tried_again_after_a_pause_and_who_is_fenced_gives_up_all() {
    let mut two = Two::new();
    two.change(0, "a", 10, 0);
    two.markers(10);
    let batch = two.take(100);
    assert!(two.fails(&batch, ApplyErrorKind::Unreachable).is_empty());
    assert!(two.lanes.take(ALL).is_none());
    assert_eq!(two.lanes.tick(10), Some(40));
    assert_eq!(two.lanes.tick(50), None);
    let batch = two.take(100);
    let notices = two.fails(&batch, ApplyErrorKind::Fenced);
    assert_eq!(notices, [Notice::Fenced(vec![part(0), part(1)])]);
    for number in 0..2 {
        two.lanes.revoke(&part(number));
    }
    assert!(two.lanes.take(ALL).is_none());
}

#[test]
fn nothing_is_taken_while_another_holds_a_partition() {
    let mut two = Two::new();
    two.change(0, "a", 10, 0);
    two.marker(0, 10);
    two.lanes.revoke(&part(1));
    assert!(!two.lanes.has_ready());
    two.lanes.assign(&PartitionProgress {
        partition: part(1),
        low_position: Position::end_of(10),
        ..progress()
    });
    two.lanes.set_elsewhere(&[], false);
    assert_eq!(commits(&two.take(100)), [10]);
}
