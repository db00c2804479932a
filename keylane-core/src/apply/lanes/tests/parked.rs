//! A key whose changes come by several lanes and partitions: its order key is not its row key.

use super::*;

fn other() -> TopicPartition {
    TopicPartition::new("t", 1)
}

/// Two partitions of one topic.
fn two() -> Bench {
    let mut bench = Bench::new();
    bench.lanes.assign(&PartitionProgress {
        partition: other(),
        ..progress()
    });
    bench
}

/// A change of row `r` under this order key, and its position.
fn offer(bench: &mut Bench, to: &TopicPartition, order_key: &str, offset: u64, stamp: Stamp) {
    let item = Item {
        offset: Offset(offset),
        position: at(offset),
        order: order(order_key),
        stamp,
        key: Bytes::from_static(b"r"),
        size_bytes: 100,
        payload: "r",
    };
    bench.lanes.offer(to, item, Acceptance::default());
    bench.lanes.received();
}

/// Row r's first change is parked in partition 0.
fn parked() -> Bench {
    let mut bench = two();
    offer(&mut bench, &partition(), "a", 1, Stamp::default());
    let first = bench.take();
    bench.fails(&first, ApplyErrorKind::Misfit);
    let alone = bench.take();
    let misfit = ApplyError::new(ApplyErrorKind::Misfit, "x");
    bench.settle(&alone, Outcome::Partly(0, misfit), 0);
    let parking = bench.take();
    assert!(matches!(
        parking.items[0].disposition,
        Disposition::Park { .. }
    ));
    bench.settle(&parking, Outcome::Committed, 0);
    bench
}

#[test]
fn a_rows_later_changes_are_parked_behind_it_in_whatever_partition_they_are() {
    let mut bench = parked();
    offer(&mut bench, &other(), "b", 2, on("a", 1));
    let moved = bench.take();
    assert_eq!(moved.items[0].disposition, Disposition::ParkBehind);
    bench.settle(&moved, Outcome::Committed, 0);
    let places: Vec<TopicPartition> = bench
        .lanes
        .parked()
        .into_iter()
        .map(|mark| mark.partition)
        .collect();
    assert_eq!(places, [partition(), other()]);
}

#[test]
fn a_redrive_takes_every_lane_of_the_key_and_waits_for_one_that_is_in_work() {
    let mut bench = parked();
    offer(&mut bench, &other(), "b", 2, on("a", 1));
    let moved = bench.take();
    bench.settle(&moved, Outcome::Committed, 0);
    offer(&mut bench, &other(), "b", 3, Stamp::default());
    let busy = bench.take();
    assert_eq!(busy.items[0].disposition, Disposition::ParkBehind);
    bench.lanes.redrive(&partition(), &Bytes::from_static(b"r"));
    assert!(
        bench.lanes.take(ALL).is_none(),
        "something is being put behind the queue"
    );
    bench.settle(&busy, Outcome::Committed, 0);
    let redrive = bench.take();
    assert_eq!(redrive.lanes.len(), 2);
    assert_eq!(redrive.lanes[0].redrives.len(), 1);
    assert!(redrive.lanes[1].redrives.is_empty() && redrive.items.is_empty());
    offer(&mut bench, &other(), "b", 4, Stamp::default());
    assert!(bench.lanes.take(ALL).is_none(), "its lane is in work");
    bench.settle(&redrive, Outcome::Committed, 0);
    assert!(bench.lanes.parked().is_empty());
    let later = bench.take();
    assert_eq!(later.items[0].disposition, Disposition::Apply);
}

#[test]
fn a_key_that_was_seen_gone_stays_parked_if_something_was_parked_since() {
    let mut bench = parked();
    let seen = bench.lanes.parked().remove(0);
    offer(&mut bench, &partition(), "a", 2, Stamp::default());
    let behind = bench.take();
    bench.settle(&behind, Outcome::Committed, 0);
    bench.lanes.unpark(&seen);
    assert_eq!(bench.lanes.parked().len(), 1);
    let seen = bench.lanes.parked().remove(0);
    bench.lanes.unpark(&seen);
    assert!(bench.lanes.parked().is_empty());
}
