//! Which record may be worked on, one sentence each.

use super::*;
use crate::consume::chance::numbers;

mod turns;

fn partition(number: u32) -> TopicPartition {
    TopicPartition::new("t", number)
}

/// Two partitions; a record is its own name.
fn two(order: KeepOrder) -> Dispatch<&'static str> {
    let mut dispatch = Dispatch::new(order);
    for number in 0..2 {
        dispatch.assign(&partition(number), Completed::from(Offset(0)));
    }
    dispatch
}

fn offer(
    dispatch: &mut Dispatch<&'static str>,
    number: u32,
    offset: u64,
    key: &'static str,
    record: &'static str,
) {
    let order = (!key.is_empty()).then(|| OrderHash::of(key.as_bytes()));
    assert!(incoming(dispatch, number).offer(Offset(offset), order, 10, record));
}

fn incoming<T: Clone>(dispatch: &mut Dispatch<T>, number: u32) -> Incoming<'_, T> {
    dispatch
        .incoming(&partition(number))
        .expect("a partition that is held")
}

fn take_all(dispatch: &mut Dispatch<&'static str>) -> Vec<Given<&'static str>> {
    std::iter::from_fn(|| dispatch.take()).collect()
}

fn names(given: &[Given<&'static str>]) -> Vec<&'static str> {
    given.iter().map(|given| given.record).collect()
}

#[test]
fn records_of_one_key_go_one_after_another_and_of_different_keys_side_by_side() {
    let mut dispatch = two(KeepOrder::Key);
    offer(&mut dispatch, 0, 0, "a", "a1");
    offer(&mut dispatch, 0, 1, "a", "a2");
    offer(&mut dispatch, 0, 2, "b", "b1");
    let first = take_all(&mut dispatch);
    assert_eq!(names(&first), ["a1", "b1"]);
    dispatch.done(first[0].ticket);
    assert_eq!(names(&take_all(&mut dispatch)), ["a2"]);
}

#[test]
fn one_key_in_two_partitions_is_two_keys() {
    let mut dispatch = two(KeepOrder::Key);
    offer(&mut dispatch, 0, 0, "a", "here");
    offer(&mut dispatch, 1, 0, "a", "there");
    assert_eq!(take_all(&mut dispatch).len(), 2);
}

#[test]
fn records_without_a_key_keep_their_partitions_order() {
    let mut dispatch = two(KeepOrder::Key);
    offer(&mut dispatch, 0, 0, "", "1");
    offer(&mut dispatch, 0, 1, "", "2");
    assert_eq!(names(&take_all(&mut dispatch)), ["1"]);
}

#[test]
fn a_partitions_order_is_kept_whatever_the_keys_and_unordered_keeps_none() {
    for (order, expected) in [(KeepOrder::Partition, 2), (KeepOrder::Unordered, 4)] {
        let mut dispatch = two(order);
        for number in 0..2 {
            offer(&mut dispatch, number, 0, "a", "1");
            offer(&mut dispatch, number, 1, "a", "2");
        }
        assert_eq!(take_all(&mut dispatch).len(), expected, "{order:?}");
    }
}

#[test]
fn it_is_told_how_many_keys_have_a_record_to_begin_with() {
    let mut dispatch = two(KeepOrder::Key);
    let ready = |dispatch: &Dispatch<&'static str>| -> Vec<usize> {
        dispatch.partitions().iter().map(|it| it.ready).collect()
    };
    for (offset, key) in ["a", "a", "b"].into_iter().enumerate() {
        offer(&mut dispatch, 0, offset as u64, key, "some");
    }
    assert_eq!(ready(&dispatch), [2, 0]);
    let taken = take_all(&mut dispatch);
    assert_eq!((taken.len(), ready(&dispatch)), (2, vec![0, 0]));
    // The next one of `a`; of `b` there is none.
    for given in taken {
        dispatch.done(given.ticket);
    }
    assert_eq!(ready(&dispatch), [1, 0]);
}

#[test]
fn the_oldest_record_whose_key_is_free_comes_first_so_that_a_key_of_many_records_keeps_up() {
    let mut dispatch = two(KeepOrder::Key);
    for (offset, key, record) in [
        (0, "hot", "hot1"),
        (1, "a", "a1"),
        (2, "hot", "hot2"),
        (3, "b", "b1"),
        (4, "hot", "hot3"),
        (5, "c", "c1"),
    ] {
        offer(&mut dispatch, 0, offset, key, record);
    }
    let mut came = Vec::new();
    while let Some(given) = dispatch.take() {
        came.push(given.record);
        dispatch.done(given.ticket);
    }
    assert_eq!(came, ["hot1", "a1", "hot2", "b1", "hot3", "c1"]);
}

#[test]
fn a_record_that_failed_comes_again_behind_those_that_waited_meanwhile() {
    let mut dispatch = two(KeepOrder::Key);
    offer(&mut dispatch, 0, 0, "a", "a1");
    let failed = dispatch.take().expect("a record");
    offer(&mut dispatch, 0, 1, "b", "b1");
    dispatch.again(failed.ticket, 100);
    dispatch.tick(100);
    assert_eq!(names(&take_all(&mut dispatch)), ["b1", "a1"]);
}

#[test]
fn a_failed_record_pauses_with_its_key_and_nothing_else_and_counts_as_no_load() {
    let mut dispatch = two(KeepOrder::Key);
    offer(&mut dispatch, 0, 0, "a", "a1");
    offer(&mut dispatch, 0, 1, "a", "a2");
    offer(&mut dispatch, 0, 2, "b", "b1");
    let first = take_all(&mut dispatch);
    dispatch.again(first[0].ticket, 100);
    dispatch.done(first[1].ticket);
    assert_eq!(dispatch.working(), 0);
    assert!(dispatch.take().is_none());
    let state = &dispatch.partitions()[0];
    assert_eq!(
        (state.held, state.load_bytes, state.held_bytes),
        (2, 10, 20)
    );
    assert_eq!(dispatch.tick(99), Some(100));
    assert!(dispatch.take().is_none());
    assert_eq!(dispatch.tick(100), None);
    let again = dispatch.take().expect("the head again");
    assert_eq!((again.record, again.attempts), ("a1", 1));
    dispatch.done(again.ticket);
    let last = dispatch.take().expect("what stood behind it");
    assert_eq!((last.record, last.attempts), ("a2", 0));
    dispatch.done(last.ticket);
    assert!(dispatch.is_drained());
    assert_eq!(dispatch.partitions()[0].frontier, Offset(3));
}

#[test]
fn what_is_done_already_is_not_offered_again() {
    let mut completed = Completed::from(Offset(0));
    completed.done(Offset(1));
    let mut dispatch = Dispatch::new(KeepOrder::Key);
    dispatch.assign(&partition(0), completed);
    let mut incoming = incoming(&mut dispatch, 0);
    assert!(incoming.offer(Offset(0), None, 1, "0"));
    assert!(!incoming.offer(Offset(1), None, 1, "1"));
    assert!(incoming.offer(Offset(2), None, 1, "2"));
}

#[test]
fn tickets_of_a_partition_that_was_given_up_are_worth_nothing() {
    let mut dispatch = two(KeepOrder::Key);
    offer(&mut dispatch, 0, 0, "a", "a1");
    let stale = dispatch.take().expect("a record");
    dispatch.revoke(&partition(0));
    assert_eq!(dispatch.working(), 0);
    assert!(dispatch.incoming(&partition(0)).is_none());
    dispatch.assign(&partition(0), Completed::from(Offset(0)));
    offer(&mut dispatch, 0, 0, "a", "a1 again");
    let fresh = dispatch.take().expect("a record");
    assert_eq!(fresh.ticket.part(), stale.ticket.part());
    dispatch.done(stale.ticket);
    dispatch.again(stale.ticket, 0);
    assert_eq!(dispatch.record(stale.ticket), None);
    assert_eq!(dispatch.working(), 1);
    assert_eq!(dispatch.partitions()[0].frontier, Offset(0));
    dispatch.done(fresh.ticket);
    assert_eq!(dispatch.partitions()[0].frontier, Offset(1));
    // A second time, it is nobody's.
    dispatch.done(fresh.ticket);
    assert_eq!(dispatch.working(), 0);
}

#[test]
fn a_partition_that_is_about_to_be_given_up_gives_nothing_more_and_lets_work_end() {
    let mut dispatch = two(KeepOrder::Unordered);
    offer(&mut dispatch, 0, 0, "", "first");
    offer(&mut dispatch, 0, 1, "", "second");
    let first = dispatch.take().expect("a record");
    dispatch.leave(&partition(0));
    assert!(dispatch.take().is_none());
    assert_eq!(dispatch.working_in(&partition(0)), 1);
    dispatch.done(first.ticket);
    assert!(dispatch.take().is_none());
    assert_eq!(dispatch.working_in(&partition(0)), 0);
    assert_eq!(dispatch.partitions()[0].frontier, Offset(1));
    offer(&mut dispatch, 1, 0, "", "other");
    assert_eq!(names(&take_all(&mut dispatch)), ["other"]);
}

#[test]
fn a_pause_of_a_partition_that_was_given_up_wakes_nobody() {
    let mut dispatch = two(KeepOrder::Key);
    offer(&mut dispatch, 0, 0, "a", "a1");
    let failed = dispatch.take().expect("a record");
    dispatch.again(failed.ticket, 100);
    dispatch.revoke(&partition(0));
    assert_eq!(dispatch.tick(1000), None);
    assert!(dispatch.take().is_none());
    assert_eq!(dispatch.working(), 0);
}

/// Random histories of all three orders: each record is given until it is done once, and no key's order is broken.
#[test]
fn any_history_works_on_each_record_until_it_is_done_and_keeps_the_order() {
    let mut random = numbers(11);
    for round in 0..300_u64 {
        let order =
            [KeepOrder::Key, KeepOrder::Partition, KeepOrder::Unordered][(round % 3) as usize];
        let mut dispatch: Dispatch<(u32, u64, u64)> = Dispatch::new(order);
        for number in 0..3 {
            dispatch.assign(&partition(number), Completed::from(Offset(0)));
        }
        let mut next = [0_u64; 3];
        let mut working: Vec<Given<(u32, u64, u64)>> = Vec::new();
        let mut ended: HashMap<(u32, u64), Vec<u64>> = HashMap::new();
        let mut now_ms = 0;
        while next.iter().any(|next| *next < 40) || !dispatch.is_drained() {
            now_ms += 1;
            dispatch.tick(now_ms);
            if random(10) == 0 {
                dispatch.weigh(&[0, 1, 2].map(|it| (partition(it), Offset(random(100)))));
            }
            let number = random(3) as u32;
            let offset = next[number as usize];
            if offset < 40 && random(2) == 0 {
                let key = random(4);
                let order = (key > 0).then(|| OrderHash::of(&key.to_be_bytes()));
                let record = (number, offset, key);
                incoming(&mut dispatch, number).offer(Offset(offset), order, 1, record);
                next[number as usize] += 1;
            }
            if working.len() < 5 {
                working.extend(dispatch.take());
            }
            assert_eq!(dispatch.working(), working.len());
            if !working.is_empty() && random(2) == 0 {
                let given = working.swap_remove(random(working.len() as u64) as usize);
                if random(4) == 0 {
                    dispatch.again(given.ticket, now_ms + random(10));
                    continue;
                }
                dispatch.done(given.ticket);
                let (number, offset, key) = given.record;
                let line = match order {
                    KeepOrder::Key => (number, key),
                    KeepOrder::Partition => (number, 0),
                    KeepOrder::Unordered => (number, offset + 100),
                };
                ended.entry(line).or_default().push(offset);
            }
        }
        let all: usize = ended.values().map(Vec::len).sum();
        assert_eq!(all, 120);
        assert!(
            ended.values().all(|line| line.is_sorted()),
            "{order:?} {ended:?}"
        );
        assert!(dispatch.partitions().iter().all(|state| {
            state.frontier == Offset(40)
                && state.held_bytes == 0
                && state.load_bytes == 0
                && state.keys == 0
        }));
    }
}

#[test]
fn what_could_not_be_tried_waits_like_a_failure_but_counts_as_no_attempt() {
    let mut dispatch = two(KeepOrder::Key);
    offer(&mut dispatch, 0, 0, "a", "a1");
    for at_ms in [10, 20] {
        let given = dispatch.take().expect("a record");
        assert_eq!(given.attempts, 0);
        dispatch.later(&[given.ticket], at_ms);
        assert_eq!(dispatch.take(), None);
        assert_eq!(dispatch.tick(at_ms - 1), Some(at_ms));
        dispatch.tick(at_ms);
    }
    assert!(dispatch.take().is_some());
}

#[test]
fn records_that_are_known_to_be_done_move_the_frontier_and_are_not_given() {
    let mut dispatch = two(KeepOrder::Key);
    incoming(&mut dispatch, 0).pass(Offset(0));
    offer(&mut dispatch, 0, 1, "a", "a1");
    incoming(&mut dispatch, 0).pass(Offset(2));
    let frontier =
        |dispatch: &Dispatch<_>| dispatch.completed(&partition(0)).map(Completed::frontier);
    assert_eq!(frontier(&dispatch), Some(Offset(1)));
    let given = dispatch.take().expect("a record");
    dispatch.done(given.ticket);
    assert_eq!(frontier(&dispatch), Some(Offset(3)));
}

fn batch<T: Clone>(dispatch: &mut Dispatch<T>, batch: Batch) -> Vec<Given<T>> {
    let mut given = Vec::new();
    dispatch.take_batch(batch, |_, _| true, |one| given.push(one));
    given
}

#[test]
fn a_batch_of_one_key_holds_what_follows_each_other_and_its_key_waits_for_all_of_it() {
    let mut dispatch = two(KeepOrder::Key);
    for (offset, key, record) in [
        (0, "a", "a1"),
        (1, "b", "b1"),
        (2, "a", "a2"),
        (3, "a", "a3"),
    ] {
        offer(&mut dispatch, 0, offset, key, record);
    }
    let a = batch(&mut dispatch, Batch::OfOneKey(2));
    let b = batch(&mut dispatch, Batch::OfOneKey(2));
    assert_eq!((names(&a), names(&b)), (vec!["a1", "a2"], vec!["b1"]));
    assert_eq!((dispatch.working(), dispatch.take()), (3, None));
    dispatch.done(a[0].ticket);
    assert_eq!(dispatch.take(), None);
    dispatch.done(a[1].ticket);
    assert_eq!(names(&batch(&mut dispatch, Batch::OfOneKey(2))), ["a3"]);
}

#[test]
fn a_batch_of_distinct_keys_holds_each_keys_head() {
    let mut dispatch = two(KeepOrder::Key);
    for (offset, key, record) in [
        (0, "a", "a1"),
        (1, "a", "a2"),
        (2, "b", "b1"),
        (3, "c", "c1"),
    ] {
        offer(&mut dispatch, 0, offset, key, record);
    }
    offer(&mut dispatch, 1, 0, "d", "d1");
    let here = batch(&mut dispatch, Batch::OfDistinctKeys(2));
    assert_eq!(names(&here), ["a1", "b1"]);
    // Of one partition, and they take turns.
    assert_eq!(
        names(&batch(&mut dispatch, Batch::OfDistinctKeys(2))),
        ["d1"]
    );
    assert_eq!(
        names(&batch(&mut dispatch, Batch::OfDistinctKeys(2))),
        ["c1"]
    );
}

#[test]
fn a_batch_that_failed_comes_record_by_record_and_only_what_fails_then_pauses() {
    let mut dispatch = two(KeepOrder::Key);
    for (offset, record) in [(0, "a1"), (1, "a2"), (2, "a3"), (3, "a4")] {
        offer(&mut dispatch, 0, offset, "a", record);
    }
    let given = batch(&mut dispatch, Batch::OfOneKey(3));
    let tickets: Vec<Ticket> = given.iter().map(|given| given.ticket).collect();
    dispatch.apart(&tickets);
    assert_eq!(dispatch.working(), 0);
    for record in ["a1", "a2"] {
        let alone = batch(&mut dispatch, Batch::OfOneKey(3));
        assert_eq!((names(&alone), alone[0].attempts), (vec![record], 0));
        if record == "a1" {
            dispatch.done(alone[0].ticket);
        } else {
            dispatch.again(alone[0].ticket, 10);
        }
    }
    assert_eq!(dispatch.take(), None);
    dispatch.tick(10);
    for (record, attempts) in [("a2", 1), ("a3", 0), ("a4", 0)] {
        let alone = batch(&mut dispatch, Batch::OfOneKey(3));
        assert_eq!((names(&alone), alone[0].attempts), (vec![record], attempts));
        dispatch.done(alone[0].ticket);
    }
    assert!(dispatch.is_drained());
}

#[test]
fn records_of_two_keys_in_one_queue_are_no_batch_of_one_key() {
    let mut dispatch = two(KeepOrder::Partition);
    for (offset, record) in [(0, "a1"), (1, "a2"), (2, "b1")] {
        offer(&mut dispatch, 0, offset, "", record);
    }
    let same = |one: &&str, other: &&str| one.as_bytes()[0] == other.as_bytes()[0];
    let mut given = Vec::new();
    dispatch.take_batch(Batch::OfOneKey(5), same, |one| given.push(one));
    assert_eq!(names(&given), ["a1", "a2"]);
}

/// As [`any_history_works_on_each_record_until_it_is_done_and_keeps_the_order`], in batches that fail, are put off, and are given up with their partition.
#[test]
fn any_history_of_batches_works_on_each_record_until_it_is_done_and_keeps_the_order() {
    let mut random = numbers(7);
    for round in 0..300_u64 {
        let kind = match round % 3 {
            0 => Batch::OfOneKey(1 + random(4) as usize),
            1 => Batch::OfDistinctKeys(1 + random(4) as usize),
            _ => Batch::Single,
        };
        let mut dispatch: Dispatch<(u64, u64)> = Dispatch::new(KeepOrder::Key);
        dispatch.assign(&partition(0), Completed::from(Offset(0)));
        let mut next = 0;
        let mut working: Vec<Vec<Given<(u64, u64)>>> = Vec::new();
        let mut ended: HashMap<u64, Vec<u64>> = HashMap::new();
        let mut now_ms = 0;
        while next < 60 || !dispatch.is_drained() {
            now_ms += 1;
            dispatch.tick(now_ms);
            if next < 60 && random(2) == 0 {
                let key = random(5);
                let order = Some(OrderHash::of(&key.to_be_bytes()));
                incoming(&mut dispatch, 0).offer(Offset(next), order, 1, (key, next));
                next += 1;
            }
            let given = batch(&mut dispatch, kind);
            if !given.is_empty() {
                working.push(given);
            }
            let count: usize = working.iter().map(Vec::len).sum();
            assert_eq!(dispatch.working(), count);
            if working.is_empty() || random(2) == 0 {
                continue;
            }
            let given = working.swap_remove(random(working.len() as u64) as usize);
            let tickets: Vec<Ticket> = given.iter().map(|given| given.ticket).collect();
            match (random(6), &*tickets) {
                (0, [ticket]) => dispatch.again(*ticket, now_ms + random(10)),
                (0, _) => dispatch.apart(&tickets),
                (1, _) => dispatch.later(&tickets, now_ms + random(10)),
                _ => {
                    for given in given {
                        dispatch.done(given.ticket);
                        let (key, offset) = given.record;
                        ended.entry(key).or_default().push(offset);
                    }
                }
            }
        }
        assert_eq!(ended.values().map(Vec::len).sum::<usize>(), 60);
        assert!(
            ended.values().all(|line| line.is_sorted()),
            "{kind:?} {ended:?}"
        );
        let states = dispatch.partitions();
        let left = states
            .iter()
            .map(|it| it.held_bytes + it.load_bytes + it.keys);
        assert_eq!(left.sum::<usize>(), 0);
    }
}
