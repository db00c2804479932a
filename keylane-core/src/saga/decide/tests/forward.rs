//! The way forward.

use super::*;

#[test]
fn steps_begin_one_after_another_and_the_saga_ends() {
    let mut saga = Driven::of(order());
    saga.check(&["reserve/action"], State::Running);
    saga.does("reserve");
    saga.check(&["charge/action"], State::Running);
    saga.does("charge");
    saga.check(&["ship/action"], State::Running);
    saga.does("ship");
    saga.check(&[], State::Completed);
    assert_eq!(saga.saga.ended_us, Some(0));
    assert_eq!(saga.saga.next_us(), None);
}

#[test]
fn independent_steps_run_side_by_side() {
    let mut saga = Driven::of(diamond());
    saga.does("a");
    saga.check(&["a/action", "b/action", "c/action"], State::Running);
    saga.does("c");
    saga.check(&[], State::Running);
    saga.does("b");
    saga.check(&["d/action"], State::Running);
    saga.does("d");
    saga.check(&[], State::Completed);
}

#[test]
fn commands_carry_the_data_and_what_earlier_steps_answered() {
    let input = Template::parse(&json!({"sku": "$.sku", "by": "$reserve.did", "no": "$.x"}));
    let definition = steps([
        can_be_undone("reserve"),
        decides("charge").input(input.unwrap()),
    ]);
    let mut saga = Driven::with(definition, json!({"sku": "a"}));
    assert_eq!(saga.out[0].input, json!({"sku": "a"}));
    saga.does("reserve");
    let command = saga.out.last().unwrap();
    assert_eq!(
        command.input,
        json!({"sku": "a", "by": "reserve", "no": null})
    );
    assert_eq!(command.id(), "s1/charge/action");
    assert_eq!(command.attempt, 1);
    assert_eq!(command.expires_us, COMMAND_LIFE_US);
}

#[test]
fn a_step_whose_condition_does_not_hold_is_passed_over() {
    let only_if = |text| Condition::parse(text).unwrap();
    let definition = steps([
        can_be_undone("a"),
        can_be_undone("b").only_if(only_if("$.b")),
        can_be_undone("c").only_if(only_if("$b.did or $a.did == 'a'")),
    ]);
    let mut saga = Driven::with(definition, json!({"b": false}));
    saga.does("a");
    saga.check(&["a/action", "c/action"], State::Running);
    assert_eq!(saga.status("b"), StepStatus::Skipped);
    saga.does("c");
    saga.check(&[], State::Completed);
}

#[test]
fn a_saga_of_which_all_is_passed_over_ends_at_its_start() {
    let never = Condition::parse("false").unwrap();
    let mut saga = Driven::of(steps([can_be_undone("a").only_if(never)]));
    saga.check(&[], State::Completed);
}

#[test]
fn answers_that_nothing_waits_for_change_nothing_and_are_noted() {
    let mut saga = Driven::of(order());
    saga.does("reserve");
    saga.sent();
    let revision = saga.saga.revision;
    let ok = || Outcome::Ok(json!("other"));
    for (step, op, outcome) in [
        ("reserve", Op::Action, ok()),
        ("reserve", Op::Action, Outcome::Rejected("late".into())),
        ("reserve", Op::Compensate, ok()),
        ("charge", Op::Compensate, ok()),
        ("charge", Op::Fence, Outcome::Fenced),
        ("ship", Op::Action, ok()),
        ("nobody", Op::Action, ok()),
    ] {
        saga.answer(step, op, outcome);
        saga.check(&[], State::Running);
        assert_eq!(saga.last_note(), What::Ignored);
    }
    assert_eq!(saga.saga.revision, revision);
    assert_eq!(saga.saga.steps[0].reply, Some(json!({"did": "reserve"})));
}

#[test]
fn an_answer_that_does_not_fit_is_as_none() {
    let mut saga = Driven::of(order());
    for outcome in [
        Outcome::Noop,
        Outcome::Done(json!(1)),
        Outcome::Unclear("<html>".into()),
    ] {
        saga.answer("reserve", Op::Action, outcome);
        assert_eq!(saga.last_note(), What::Unclear);
        assert_eq!(saga.status("reserve"), StepStatus::Sent);
    }
}

#[test]
fn a_retriable_steps_no_makes_the_saga_stuck_until_the_step_succeeds() {
    let mut saga = Driven::of(order());
    saga.does("reserve");
    saga.does("charge");
    saga.sent();
    saga.refuses("ship");
    saga.check(&[], State::Stuck);
    saga.at_ms(30_000);
    saga.check(&["ship/action"], State::Stuck);
    saga.does("ship");
    saga.check(&[], State::Completed);
}

#[test]
fn a_thousand_steps_end() {
    let all = (0..1_000).map(|number| can_be_undone(&format!("s{number}")));
    let mut saga = Driven::of(all.fold(Definition::new("saga", 1), Definition::step));
    for number in 0..1_000 {
        saga.does(&format!("s{number}"));
    }
    assert_eq!(saga.saga.state(), State::Completed);
    assert_eq!(saga.sent().len(), 1_000);
}

#[test]
fn ids_and_keys_that_fit_no_column_start_nothing() {
    let plan = check(order()).unwrap();
    let begin = |id: String, key: Option<String>| {
        let data = json!({});
        start(
            &plan,
            Start { id, key, data },
            Moment { now_us: 0, seed: 0 },
        )
        .map(|_| ())
    };
    assert_eq!(begin("x".repeat(129), None), Err(StartError::Id));
    assert_eq!(begin(String::new(), None), Err(StartError::Id));
    assert_eq!(begin("a\0".into(), None), Err(StartError::Id));
    assert_eq!(
        begin("a".into(), Some("x".repeat(257))),
        Err(StartError::Key)
    );
    assert_eq!(begin("a".into(), Some("x".repeat(256))), Ok(()));
}

#[test]
fn by_another_definition_nothing_is_decided() {
    let mut saga = Driven::of(order());
    saga.plan = check(diamond()).unwrap();
    saga.sent();
    saga.does("a");
    saga.check(&[], State::Running);
    assert_eq!(saga.last_note(), What::Ignored);
}
