//! Whose turn it is.

use super::*;

#[test]
fn partitions_take_turns_however_much_one_of_them_holds() {
    let mut dispatch = two(KeepOrder::Unordered);
    for offset in 0..5 {
        offer(&mut dispatch, 0, offset, "", "many");
    }
    offer(&mut dispatch, 1, 0, "", "few");
    assert_eq!(names(&take_all(&mut dispatch))[..2], ["many", "few"]);
}

#[test]
fn who_is_behind_has_more_turns_and_nobody_is_left_out() {
    let mut dispatch = two(KeepOrder::Unordered);
    for offset in 0..6 {
        offer(&mut dispatch, 0, offset, "", "behind");
    }
    for offset in 0..2 {
        offer(&mut dispatch, 1, offset, "", "not");
    }
    dispatch.weigh(&[(partition(0), Offset(1000)), (partition(1), Offset(2))]);
    let given = take_all(&mut dispatch);
    assert_eq!(
        names(&given),
        [
            "behind", "not", "behind", "behind", "behind", "not", "behind", "behind"
        ]
    );
    for given in given {
        dispatch.done(given.ticket);
    }
    dispatch.weigh(&[(partition(0), Offset(6)), (partition(1), Offset(2))]);
    for offset in 0..2 {
        offer(&mut dispatch, 0, 6 + offset, "", "here");
        offer(&mut dispatch, 1, 2 + offset, "", "there");
    }
    assert_eq!(
        names(&take_all(&mut dispatch)),
        ["here", "there", "here", "there"]
    );
}

/// Works off four partitions, four records at a time. The first has twice as many as each other, every other of one key. Returns how many steps it took.
fn steps(weighs: bool) -> usize {
    let mut dispatch = Dispatch::new(KeepOrder::Key);
    for number in 0..4 {
        dispatch.assign(&partition(number), Completed::from(Offset(0)));
        let count = if number == 0 { 120 } else { 60 };
        let keys = ["a", "b", "c", "d", "e", "f"];
        for (offset, key) in (0..count).zip(keys.into_iter().cycle()) {
            let key = if number == 0 && offset % 2 == 0 {
                "busy"
            } else {
                key
            };
            offer(&mut dispatch, number, offset, key, key);
        }
    }
    let mut steps = 0;
    while !dispatch.is_drained() {
        if weighs {
            dispatch.weigh(&[0, 1, 2, 3].map(|it| (partition(it), Offset(0))));
        }
        let working: Vec<Ticket> = std::iter::from_fn(|| dispatch.take())
            .take(4)
            .map(|given| given.ticket)
            .collect();
        for ticket in working {
            dispatch.done(ticket);
        }
        steps += 1;
    }
    steps
}

#[test]
fn the_busiest_key_is_not_left_alone_at_the_end_of_a_backlog() {
    let ideal = 300 / 4;
    let (weighed, alike) = (steps(true), steps(false));
    assert!(
        weighed <= ideal + 4 && alike >= ideal + 12,
        "{weighed}, with equal turns {alike}"
    );
}

#[test]
fn a_partition_that_stood_idle_has_saved_up_no_turns_and_one_that_was_given_up_has_none() {
    let mut dispatch = two(KeepOrder::Unordered);
    dispatch.assign(&partition(2), Completed::from(Offset(0)));
    for offset in 0..8 {
        offer(&mut dispatch, 0, offset, "", "busy");
        offer(&mut dispatch, 2, offset, "", "leaves");
    }
    for _ in 0..8 {
        dispatch.take();
    }
    dispatch.leave(&partition(2));
    for offset in 0..3 {
        offer(&mut dispatch, 1, offset, "", "idle");
    }
    assert_eq!(
        names(&take_all(&mut dispatch)),
        ["idle", "busy", "idle", "busy", "idle", "busy", "busy"]
    );
}
