//! Each rule with a definition that breaks it, and those that break none.

use std::time::{Duration, Instant};

use super::*;
use crate::saga::condition::Condition;
use crate::saga::definition::{Participant, Retry};
use crate::saga::limits::STEPS_MAX;
use crate::saga::template::Template;

fn service() -> Participant {
    Participant::Named("service".into())
}

fn can_be_undone(id: &str) -> Step {
    Step::compensatable(id, service(), "do", "undo")
}

fn decides(id: &str) -> Step {
    Step::pivot(id, service(), "do")
}

fn succeeds(id: &str) -> Step {
    Step::retriable(id, service(), "do")
}

fn saga<const N: usize>(steps: [Step; N]) -> Definition {
    steps.into_iter().fold(
        Definition::new("saga", 1).deadline_ms(1_000),
        Definition::step,
    )
}

/// The rules that are broken, with the step and the field.
fn check_rules(definition: Definition, expect: &[(&str, Option<usize>, &str)]) {
    let findings = check(definition).err().unwrap_or_default();
    let found: Vec<_> = findings
        .iter()
        .map(|it| (it.rule.id(), it.place.step, it.place.field))
        .collect();
    assert_eq!(found, expect, "{findings:#?}");
}

#[test]
fn what_can_be_undone_up_to_the_pivot_and_retried_behind_it_passes() {
    check_rules(saga([can_be_undone("a")]), &[]);
    check_rules(saga([succeeds("a"), succeeds("b").after([])]), &[]);
    check_rules(
        saga([
            can_be_undone("a"),
            can_be_undone("b").after(["a"]),
            can_be_undone("c").after(["a"]),
            decides("d").after(["b", "c"]),
            succeeds("e").after(["d"]),
            succeeds("f").after(["d"]),
        ]),
        &[],
    );
}

#[test]
fn names_that_do_not_fit_a_column_are_refused() {
    let long = "a".repeat(65);
    let mut definition = saga([can_be_undone(&long), can_be_undone("Ä")]);
    definition.name = String::new();
    definition.version = 0;
    definition.steps[1].action = "x".repeat(513);
    definition.steps[1].undo = Some("a\nb".into());
    let expect = [
        ("S1", None, "saga"),
        ("S1", None, "version"),
        ("S1", Some(0), "id"),
        ("S1", Some(1), "id"),
        ("S1", Some(1), "action"),
        ("S1", Some(1), "undo"),
    ];
    check_rules(definition, &expect);
}

#[test]
fn a_thousand_steps_are_checked_at_once_and_too_many_are_refused() {
    let many = |count: usize| {
        let steps = (0..count).map(|number| can_be_undone(&format!("s{number}")));
        steps.fold(
            Definition::new("saga", 1).deadline_ms(1_000),
            Definition::step,
        )
    };
    let began = Instant::now();
    check_rules(many(1_000), &[]);
    check_rules(many(STEPS_MAX), &[]);
    assert!(began.elapsed() < Duration::from_secs(10));
    check_rules(many(STEPS_MAX + 1), &[("S2", None, "steps")]);
    check_rules(saga([]), &[("S2", None, "steps")]);
}

#[test]
fn each_step_has_one_name_and_waits_for_what_is_there() {
    let twice = saga([can_be_undone("a"), can_be_undone("a")]);
    check_rules(twice, &[("S3", Some(1), "id")]);
    let unknown = saga([can_be_undone("a").after(["b"])]);
    check_rules(unknown, &[("S4", Some(0), "after")]);
}

#[test]
fn steps_that_wait_for_each_other_are_named_with_those_behind_them() {
    let circle = saga([
        can_be_undone("a").after([]),
        can_be_undone("b").after(["c", "a"]),
        can_be_undone("c").after(["b"]),
        can_be_undone("d").after(["c"]),
    ]);
    let at = |place| ("S5", Some(place), "after");
    check_rules(circle, &[at(1), at(2), at(3)]);
    let itself = saga([can_be_undone("a").after(["a"])]);
    check_rules(itself, &[at(0)]);
}

#[test]
fn what_may_have_run_can_be_undone_and_nothing_else_says_so() {
    let mut definition = saga([can_be_undone("a"), decides("b"), succeeds("c")]);
    for (step, undo) in definition
        .steps
        .iter_mut()
        .zip([None, Some("x"), Some("y")])
    {
        step.undo = undo.map(str::to_owned);
    }
    let at = |rule, place| (rule, Some(place), "undo");
    check_rules(definition, &[at("S6", 0), at("S7", 1), at("S7", 2)]);
}

#[test]
fn a_saga_is_decided_once() {
    let one_behind_the_other = saga([decides("a"), decides("b")]);
    check_rules(one_behind_the_other, &[("S8", Some(1), "kind")]);
    let side_by_side = saga([decides("a"), decides("b").after([])]);
    check_rules(side_by_side, &[("S8", Some(1), "kind")]);
}

#[test]
fn nothing_that_may_fail_runs_behind_or_beside_the_pivot() {
    let behind = saga([decides("a"), can_be_undone("b")]);
    check_rules(behind, &[("S9", Some(1), "kind")]);
    let beside = saga([can_be_undone("a"), decides("b").after([])]);
    check_rules(beside, &[("S9", Some(0), "kind")]);
}

#[test]
fn what_cannot_be_undone_waits_for_all_that_may_fail() {
    let before = saga([succeeds("a"), decides("b")]);
    check_rules(before, &[("S10", Some(0), "after")]);
    let beside = saga([can_be_undone("a"), succeeds("b").after([])]);
    check_rules(beside, &[("S10", Some(1), "after")]);
}

#[test]
fn paths_lead_only_into_replies_that_are_there() {
    let path = |text: &str| Template::parse(&text.into()).unwrap();
    let definition = saga([
        can_be_undone("a").input(path("$b.x")),
        can_be_undone("b").input(path("$a.x")),
        can_be_undone("c").only_if(Condition::parse("$c.x or exists $nobody").unwrap()),
    ]);
    let expect = [
        ("S11", Some(0), "input"),
        ("S11", Some(2), "if"),
        ("S11", Some(2), "if"),
    ];
    check_rules(definition, &expect);
}

#[test]
fn only_what_is_retriable_may_wait_for_ever_and_it_must() {
    let bounded = Retry {
        attempts_max: Some(3),
        ..Retry::default()
    };
    let given_up = saga([succeeds("a").retry(bounded), succeeds("b").timeout_ms(5)]);
    check_rules(
        given_up,
        &[("S12", Some(0), "retry"), ("S12", Some(1), "timeout_ms")],
    );
    let mut open = saga([
        can_be_undone("a"),
        can_be_undone("b").retry(bounded),
        decides("c").timeout_ms(5),
    ]);
    open.deadline_ms = None;
    check_rules(open, &[("S13", Some(0), "timeout_ms")]);
}

#[test]
fn pauses_grow_and_times_are_more_than_nothing() {
    let wrong = Retry {
        answer_ms: 0,
        first_ms: 0,
        factor: 0.9,
        cap_ms: MS_MAX_AND_MORE,
        jitter: f64::NAN,
        attempts_max: Some(0),
    };
    let mut definition = saga([can_be_undone("a").retry(wrong).timeout_ms(0)]);
    definition.deadline_ms = Some(MS_MAX_AND_MORE);
    definition.patience_ms = 0;
    let retry = ("S14", Some(0), "retry");
    let expect = [
        ("S15", None, "deadline_ms"),
        ("S15", None, "patience_ms"),
        retry,
        retry,
        retry,
        retry,
        retry,
        retry,
        ("S15", Some(0), "timeout_ms"),
    ];
    check_rules(definition, &expect);
    let shrinking = Retry {
        first_ms: 10,
        cap_ms: 9,
        ..Retry::default()
    };
    check_rules(saga([can_be_undone("a").retry(shrinking)]), &[retry]);
}

const MS_MAX_AND_MORE: u64 = crate::saga::limits::MS_MAX + 1;

#[test]
fn all_breaches_are_told_and_each_says_what_to_do() {
    let mut definition = saga([succeeds("a"), decides("b"), decides("b")]);
    definition.steps[1].undo = Some("x".into());
    let findings = check(definition).unwrap_err();
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(
        findings
            .iter()
            .all(|it| !it.what.is_empty() && !it.fix.is_empty())
    );
    assert_eq!(findings[0].step.as_deref(), Some("b"));
    let ids: std::collections::BTreeSet<_> = Rule::ALL.iter().map(|it| it.id()).collect();
    assert_eq!(ids.len(), Rule::ALL.len());
}

#[test]
fn the_guide_tells_every_rule() {
    let guide = include_str!("../../../../docs/guides/sagas.md");
    for rule in Rule::ALL {
        assert!(guide.contains(&format!("\n| {} | ", rule.id())), "{rule}");
        assert!(!rule.why().is_empty());
    }
}
