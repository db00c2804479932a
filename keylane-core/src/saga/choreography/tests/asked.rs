//! What people may ask for, and what is told then.

use serde_json::Value;

use super::*;
use crate::saga::event::Operation;

fn known() -> Choreographies {
    let trip = Choreography {
        topics: vec!["one".into(), "two".into()],
        ..trip()
    };
    Choreographies::new(vec![trip], PATIENCE)
}

fn tracked(events: &[Heard]) -> Tracked {
    Tracked {
        id: "s".into(),
        track: track(events),
        asked: Vec::new(),
        told: Vec::new(),
    }
}

fn ask(tracked: &Tracked, operation: &Operation) -> Answer {
    let request = Request {
        operation,
        actor: "ann",
        reason: "why",
        at_us: 9,
    };
    operate(tracked, &known(), &[], request)
}

/// What goes out, and into which topics.
fn told(answer: &Answer) -> Vec<(String, &str)> {
    let signals = answer.signals.iter();
    signals
        .map(|it| (it.kind.code(), it.topic.as_str()))
        .collect()
}

fn check_refused(tracked: &Tracked, operation: &Operation, why: &str) {
    let answer = ask(tracked, operation);
    assert!(
        answer.refused.as_ref().is_some_and(|it| it.contains(why)),
        "{answer:?}"
    );
    assert_eq!(answer.signals, []);
    // That it was asked is noted all the same.
    let lines: Vec<&str> = answer.lines.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(lines, ["asked", "refused"]);
}

fn by_hand_of(step: &str) -> Operation {
    Operation::MarkCompensated { step: step.into() }
}

#[test]
fn a_saga_is_aborted_in_every_topic_once() {
    let mut saga = tracked(&[placed(), heard("flight", Said::Done, 1)]);
    let answer = ask(&saga, &Operation::RollBack);
    let abort = || "abort".to_owned();
    assert_eq!(told(&answer), [(abort(), "one"), (abort(), "two")]);
    assert_eq!(answer.lines[0].reason.as_deref(), Some("roll_back: why"));
    assert_eq!(answer.lines[0].actor.as_deref(), Some("ann"));
    saga.told = answer.signals.into_iter().map(|it| (it, true)).collect();
    check_refused(&saga, &Operation::RollBack, "aborted already");
    // Its services may be told again.
    let again = ask(&saga, &Operation::Retry { step: None });
    assert_eq!(told(&again), [(abort(), "one"), (abort(), "two")]);
}

#[test]
fn one_that_has_completed_is_aborted_too_and_one_that_is_gone_is_not() {
    let done = ["flight", "hotel", "car"].map(|step| heard(step, Said::Done, 1));
    let all: Vec<Heard> = [placed()].into_iter().chain(done).collect();
    assert_eq!(ask(&tracked(&all), &Operation::RollBack).signals.len(), 2);
    let gone = tracked(&[placed(), heard("flight", Said::Failed, 1)]);
    check_refused(&gone, &Operation::RollBack, "nothing is left");
}

#[test]
fn what_was_undone_by_hand_is_told_once_it_goes_back() {
    let forward = [placed(), heard("flight", Said::Done, 1)];
    check_refused(
        &tracked(&forward),
        &by_hand_of("flight"),
        "compensate it first",
    );
    let [placed, flight] = forward;
    let failed = heard("hotel", Said::Failed, 2);
    let saga = tracked(&[placed, flight, failed]);
    let answer = ask(&saga, &by_hand_of("flight"));
    assert_eq!(told(&answer), [("compensated flight".to_owned(), "one")]);
    // Of one that nobody said was done: that it never will be.
    let answer = ask(&saga, &by_hand_of("car"));
    assert_eq!(told(&answer), [("fenced car".to_owned(), "one")]);
    check_refused(&saga, &by_hand_of("hotel"), "nothing is left of step hotel");
    check_refused(&saga, &by_hand_of("boat"), "no step boat");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let saga = tracked(&[placed()]);
    let step = "flight".to_owned();
    let skip = Operation::Skip { step: step.clone() };
    check_refused(&saga, &skip, "tell the event");
    let reply = Value::Null;
    check_refused(
        &saga,
        &Operation::Complete { step, reply },
        "tell the event",
    );
    check_refused(
        &saga,
        &Operation::Retry { step: None },
        "nothing that could be told again",
    );
    // One that no choreography knows, and no topic for such.
    let unknown = tracked(&[heard("boat", Said::Done, 1)]);
    check_refused(&unknown, &Operation::RollBack, "saga.tracker.signal");
}

#[test]
fn what_was_never_heard_somebody_may_know() {
    let complete = |step: &str| Operation::Complete {
        step: step.into(),
        reply: Value::Null,
    };
    // What set the hotel going is lost.
    let mut events = vec![heard("hotel", Said::Done, 1)];
    let saga = tracked(&events);
    check_refused(&saga, &complete("flight"), "tell the event");
    let answer = ask(&saga, &complete("hotel"));
    assert_eq!(told(&answer), [("done hotel".to_owned(), "one")]);
    let attributes = answer.signals[0].attributes("/keylane");
    let (_, by_hand) = heard_of(&attributes, 9).expect("it is one");
    events.push(by_hand);
    let state = |events: &[Heard]| known().row(&track(events)).state;
    assert_eq!(state(&events), State::Completed);
    // The same of one that goes back.
    let failed = [heard("hotel", Said::Failed, 1)];
    assert_eq!(state(&failed), State::Compensating);
    let answer = ask(&tracked(&failed), &by_hand_of("hotel"));
    assert_eq!(told(&answer), [("fenced hotel".to_owned(), "one")]);
    let (_, by_hand) = heard_of(&answer.signals[0].attributes(""), 9).expect("it is one");
    let [failed] = failed;
    assert_eq!(state(&[failed, by_hand]), State::Compensated);
}
