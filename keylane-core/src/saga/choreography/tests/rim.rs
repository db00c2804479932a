//! Events as they travel, and definitions as they are checked.

use super::*;
use crate::saga::wire::Attributes;

fn attributes(pairs: &[(&'static str, &str)]) -> Attributes {
    let mut attributes = Attributes::new();
    pairs
        .iter()
        .for_each(|(name, value)| attributes.set(name, *value));
    attributes
}

const EVENT: [(&str, &str); 5] = [
    ("correlationid", "s1"),
    ("type", "flight.booked"),
    ("source", "/flights"),
    ("sagastep", "flight"),
    ("sagaop", "done"),
];

fn read(more: &[(&'static str, &str)]) -> Option<(String, Heard)> {
    let mut all = EVENT.to_vec();
    all.extend(more);
    heard_of(&attributes(&all), 5_000_000)
}

#[test]
fn an_event_is_read_as_it_travels() {
    let (saga, heard) =
        read(&[("subject", "trip 7"), ("saganext", "hotel, car")]).expect("it is one");
    assert_eq!(saga, "s1");
    let expect = Heard {
        type_name: "flight.booked".into(),
        step: Some(("flight".into(), Said::Done)),
        service: "/flights".into(),
        subject: Some("trip 7".into()),
        next: Some(vec!["hotel".into(), "car".into()]),
        at_us: 5_000_000,
        ..Heard::default()
    };
    assert_eq!(heard, expect);
    // Announcing nothing is not the same as saying nothing.
    let next = |more: &[(&'static str, &str)]| read(more).expect("it is one").1.next;
    assert_eq!(next(&[("saganext", "")]), Some(Vec::new()));
    assert_eq!(next(&[]), None);
}

#[test]
fn an_event_was_made_when_it_says_but_not_after_it_was_recorded() {
    let at_us = |time: &str| read(&[("time", time)]).expect("it is one").1.at_us;
    assert_eq!(at_us("1970-01-01T00:00:02Z"), 2_000_000);
    assert_eq!(at_us("9999-01-01T00:00:00Z"), 5_000_000);
    assert_eq!(at_us("yesterday"), 5_000_000);
}

#[test]
fn what_belongs_to_no_choreographed_saga_is_none() {
    assert_eq!(heard_of(&attributes(&[("type", "a")]), 1), None);
    // What an orchestrator asks for.
    assert_eq!(read(&[("sagaop", "compensate")]), None);
}

#[test]
fn names_that_cannot_be_kept_are_refused() {
    let long = "x".repeat(65);
    for more in [
        ("sagastep", long.as_str()),
        ("type", ""),
        ("saganext", &long),
    ] {
        let (saga, heard) = read(&[more]).expect("it is one");
        let refused = heard.check(&saga).expect_err("it does not fit");
        assert!(refused.to_string().contains(more.0), "{refused}");
    }
    let (saga, heard) = read(&[]).expect("it is one");
    assert_eq!(heard.check(&saga), Ok(()));
    assert!(heard.check(&"s".repeat(129)).is_err());
}

#[test]
fn a_signal_is_heard_as_what_it_says() {
    let signal = |kind: SignalKind| Signal {
        saga: "s1".into(),
        kind,
        topic: "t".into(),
        actor: "ann".into(),
        reason: "why".into(),
        at_us: 7,
    };
    for (said, undone) in [(Said::Undone, true), (Said::Fenced, false)] {
        let kind = SignalKind::ByHand {
            step: "flight".into(),
            said,
        };
        assert_eq!(SignalKind::named(&kind.code()), Some(kind.clone()));
        let (saga, heard) = heard_of(&signal(kind).attributes("/keylane"), 9).expect("it is one");
        assert_eq!((saga.as_str(), heard.by_hand, heard.at_us), ("s1", true, 7));
        assert_eq!(heard.step, Some(("flight".into(), said)));
        let track = track(&[super::heard("flight", Said::Done, 0), heard]);
        assert_eq!(track.steps["flight"].is_back(), undone);
    }
    let abort = signal(SignalKind::Abort);
    assert_eq!(SignalKind::named("abort"), Some(SignalKind::Abort));
    let (_, heard) = heard_of(&abort.attributes("/keylane"), 9).expect("it is one");
    assert!(heard.aborts && heard.check("s1").is_ok());
}

/// The rules that are broken, each with its step.
fn check_rules(
    change: impl FnOnce(&mut Choreography),
    expect: &[(ChoreographyRule, Option<usize>)],
) {
    let mut choreography = trip();
    change(&mut choreography);
    let found = check_choreography(&choreography);
    let rules: Vec<_> = found.iter().map(|it| (it.rule, it.step)).collect();
    assert_eq!(rules, expect, "{found:?}");
}

#[test]
fn each_rule_refuses_what_it_is_for() {
    use ChoreographyRule as Rule;
    check_rules(|_| {}, &[]);
    check_rules(|it| it.name = "Trip".into(), &[(Rule::Name, None)]);
    check_rules(|it| it.steps.clear(), &[(Rule::StepCount, None)]);
    check_rules(
        |it| it.steps[2].id = "hotel".into(),
        &[(Rule::NamedTwice, Some(2))],
    );
    check_rules(
        |it| it.steps[1].consumes.clear(),
        &[(Rule::NothingSetsGoing, Some(1))],
    );
    check_rules(
        |it| it.steps[1].consumes = vec!["flight.boked".into()],
        &[(Rule::NobodyTells, Some(1))],
    );
    check_rules(
        |it| it.begins.push("order.changed".into()),
        &[(Rule::BeginsNothing, None)],
    );
    // The hotel's own event sets the flight going again.
    check_rules(
        |it| it.steps[0].consumes.push("hotel.booked".into()),
        &[(Rule::Cycle, Some(0))],
    );
    check_rules(
        |it| it.steps[1].consumes.push("hotel.booked".into()),
        &[(Rule::Cycle, Some(1))],
    );
}
