//! Partitions that other processes have.

use super::*;

fn of(number: u32) -> TopicPartition {
    TopicPartition::new("t", number)
}

/// As the replica tells of a partition: everything up to `position` is applied.
fn stored(number: u32, position: Position) -> PartitionProgress {
    PartitionProgress {
        partition: of(number),
        low_position: position,
        ..progress()
    }
}

fn on_elsewhere(number: u32, offset: u64) -> Stamp {
    let mut stamp = on("x", offset);
    for dependency in &mut stamp.dependencies {
        dependency.partition = number;
    }
    stamp
}

#[test]
fn a_change_waits_for_the_partition_elsewhere_that_it_depends_on_and_for_no_other() {
    let mut bench = Bench::new();
    let behind = stored(2, Position::ZERO);
    bench
        .lanes
        .set_elsewhere(&[stored(1, at(3)), behind.clone()], false);
    bench.offer("a", on_elsewhere(1, 3));
    bench.offer("b", on_elsewhere(1, 4));
    let first = bench.take();
    assert_eq!(
        offsets(&first),
        [1],
        "what is applied there is not waited for"
    );
    assert!(bench.lanes.take(ALL).is_none());
    bench
        .lanes
        .set_elsewhere(&[stored(1, at(4)), behind], false);
    assert_eq!(offsets(&bench.take()), [2]);
}

#[test]
fn a_partition_of_which_the_replica_tells_nothing_yet_holds_up_what_depends_on_it() {
    let mut bench = Bench::new();
    bench.lanes.set_elsewhere(&[], true);
    bench.offer("a", on_elsewhere(1, 0));
    assert!(bench.lanes.take(ALL).is_none());
    bench.lanes.set_elsewhere(&[stored(1, at(0))], false);
    assert_eq!(offsets(&bench.take()), [1]);
}

#[test]
fn what_depends_on_a_partition_that_was_given_up_waits_until_it_is_told_how_far_that_is() {
    let mut bench = Bench::new();
    bench.lanes.assign(&stored(1, at(2)));
    bench.lanes.revoke(&of(1));
    bench.offer("a", on_elsewhere(1, 3));
    assert!(bench.lanes.take(ALL).is_none());
    bench.lanes.set_elsewhere(&[stored(1, at(3))], false);
    assert_eq!(offsets(&bench.take()), [1]);
}

#[test]
fn what_is_stored_of_a_partition_that_is_ours_meanwhile_counts_for_nothing() {
    let mut bench = Bench::new();
    bench
        .lanes
        .set_elsewhere(&[stored(0, Position::ZERO)], false);
    bench.offer(
        "a",
        Stamp {
            floor: at(0),
            dependencies: Vec::new(),
        },
    );
    assert_eq!(offsets(&bench.take()), [1]);
}

#[test]
fn a_change_goes_behind_one_of_its_key_that_was_parked_elsewhere() {
    let mut bench = Bench::new();
    let mut other = stored(1, at(9));
    other.parked_keys = vec![(lane("x"), Bytes::from_static(b"a"))];
    bench.lanes.set_elsewhere(&[other], false);
    bench.keys(&["a", "b"]);
    let batch = bench.take();
    let dispositions: Vec<&Disposition> =
        batch.items.iter().map(|item| &item.disposition).collect();
    assert_eq!(
        dispositions,
        [&Disposition::ParkBehind, &Disposition::Apply]
    );
}

#[test]
fn the_batches_in_work_that_hold_a_partition_are_told_until_they_are_settled() {
    let mut bench = Bench::new();
    bench.keys(&["a"]);
    assert!(bench.lanes.in_work(&partition()).is_empty());
    let batch = bench.take();
    assert_eq!(bench.lanes.in_work(&partition()), [batch.id]);
    bench.lanes.revoke(&partition());
    assert!(bench.lanes.is_in_work(batch.id));
    bench.settle(&batch, Outcome::Committed, 0);
    assert!(!bench.lanes.is_in_work(batch.id));
}
