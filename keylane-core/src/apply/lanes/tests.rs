//! The lanes' rules, one sentence each.

mod commit_order;
mod elsewhere;
mod gone_back;
mod parked;
mod together;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Batch, BatchKind, Disposition, FailurePolicy, Lanes, Limits, Notice, Outcome, ReceivedAs,
    WhenExhausted,
};
use crate::apply::{ApplyError, PartitionProgress};
use crate::consume::Item;
use crate::error::ApplyErrorKind;
use crate::model::{Lane, LaneCount, Offset, OrderHash, Position, TopicPartition, murmur2};
use crate::publish::{Acceptance, Dependency, Stamp};

const LANES: LaneCount = LaneCount(64);
const POLICY: FailurePolicy = FailurePolicy {
    attempts_max: 2,
    backoff_ms: 100,
    backoff_ms_max: 1_000,
    rest_ms_max: 5_000,
    then: WhenExhausted::Park,
};
const ALL: Limits = Limits {
    items_max: 100,
    bytes_max: 100_000,
};

/// One partition, offsets given in the order of offers; positions are ten times the offset.
struct Bench {
    lanes: Lanes<&'static str>,
    next: u64,
}

impl Bench {
    fn new() -> Self {
        Self::from(&progress())
    }

    fn from(progress: &PartitionProgress) -> Self {
        let mut lanes = Lanes::new(LANES);
        let from = lanes.assign(progress);
        Bench {
            lanes,
            next: from.0,
        }
    }

    fn offer(&mut self, key: &'static str, stamp: Stamp) -> ReceivedAs {
        self.offer_stamped(key, at(self.next), stamp)
    }

    fn offer_at(&mut self, key: &'static str, position: Position) {
        self.offer_stamped(key, position, Stamp::default());
    }

    /// Everything up to here is in the partition.
    fn marker(&mut self, position: Position) {
        let offset = Offset(self.next);
        let after = Acceptance::default();
        self.next += 1;
        self.lanes
            .passed(&partition(), offset, Some(position), after);
        self.lanes.received();
    }

    fn offer_stamped(&mut self, key: &'static str, position: Position, stamp: Stamp) -> ReceivedAs {
        let item = Item {
            offset: Offset(self.next),
            position,
            order: order(key),
            stamp,
            key: Bytes::from_static(key.as_bytes()),
            size_bytes: 100,
            payload: key,
        };
        self.next += 1;
        let received = self.lanes.offer(&partition(), item, Acceptance::default());
        self.lanes.received();
        received
    }

    fn keys(&mut self, keys: &[&'static str]) {
        for key in keys {
            assert_eq!(self.offer(key, Stamp::default()), ReceivedAs::Queued);
        }
    }

    fn take(&mut self) -> Batch<&'static str> {
        self.lanes.take(ALL).expect("work")
    }

    fn settle(
        &mut self,
        batch: &Batch<&'static str>,
        outcome: Outcome,
        now_ms: u64,
    ) -> Vec<Notice> {
        self.lanes.settle(batch.id, outcome, &POLICY, now_ms, 0.0)
    }

    fn fails(&mut self, batch: &Batch<&'static str>, kind: ApplyErrorKind) -> Vec<Notice> {
        self.settle(batch, Outcome::RolledBack(ApplyError::new(kind, "x")), 0)
    }
}

fn progress() -> PartitionProgress {
    PartitionProgress {
        partition: partition(),
        owner_epoch: 7,
        low: Offset(1),
        low_position: Position::ZERO,
        acceptance: Acceptance::default(),
        lanes: BTreeMap::new(),
        parked_keys: Vec::new(),
        redrive_keys: Vec::new(),
    }
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn at(offset: u64) -> Position {
    Position::new(10 * offset, 0)
}

fn order(key: &str) -> OrderHash {
    OrderHash::of(key.as_bytes())
}

fn lane(key: &str) -> Lane {
    order(key).lane(LANES)
}

fn on(key: &str, offset: u64) -> Stamp {
    Stamp {
        floor: Position::ZERO,
        dependencies: vec![Dependency {
            topic_hash: murmur2(b"t"),
            partition: 0,
            order: order(key),
            position: at(offset),
        }],
    }
}

fn offsets(batch: &Batch<&'static str>) -> Vec<u64> {
    batch.items.iter().map(|item| item.item.offset.0).collect()
}

#[test]
fn the_keys_of_these_tests_are_in_lanes_of_their_own() {
    let lanes: Vec<Lane> = ["a", "b", "c"].into_iter().map(lane).collect();
    assert!(
        lanes[0] != lanes[1] && lanes[1] != lanes[2] && lanes[0] != lanes[2],
        "{lanes:?}"
    );
}

#[test]
fn a_lane_is_in_one_batch_at_a_time_and_keeps_its_order() {
    let mut bench = Bench::new();
    bench.keys(&["a", "a", "b"]);
    let one = Limits {
        items_max: 1,
        ..ALL
    };
    let first = bench.lanes.take(one).expect("a");
    let second = bench.take();
    assert_eq!((offsets(&first), offsets(&second)), (vec![1], vec![3]));
    assert!(bench.lanes.take(ALL).is_none());
    bench.settle(&first, Outcome::Committed, 0);
    let third = bench.take();
    assert_eq!(offsets(&third), [2]);
    assert_eq!(third.lanes[0].step.expected, Offset(2));
    assert_eq!(third.lanes[0].step.next, Offset(3));
}

#[test]
fn a_dependency_goes_in_the_same_batch_before_what_depends_on_it() {
    let mut bench = Bench::new();
    bench.keys(&["a"]);
    bench.offer("b", on("a", 1));
    bench.offer("c", on("b", 2));
    assert_eq!(offsets(&bench.take()), [1, 2, 3]);
}

#[test]
fn a_dependency_in_another_batch_is_waited_for() {
    let mut bench = Bench::new();
    bench.keys(&["a"]);
    let first = bench.take();
    bench.offer("b", on("a", 1));
    assert!(bench.lanes.take(ALL).is_none());
    bench.settle(&first, Outcome::Committed, 0);
    assert_eq!(offsets(&bench.take()), [2]);
}

#[test]
fn a_dependency_whose_record_could_not_be_read_ends_with_the_watermark() {
    let mut bench = Bench::new();
    bench.keys(&["c"]);
    bench.next = 3;
    bench.offer("b", on("a", 2));
    let first = bench.take();
    assert_eq!(offsets(&first), [1]);
    bench.settle(&first, Outcome::Committed, 0);
    assert_eq!(offsets(&bench.take()), [3]);
}

#[test]
fn a_floor_is_waited_for_until_everything_up_to_it_is_applied() {
    let mut bench = Bench::new();
    bench.keys(&["a"]);
    let first = bench.take();
    bench.offer(
        "b",
        Stamp {
            floor: at(1),
            dependencies: Vec::new(),
        },
    );
    assert!(bench.lanes.take(ALL).is_none());
    bench.settle(&first, Outcome::Committed, 0);
    assert_eq!(offsets(&bench.take()), [2]);
}

#[test]
fn a_violation_is_tried_alone_then_in_order_and_only_then_parked() {
    let mut bench = Bench::new();
    bench.keys(&["c"]);
    let earlier = bench.take();
    bench.keys(&["a", "b"]);
    let both = bench.take();
    assert!(bench.fails(&both, ApplyErrorKind::Constraint).is_empty());
    let alone = bench.take();
    assert!(alone.kind == BatchKind::Careful && alone.lanes.len() == 1);
    let error = ApplyError::new(ApplyErrorKind::Constraint, "x");
    let notices = bench.settle(&alone, Outcome::Partly(0, error.clone()), 0);
    assert!(notices.is_empty(), "an earlier change is not applied yet");
    let other = bench.take();
    assert_eq!(other.kind, BatchKind::Careful);
    bench.settle(&other, Outcome::Committed, 0);
    assert!(
        bench.lanes.take(ALL).is_none(),
        "it waits for what is before it"
    );
    bench.settle(&earlier, Outcome::Committed, 0);
    let again = bench.take();
    assert_eq!(offsets(&again), offsets(&alone));
    let notices = bench.settle(&again, Outcome::Partly(0, error.clone()), 0);
    assert!(notices.is_empty(), "the rest of its transaction may help");
    let together = bench.take();
    assert_eq!(together.kind, BatchKind::Together);
    assert_eq!(offsets(&together), offsets(&alone));
    assert!(
        bench
            .fails(&together, ApplyErrorKind::Constraint)
            .is_empty()
    );
    let last = bench.take();
    let notices = bench.settle(&last, Outcome::Partly(0, error), 0);
    assert!(matches!(notices[..], [Notice::WillPark { .. }]));
}

#[test]
fn parking_keeps_the_keys_later_changes_behind_it_and_holds_up_no_other_key() {
    let mut bench = Bench::new();
    bench.keys(&["a", "b", "a"]);
    let all = bench.take();
    bench.fails(&all, ApplyErrorKind::Misfit);
    let mut parked = Vec::new();
    while let Some(batch) = bench.lanes.take(ALL) {
        assert_eq!(batch.kind, BatchKind::Careful);
        let poison = |item: &super::BatchItem<&str>| {
            item.item.offset == Offset(1) && item.disposition == Disposition::Apply
        };
        if let Some(index) = batch.items.iter().position(poison) {
            let error = ApplyError::new(ApplyErrorKind::Misfit, "too long");
            bench.settle(&batch, Outcome::Partly(index, error), 0);
            continue;
        }
        for item in &batch.items {
            if item.disposition != Disposition::Apply {
                parked.push((
                    item.item.offset.0,
                    item.disposition == Disposition::ParkBehind,
                ));
            }
        }
        bench.settle(&batch, Outcome::Committed, 0);
    }
    assert_eq!(parked, [(1, false), (3, true)]);
    assert!(bench.lanes.is_drained());
    assert!(
        bench.lanes.unapplied_from() > at(3),
        "a parked change counts as passed"
    );
    bench.keys(&["a", "b"]);
    let later = bench.take();
    let told: Vec<bool> = later
        .items
        .iter()
        .map(|item| item.disposition == Disposition::ParkBehind)
        .collect();
    assert_eq!(told, [true, false]);
}

#[test]
fn a_redrive_goes_alone_and_ends_the_parking() {
    let mut bench = Bench::from(&PartitionProgress {
        parked_keys: vec![(lane("a"), Bytes::from_static(b"a"))],
        ..progress()
    });
    bench.keys(&["b", "a"]);
    bench.lanes.redrive(&partition(), &Bytes::from_static(b"a"));
    let mut redriven = false;
    while let Some(batch) = bench.lanes.take(ALL) {
        if !batch.lanes[0].redrives.is_empty() {
            assert!(batch.items.is_empty() && batch.lanes.len() == 1);
            assert_eq!(batch.lanes[0].step.expected, batch.lanes[0].step.next);
            redriven = true;
        }
        let a = batch.items.iter().find(|item| item.item.payload == "a");
        if let Some(a) = a {
            assert!(
                redriven,
                "the redrive was asked for before the change came up"
            );
            assert_eq!(a.disposition, Disposition::Apply);
        }
        bench.settle(&batch, Outcome::Committed, 0);
    }
    assert!(redriven && bench.lanes.is_drained());
}

#[test]
fn a_failed_redrive_leaves_the_key_parked_and_blames_nobody_else() {
    let mut bench = Bench::from(&PartitionProgress {
        parked_keys: vec![(lane("a"), Bytes::from_static(b"a"))],
        redrive_keys: vec![Bytes::from_static(b"a")],
        ..progress()
    });
    bench.keys(&["a"]);
    let redrive = bench.take();
    assert_eq!(redrive.lanes[0].redrives.len(), 1);
    assert!(bench.fails(&redrive, ApplyErrorKind::Constraint).is_empty());
    let behind = bench.take();
    assert_eq!(behind.items[0].disposition, Disposition::ParkBehind);
    assert_eq!(bench.lanes.partitions()[0].parked_keys, 1);
}

#[test]
fn replays_are_skipped_and_do_not_hold_the_frontier() {
    let mut lanes = BTreeMap::new();
    lanes.insert(lane("a"), (Offset(3), at(2)));
    let mut bench = Bench::from(&PartitionProgress {
        lanes,
        ..progress()
    });
    assert_eq!(bench.offer("a", Stamp::default()), ReceivedAs::Replay);
    assert_eq!(bench.offer("a", Stamp::default()), ReceivedAs::Replay);
    assert_eq!(bench.offer("a", Stamp::default()), ReceivedAs::Queued);
    assert_eq!(bench.lanes.lows()[0].low, Offset(3));
    assert_eq!(bench.lanes.replays(), 2);
}

#[test]
fn a_conflict_pauses_for_a_growing_bounded_time_and_goes_again() {
    let mut bench = Bench::new();
    bench.keys(&["a"]);
    let first = bench.take();
    bench.fails(&first, ApplyErrorKind::Unreachable);
    assert!(bench.lanes.take(ALL).is_none());
    let mut pauses = vec![bench.lanes.tick(0).expect("a pause")];
    let mut now_ms = 0;
    for _ in 0..40 {
        now_ms += bench.lanes.tick(now_ms).expect("a pause");
        assert_eq!(bench.lanes.tick(now_ms), None);
        let again = bench.take();
        let error = ApplyError::new(ApplyErrorKind::Unreachable, "x");
        bench.settle(&again, Outcome::RolledBack(error), now_ms);
        pauses.push(bench.lanes.tick(now_ms).expect("a pause"));
    }
    assert!(pauses.is_sorted() && pauses[0] < pauses[2]);
    assert_eq!(pauses.last(), Some(&(POLICY.backoff_ms_max / 2)));
}

#[test]
fn a_fenced_batch_names_its_partition_and_after_taking_it_again_the_work_goes_on() {
    let mut bench = Bench::new();
    bench.keys(&["a", "a"]);
    let batch = bench.take();
    let notices = bench.fails(&batch, ApplyErrorKind::Fenced);
    assert_eq!(notices, [Notice::Fenced(vec![partition()])]);
    bench.lanes.assign(&PartitionProgress {
        owner_epoch: 8,
        ..progress()
    });
    bench.next = 1;
    bench.keys(&["a"]);
    let again = bench.take();
    assert_eq!(again.lanes[0].step.owner_epoch, 8);
    assert!(bench.settle(&batch, Outcome::Committed, 0).is_empty());
    assert_eq!(
        bench.lanes.lows()[0].low,
        Offset(1),
        "an old batch's end counts no more"
    );
}

#[test]
fn a_batch_keeps_to_its_limits_but_always_gives_one_item() {
    let mut bench = Bench::new();
    bench.keys(&["a", "a", "b", "b"]);
    let bytes = |bytes_max| Limits {
        items_max: 100,
        bytes_max,
    };
    assert_eq!(bench.lanes.take(bytes(1)).expect("one").items.len(), 1);
    let rest = bench
        .lanes
        .take(Limits {
            items_max: 1,
            bytes_max: 1_000,
        })
        .expect("b");
    assert_eq!(rest.items.len(), 1);
    let mut bench = Bench::new();
    bench.keys(&["a", "a", "b", "b"]);
    assert_eq!(bench.lanes.take(bytes(300)).expect("three").items.len(), 3);
}

#[test]
fn a_busy_lane_does_not_keep_another_from_its_turn() {
    let mut bench = Bench::new();
    bench.keys(&["a"; 50]);
    bench.keys(&["b"]);
    let one = Limits {
        items_max: 4,
        ..ALL
    };
    let first = bench.lanes.take(one).expect("a");
    bench.settle(&first, Outcome::Committed, 0);
    let second = bench.lanes.take(one).expect("b goes before a's next");
    assert!(second.items.iter().any(|item| item.item.payload == "b"));
}
