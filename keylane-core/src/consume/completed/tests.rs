//! What is done, in any order, and what is left of it over a restart.

use std::collections::BTreeSet;

use super::*;
use crate::consume::chance::numbers;

fn done(from: u64, offsets: &[u64]) -> Completed {
    let mut completed = Completed::from(Offset(from));
    for offset in offsets {
        completed.done(Offset(*offset));
    }
    completed
}

#[test]
fn the_frontier_stands_at_the_lowest_offset_that_is_not_done() {
    let mut completed = Completed::from(Offset(100));
    for offset in 100..300 {
        assert!(completed.receive(Offset(offset)));
    }
    for offset in (101..300).rev() {
        completed.done(Offset(offset));
        assert_eq!(completed.frontier(), Offset(100));
    }
    assert_eq!(completed.span(), 200);
    completed.done(Offset(100));
    assert_eq!((completed.frontier(), completed.span()), (Offset(300), 0));
}

#[test]
fn offsets_that_hold_no_record_hold_nothing_up() {
    let mut completed = Completed::from(Offset(5));
    assert!(completed.receive(Offset(7)));
    assert_eq!(completed.frontier(), Offset(7));
    assert!(completed.receive(Offset(200)));
    completed.done(Offset(200));
    completed.done(Offset(7));
    assert_eq!(completed.frontier(), Offset(201));
}

#[test]
fn what_was_done_above_the_frontier_is_not_received_again_after_a_restart() {
    let before = done(1000, &[1001, 1002, 1005, 1200]);
    let (map, left_out) = before.map(4000);
    assert_eq!(left_out, 0);
    let mut after = Completed::restore(before.frontier(), &map).expect("its own map");
    let again: Vec<u64> = (1000..1202)
        .filter(|offset| after.receive(Offset(*offset)))
        .collect();
    let expected: Vec<u64> = (1000..1202)
        .filter(|offset| ![1001, 1002, 1005, 1200].contains(offset))
        .collect();
    assert_eq!(again, expected);
}

#[test]
fn a_map_that_does_not_fit_leaves_out_what_is_farthest_and_says_how_much() {
    let odd: Vec<u64> = (0..1000).map(|number| number * 2 + 1).collect();
    let all = done(0, &odd);
    let (map, left_out) = all.map(101);
    assert!(map.len() <= 101 && left_out > 0, "{} {left_out}", map.len());
    let kept = Completed::restore(Offset(0), &map).expect("its own map");
    let (kept, lost): (Vec<u64>, Vec<u64>) = odd
        .iter()
        .partition(|offset| kept.is_done(Offset(**offset)));
    assert_eq!(lost.len() as u64, left_out);
    assert!(kept.last() < lost.first());
}

#[test]
fn nothing_done_above_the_frontier_is_an_empty_map() {
    let completed = done(7, &[7, 8, 9]);
    assert_eq!(completed.map(100), (String::new(), 0));
    assert_eq!(completed.frontier(), Offset(10));
    assert_eq!(
        Completed::restore(Offset(10), ""),
        Ok(Completed::from(Offset(10)))
    );
}

#[test]
fn a_map_of_somebody_else_is_refused_and_never_believed() {
    let (map, _) = done(0, &[3, 9]).map(100);
    for foreign in [
        "metadata",
        "keylane2:BA",
        "keylane1:!",
        "keylane1:B",
        "keylane1:gggggggggggggg",
        &map[..map.len() - 1],
    ] {
        assert_eq!(
            Completed::restore(Offset(0), foreign),
            Err(UnreadableMap),
            "{foreign}"
        );
    }
    let beyond = "keylane1:_______fA";
    assert_eq!(
        Completed::restore(Offset(u64::MAX - 5), beyond),
        Err(UnreadableMap)
    );
}

/// Against a plain set, over many random histories.
#[test]
fn it_agrees_with_a_plain_set_of_done_offsets() {
    let mut random = numbers(7);
    for _ in 0..300 {
        let from = random(200);
        let mut completed = Completed::from(Offset(from));
        let mut plain: BTreeSet<u64> = BTreeSet::new();
        let mut end = from;
        for _ in 0..random(400) {
            if random(3) == 0 && end > from {
                let offset = from + random(end - from);
                completed.done(Offset(offset));
                plain.insert(offset);
            } else {
                let offset = end + if random(10) == 0 { random(70) } else { 0 };
                plain.extend(end..offset);
                assert!(completed.receive(Offset(offset)));
                end = offset + 1;
            }
            if random(50) == 0 {
                let (map, left_out) = completed.map(usize::MAX);
                assert_eq!(left_out, 0);
                completed = Completed::restore(completed.frontier(), &map).expect("its own map");
                // As after a restart: what follows the frontier comes again.
                for offset in completed.frontier().0..end {
                    assert_eq!(completed.receive(Offset(offset)), !plain.contains(&offset));
                }
            }
            let frontier = (from..)
                .find(|offset| !plain.contains(offset))
                .expect("one");
            assert_eq!(completed.frontier(), Offset(frontier));
        }
    }
}
