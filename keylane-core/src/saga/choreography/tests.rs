//! What is known of a saga after which events, in whatever order.

use super::*;
use crate::saga::state::State;

mod asked;

mod rim;

const PATIENCE: Patience = Patience {
    step_ms: 10,
    undo_ms: 20,
    silence_ms: 30,
};

/// order.placed → flight → flight.booked → {hotel, car} → hotel.booked, car.booked.
fn trip() -> Choreography {
    let step = |id: &str, consumes: &str| ChoreographyStep {
        id: id.into(),
        consumes: vec![consumes.into()],
        emits: vec![format!("{id}.booked")],
    };
    Choreography {
        name: "trip".into(),
        begins: vec!["order.placed".into()],
        steps: vec![
            step("flight", "order.placed"),
            step("hotel", "flight.booked"),
            step("car", "flight.booked"),
        ],
        ..Choreography::default()
    }
}

fn placed() -> Heard {
    Heard {
        type_name: "order.placed".into(),
        service: "shop".into(),
        ..Heard::default()
    }
}

fn heard(step: &str, said: Said, at_ms: i64) -> Heard {
    Heard {
        type_name: match said {
            Said::Done => format!("{step}.booked"),
            _ => format!("{step}.{}", said.code()),
        },
        step: Some((step.into(), said)),
        service: step.into(),
        at_us: at_ms * 1000,
        ..placed()
    }
}

fn announcing(next: &[&str], heard: Heard) -> Heard {
    let next = next.iter().map(|it| (*it).to_owned()).collect();
    Heard {
        next: Some(next),
        ..heard
    }
}

fn track(events: &[Heard]) -> Track {
    let mut track = Track::default();
    events.iter().for_each(|event| track.hear(event));
    track
}

/// The state and the alarms at a time, by the definition.
fn check(events: &[Heard], at_ms: i64, state: State, alarms: &[Alarm]) {
    let trip = trip();
    let expected = Expected::ByDefinition(&trip);
    let track = track(events);
    assert_eq!(track.alarms(expected, PATIENCE, at_ms * 1000), alarms);
    assert_eq!(track.state(expected, PATIENCE, at_ms * 1000), state);
}

#[test]
fn a_saga_has_completed_when_every_step_that_was_set_going_is_done() {
    let mut events = vec![placed()];
    check(&events, 1, State::Running, &[]);
    events.push(heard("flight", Said::Done, 1));
    check(&events, 2, State::Running, &[]);
    events.push(heard("hotel", Said::Done, 2));
    check(&events, 3, State::Running, &[]);
    events.push(heard("car", Said::Done, 3));
    check(&events, 1_000, State::Completed, &[]);
}

#[test]
fn a_saga_is_compensated_when_nothing_of_it_is_left_nor_will_be() {
    let mut events = vec![placed(), heard("flight", Said::Done, 1)];
    events.push(heard("hotel", Said::Failed, 2));
    check(&events, 3, State::Compensating, &[]);
    events.push(heard("flight", Said::Undone, 3));
    // The car may still be on its way.
    check(&events, 4, State::Compensating, &[]);
    events.push(heard("car", Said::Fenced, 4));
    check(&events, 1_000, State::Compensated, &[]);
}

#[test]
fn what_does_not_come_or_is_not_undone_is_told_in_time() {
    let late = |step: &str, since_us| Alarm::Late {
        step: step.into(),
        since_us,
    };
    check(&[placed()], 9, State::Running, &[]);
    check(&[placed()], 10, State::Stuck, &[late("flight", 0)]);
    let mut events = vec![placed(), heard("flight", Said::Done, 1)];
    let both = [late("car", 1_000), late("hotel", 1_000)];
    check(&events, 11, State::Stuck, &both);
    events.extend([heard("hotel", Said::Failed, 2), heard("car", Said::Done, 3)]);
    check(&events, 21, State::Compensating, &[]);
    let not_undone = |step: &str| Alarm::NotUndone {
        step: step.into(),
        since_us: 2_000,
    };
    check(
        &events,
        22,
        State::Stuck,
        &[not_undone("car"), not_undone("flight")],
    );
}

#[test]
fn contradictions_are_told() {
    let other = Heard {
        service: "another".into(),
        ..heard("flight", Said::Done, 1)
    };
    let events = [
        placed(),
        heard("flight", Said::Fenced, 1),
        other,
        heard("hotel", Said::Undone, 2),
        heard("boat", Said::Failed, 2),
        heard("car", Said::Fenced, 2),
        heard("flight", Said::Undone, 2),
    ];
    let step = || "flight".to_owned();
    let alarms = [
        Alarm::TwoVerdicts { step: step() },
        Alarm::TwoServices {
            step: step(),
            services: vec!["another".into(), "flight".into()],
        },
        Alarm::UnknownStep {
            step: "boat".into(),
        },
    ];
    check(&events, 3, State::Compensating, &alarms);
    // That the hotel was done may still be heard; if not, somebody has to look.
    let undone = Alarm::UndoneWithoutDone {
        step: "hotel".into(),
        since_us: 2_000,
    };
    let later = [vec![undone], alarms.to_vec()].concat();
    check(&events, 12, State::Stuck, &later);
}

#[test]
fn without_a_definition_a_saga_has_completed_when_all_that_was_announced_is_done() {
    let state = |events: &[Heard]| track(events).state(Expected::ByAnnouncement, PATIENCE, 5_000);
    let mut events = vec![
        announcing(&["flight"], placed()),
        announcing(&["hotel"], heard("flight", Said::Done, 1)),
    ];
    assert_eq!(state(&events), State::Running);
    events.push(announcing(&[], heard("hotel", Said::Done, 2)));
    assert_eq!(state(&events), State::Completed);
    // One that does not say what comes next leaves it open for ever.
    events.push(heard("car", Said::Done, 3));
    assert_eq!(state(&events), State::Running);
    let silent = track(&events).alarms(Expected::ByAnnouncement, PATIENCE, 33_000);
    assert_eq!(silent, [Alarm::Silent { since_us: 3_000 }]);
}

#[test]
fn an_abort_takes_it_back() {
    let abort = Heard {
        aborts: true,
        ..placed()
    };
    let events = [placed(), heard("flight", Said::Done, 1), abort];
    check(&events, 2, State::Compensating, &[]);
}

#[test]
fn a_participant_acts_on_what_it_waits_for_and_goes_back_on_any_others_failure() {
    let consumes = ["flight.booked".to_owned()];
    let part = Part {
        step: "hotel",
        consumes: &consumes,
        can_be_undone: true,
    };
    let reacts = |event: &Heard| reaction(part, event);
    assert_eq!(reacts(&heard("flight", Said::Done, 1)), Some(Op::Action));
    assert_eq!(reacts(&heard("car", Said::Failed, 1)), Some(Op::Compensate));
    assert_eq!(reacts(&heard("hotel", Said::Failed, 1)), None);
    assert_eq!(reacts(&heard("car", Said::Done, 1)), None);
    assert_eq!(reacts(&heard("car", Said::Undone, 1)), None);
    let abort = Heard {
        aborts: true,
        ..placed()
    };
    assert_eq!(reacts(&abort), Some(Op::Compensate));
    let for_good = Part {
        can_be_undone: false,
        ..part
    };
    assert_eq!(reaction(for_good, &abort), Some(Op::Fence));
}

#[test]
fn too_many_names_are_bounded_in_any_order_alike() {
    let many: Vec<Heard> = (0..STEPS_MAX + 50)
        .map(|number| heard(&format!("s{number:06}"), Said::Done, 1))
        .collect();
    let mut backwards = many.clone();
    backwards.reverse();
    let forwards = track(&many);
    assert_eq!(forwards, track(&backwards));
    assert_eq!(forwards.steps.len(), STEPS_MAX);
    assert_eq!(forwards.types.len(), TYPES_MAX);
}

#[test]
fn what_was_heard_in_two_places_is_put_together() {
    let events = [
        placed(),
        heard("flight", Said::Done, 1),
        heard("hotel", Said::Failed, 2),
        heard("flight", Said::Undone, 3),
    ];
    for split in 0..=events.len() {
        let (here, there) = events.split_at(split);
        let mut joined = track(there);
        joined.join(&track(here));
        assert_eq!(joined, track(&events));
    }
}

#[test]
fn nothing_has_ended_as_long_as_what_came_before_was_not_heard() {
    // Their topics are read at different speeds: the last step's event comes first.
    let mut events = vec![heard("car", Said::Done, 3), heard("hotel", Said::Done, 3)];
    check(&events, 4, State::Running, &[]);
    let unheard = |step: &str| Alarm::CauseUnheard {
        step: step.into(),
        since_us: 3_000,
    };
    check(
        &events,
        13,
        State::Stuck,
        &[unheard("car"), unheard("hotel")],
    );
    events.push(heard("flight", Said::Done, 1));
    check(&events, 5, State::Running, &[]);
    events.push(placed());
    check(&events, 1_000, State::Completed, &[]);
    // Nor has one gone back of whose beginning nothing was heard.
    let mut events = vec![
        heard("hotel", Said::Failed, 2),
        heard("car", Said::Fenced, 3),
    ];
    check(&events, 4, State::Compensating, &[]);
    events.extend([
        heard("flight", Said::Done, 1),
        heard("flight", Said::Undone, 3),
    ]);
    check(&events, 4, State::Compensating, &[]);
    events.push(placed());
    check(&events, 1_000, State::Compensated, &[]);
}

#[test]
fn a_saga_whose_beginning_was_not_heard_has_not_ended() {
    // The hotel was kept from running before it heard of the flight, of which nothing was heard here either.
    let abort = Heard {
        aborts: true,
        type_name: "abort".into(),
        at_us: 1_000,
        ..Heard::default()
    };
    let mut events = vec![abort, heard("hotel", Said::Fenced, 2)];
    check(&events, 3, State::Compensating, &[]);
    let since_us = 1_000;
    check(
        &events,
        11,
        State::Stuck,
        &[Alarm::BeginningUnheard { since_us }],
    );
    // Somebody knows better.
    events.push(Heard {
        by_hand: true,
        ..heard("hotel", Said::Fenced, 3)
    });
    check(&events, 1_000, State::Compensated, &[]);
}

#[test]
fn a_step_that_was_set_going_before_it_went_back_has_as_long_as_an_undo() {
    let mut events = vec![placed()];
    events.push(Heard {
        aborts: true,
        at_us: 100_000,
        type_name: "abort".into(),
        ..Heard::default()
    });
    check(&events, 119, State::Compensating, &[]);
    let step = "flight".into();
    let since_us = 0;
    check(
        &events,
        120,
        State::Stuck,
        &[Alarm::Late { step, since_us }],
    );
}

#[test]
fn what_a_saga_is_about_its_first_event_that_says_so_tells() {
    let about = |subject: &str, at_us: i64| Heard {
        subject: Some(subject.into()),
        at_us,
        ..placed()
    };
    let events = [about("later", 2), about("b", 1), about("a", 1), placed()];
    let row = Choreographies::default().row(&track(&events));
    assert_eq!(row.key.as_deref(), Some("a"));
}

#[test]
fn what_was_undone_by_hand_is_told_of_by_nobody_else() {
    let by_hand = Heard {
        by_hand: true,
        service: "/keylane".into(),
        ..heard("flight", Said::Undone, 3)
    };
    let failed = heard("hotel", Said::Failed, 2);
    let car = heard("car", Said::Fenced, 2);
    let events = [
        placed(),
        heard("flight", Said::Done, 1),
        failed,
        car,
        by_hand,
    ];
    check(&events, 1_000, State::Compensated, &[]);
}

#[test]
fn a_saga_belongs_to_the_choreography_that_knows_most_of_it() {
    let other = Choreography {
        name: "another".into(),
        ..trip()
    };
    let smaller = Choreography {
        name: "a-little".into(),
        steps: trip().steps.into_iter().take(1).collect(),
        ..trip()
    };
    let of = |known: Vec<Choreography>, events: &[Heard]| {
        let known = Choreographies::new(known, PATIENCE);
        known.row(&track(events)).definition
    };
    let events = [placed(), heard("hotel", Said::Done, 1)];
    let all = || vec![trip(), smaller.clone(), other.clone()];
    // Of equals the first by name, in whatever order they are given.
    assert_eq!(of(all(), &events).as_deref(), Some("another"));
    assert_eq!(
        of(vec![smaller.clone(), trip()], &events).as_deref(),
        Some("trip")
    );
    assert_eq!(of(all(), &[heard("boat", Said::Done, 1)]), None);
}

#[test]
fn a_row_says_everything_but_the_time() {
    let known = Choreographies::new(
        vec![Choreography {
            patience: PATIENCE,
            ..trip()
        }],
        PATIENCE,
    );
    let events = [placed(), heard("flight", Said::Done, 1)];
    let row = known.row(&track(&events));
    assert_eq!(row.state, State::Running);
    assert_eq!(row.waits, ["car", "hotel"]);
    assert_eq!((row.started_us, row.updated_us), (0, 1_000));
    assert_eq!(row.stuck_us, Some(11_000));
    assert_eq!(row.stuck_step.as_deref(), Some("car"));
    for (now_us, state) in [(10_999, State::Running), (11_000, State::Stuck)] {
        assert_eq!(known.standing(&track(&events), now_us).state, state);
    }
    let mut events = events.to_vec();
    events.extend([heard("car", Said::Done, 2), heard("hotel", Said::Done, 3)]);
    let row = known.row(&track(&events));
    assert_eq!((row.state, row.ended_us), (State::Completed, Some(3_000)));
    assert_eq!((row.stuck_us, row.waits.len()), (None, 0));
}
