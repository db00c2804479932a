//! The real rules hold in every state; each short cut does not; and a tracker tells the truth, in whatever order it hears it.

use keylane_core::saga::{Expected, Patience, Track};

use super::*;
use crate::Chance;

const PATIENCE: Patience = Patience {
    step_ms: u64::MAX,
    undo_ms: u64::MAX,
    silence_ms: u64::MAX,
};

#[test]
fn whatever_fails_side_by_side_each_step_is_undone_once_and_none_runs_afterwards() {
    let (rests, states) = explore(Variant::Barrier(Barrier::Real)).expect("it holds");
    println!("{} states, {} of rest", states.len(), rests.len());
    assert!(rests.iter().any(|it| it.is_undone) && rests.iter().any(|it| !it.is_undone));
}

fn check_caught(variant: Variant, checker: Checker) {
    let failure = explore(variant).err().expect("a mutant");
    assert_eq!(failure.checker, checker, "{failure}");
}

#[test]
fn a_failure_that_comes_before_the_event_it_overtook_leaves_a_step_that_runs_afterwards() {
    check_caught(Variant::Barrier(Barrier::NoFence), Checker::AllOrNothing);
}

#[test]
fn each_event_once_undoes_a_step_for_each_failure() {
    check_caught(Variant::ByEvent, Checker::NoDoubleEffect);
}

#[test]
fn a_no_that_is_not_kept_is_followed_by_a_yes() {
    check_caught(
        Variant::Barrier(Barrier::NoIsNotKept),
        Checker::AllOrNothing,
    );
}

#[test]
fn a_tracker_knows_the_same_whatever_the_order_and_the_repeats() {
    let (rests, _) = explore(Variant::Barrier(Barrier::Real)).expect("it holds");
    let four = registered();
    for (seed, rest) in (0..).zip(&rests) {
        let mut chance = Chance::new(seed, 3);
        let mut in_order = Track::default();
        rest.events.iter().for_each(|event| in_order.hear(event));
        let state = in_order.state(Expected::ByDefinition(&four), PATIENCE, 1_000);
        assert_eq!(state, rest.state(), "{in_order:#?}");
        assert_eq!(
            in_order.alarms(Expected::ByDefinition(&four), PATIENCE, 1_000),
            []
        );
        for _ in 0..20 {
            let mut left: Vec<&Heard> = rest.events.iter().collect();
            let (mut here, mut there) = (Track::default(), Track::default());
            while !left.is_empty() {
                let place = chance.below(left.len());
                let event = left[place];
                if !chance.percent(40) {
                    left.swap_remove(place);
                }
                let tracker = if chance.percent(50) {
                    &mut here
                } else {
                    &mut there
                };
                tracker.hear(event);
            }
            here.join(&there);
            assert_eq!(here, in_order);
        }
    }
}

/// Whether a step was done in a state.
fn was_done(node: &Node, service: usize) -> bool {
    node.events.contains(&Event::Of(service, Said::Done))
}

#[test]
fn whatever_part_of_the_events_a_tracker_has_heard_it_tells_no_end_that_is_none() {
    let (_, states) = explore(Variant::Barrier(Barrier::Real)).expect("it holds");
    let four = registered();
    let expected = Expected::ByDefinition(&four);
    let (mut looked, mut ended) = (0, 0);
    let mut seen: BTreeSet<&BTreeSet<Event>> = BTreeSet::new();
    for node in &states {
        if !seen.insert(&node.events) {
            continue;
        }
        let events: Vec<Heard> = node.events.iter().map(|it| heard(*it)).collect();
        for part in 0..1_u32 << events.len() {
            let mut track = Track::default();
            let is_heard = |place: usize| part & (1 << place) != 0;
            let of_part = events
                .iter()
                .enumerate()
                .filter(|(place, _)| is_heard(*place));
            of_part.for_each(|(_, event)| track.hear(event));
            looked += 1;
            match track.state(expected, PATIENCE, 1_000) {
                State::Completed => {
                    let all_done = (0..STEPS.len()).all(|service| was_done(node, service));
                    assert!(all_done, "completed, by {track:#?} of {:?}", node.events);
                }
                State::Compensated => {
                    let is_left = |(_, it): (&str, Participant)| it.acted != it.undone;
                    let is_any_left = participants(node).any(is_left);
                    assert!(
                        !is_any_left,
                        "compensated, by {track:#?} of {:?}",
                        node.events
                    );
                }
                _ => continue,
            }
            ended += 1;
        }
    }
    println!(
        "{looked} parts of {} histories, {ended} told as ended",
        seen.len()
    );
    assert!(ended > 0);
}
