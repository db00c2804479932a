//! The way back.

use super::*;

#[test]
fn a_no_before_the_pivot_undoes_what_may_have_run_last_first() {
    let mut saga = Driven::of(steps([
        can_be_undone("a"),
        can_be_undone("b"),
        decides("c"),
    ]));
    saga.does("a");
    saga.does("b");
    saga.sent();
    saga.refuses("c");
    saga.check(&["b/compensate"], State::Compensating);
    assert_eq!(saga.saga.reason.as_deref(), Some("c: no"));
    saga.undoes("b");
    saga.check(&["a/compensate"], State::Compensating);
    saga.answer("a", Op::Compensate, Outcome::Noop);
    saga.check(&[], State::Compensated);
    assert_eq!(saga.status("a"), StepStatus::Noop);
}

#[test]
fn the_step_that_said_no_is_undone_too() {
    let mut saga = Driven::of(steps([can_be_undone("a")]));
    saga.sent();
    saga.refuses("a");
    saga.check(&["a/compensate"], State::Compensating);
}

#[test]
fn an_undo_carries_what_the_action_answered() {
    let mut saga = Driven::of(steps([can_be_undone("a"), can_be_undone("b")]));
    saga.does("a");
    saga.refuses("b");
    saga.answer("b", Op::Compensate, Outcome::Noop);
    let undo = saga.out.last().unwrap();
    assert_eq!(undo.reply, Some(json!({"did": "a"})));
    assert_eq!((undo.type_name.as_str(), undo.attempt), ("undo", 2));
}

#[test]
fn steps_that_are_out_are_undone_with_the_one_that_failed_side_by_side() {
    let mut saga = Driven::of(diamond());
    saga.does("a");
    saga.sent();
    saga.refuses("c");
    saga.check(&["c/compensate", "b/compensate"], State::Compensating);
    // Late: the undo's answer is what counts.
    saga.does("b");
    saga.undoes("b");
    saga.check(&[], State::Compensating);
    saga.undoes("c");
    saga.check(&["a/compensate"], State::Compensating);
    saga.undoes("a");
    saga.check(&[], State::Compensated);
}

#[test]
fn what_waited_for_a_step_that_was_passed_over_is_undone_before_what_that_waited_for() {
    let never = Condition::parse("false").unwrap();
    let definition = steps([
        can_be_undone("a"),
        can_be_undone("b").only_if(never),
        can_be_undone("c"),
        decides("d"),
    ]);
    let mut saga = Driven::of(definition);
    saga.does("a");
    saga.does("c");
    saga.sent();
    saga.refuses("d");
    saga.check(&["c/compensate"], State::Compensating);
    saga.undoes("c");
    saga.check(&["a/compensate"], State::Compensating);
}

#[test]
fn a_pivot_without_a_verdict_is_fenced_and_the_answer_says_which_way() {
    let until_fenced = || {
        let mut saga = Driven::of(order());
        saga.does("reserve");
        saga.sent();
        saga.at_ms(1_000);
        saga.check(&["charge/fence"], State::Running);
        saga
    };
    let mut saga = until_fenced();
    saga.answer("charge", Op::Fence, Outcome::Done(json!({"paid": 1})));
    saga.check(&["ship/action"], State::Running);
    assert_eq!(saga.saga.reason, None);
    let mut saga = until_fenced();
    saga.answer("charge", Op::Fence, Outcome::Fenced);
    saga.check(&["reserve/compensate"], State::Compensating);
    // The action's own verdict is as good.
    let mut saga = until_fenced();
    saga.does("charge");
    saga.check(&["ship/action"], State::Running);
    let mut saga = until_fenced();
    saga.refuses("charge");
    saga.check(&["reserve/compensate"], State::Compensating);
}

#[test]
fn an_undo_that_is_refused_makes_the_saga_stuck_and_is_tried_on() {
    let mut saga = Driven::of(steps([can_be_undone("a")]));
    saga.refuses("a");
    saga.sent();
    saga.answer("a", Op::Compensate, Outcome::Rejected("shut".into()));
    saga.check(&[], State::Stuck);
    assert_eq!(saga.last_note(), What::Stuck);
    saga.at_ms(30_000);
    saga.check(&["a/compensate"], State::Stuck);
    saga.undoes("a");
    saga.check(&[], State::Compensated);
}
