//! What people ask for.

use super::*;

fn skip(step: &str) -> Operation {
    Operation::Skip { step: step.into() }
}

fn complete(step: &str) -> Operation {
    Operation::Complete {
        step: step.into(),
        reply: json!({"by": "hand"}),
    }
}

fn mark(step: &str) -> Operation {
    Operation::MarkCompensated { step: step.into() }
}

fn retry(step: Option<&str>) -> Operation {
    let step = step.map(str::to_owned);
    Operation::Retry { step }
}

#[test]
fn a_saga_is_cancelled_while_there_is_a_way_back() {
    let mut saga = Driven::of(order());
    saga.sent();
    saga.asks(Operation::RollBack);
    saga.check(&["reserve/compensate"], State::Compensating);
    assert_eq!(saga.saga.reason.as_deref(), Some("because"));
    saga.asks(Operation::RollBack);
    assert_eq!(saga.last_note(), What::Refused);

    let mut saga = Driven::of(order());
    saga.does("reserve");
    saga.sent();
    saga.asks(Operation::RollBack);
    saga.check(&["charge/fence"], State::Running);
    saga.answer("charge", Op::Fence, Outcome::Fenced);
    saga.check(&["reserve/compensate"], State::Compensating);
    assert_eq!(saga.saga.reason.as_deref(), Some("because"));

    let mut saga = Driven::of(order());
    saga.does("reserve");
    saga.does("charge");
    saga.sent();
    saga.asks(Operation::RollBack);
    saga.check(&[], State::Running);
    assert_eq!(saga.last_note(), What::Refused);
}

#[test]
fn who_asked_and_why_is_noted() {
    let mut saga = Driven::of(order());
    let from = saga.log.len();
    saga.asks(Operation::RollBack);
    let asked = &saga.log[from];
    assert_eq!(
        (asked.what, asked.actor.as_deref()),
        (What::Asked, Some("ann"))
    );
    assert_eq!(asked.reason.as_deref(), Some("roll_back: because"));
}

#[test]
fn a_step_that_is_out_is_fenced_before_it_is_passed_over() {
    let mut saga = Driven::of(steps([can_be_undone("a"), can_be_undone("b")]));
    saga.sent();
    saga.asks(skip("a"));
    saga.check(&["a/fence"], State::Running);
    saga.answer("a", Op::Fence, Outcome::Fenced);
    saga.check(&["b/action"], State::Running);
    assert_eq!(saga.status("a"), StepStatus::Skipped);
    // What is passed over has nothing to undo.
    saga.refuses("b");
    saga.undoes("b");
    saga.check(&["b/compensate"], State::Compensated);
}

#[test]
fn a_step_that_turns_out_to_be_done_counts_as_done() {
    for operation in [skip("a"), complete("a")] {
        let mut saga = Driven::of(steps([can_be_undone("a"), can_be_undone("b")]));
        saga.asks(operation);
        saga.answer("a", Op::Fence, Outcome::Done(json!({"did": "a"})));
        assert_eq!(saga.status("a"), StepStatus::Ok);
        assert_eq!(saga.saga.steps[0].reply, Some(json!({"did": "a"})));
        saga.refuses("b");
        saga.undoes("b");
        saga.check(
            &[
                "a/action",
                "a/fence",
                "b/action",
                "b/compensate",
                "a/compensate",
            ],
            State::Compensating,
        );
    }
}

#[test]
fn a_step_that_has_not_begun_is_passed_over_at_once_and_cannot_be_completed() {
    let mut saga = Driven::of(steps([can_be_undone("a"), can_be_undone("b")]));
    saga.asks(complete("b"));
    assert_eq!(saga.last_note(), What::Refused);
    saga.asks(skip("b"));
    saga.does("a");
    saga.check(&["a/action"], State::Completed);
}

#[test]
fn what_was_done_by_hand_is_undone_by_hand() {
    let mut saga = Driven::of(steps([can_be_undone("a"), can_be_undone("b")]));
    saga.asks(complete("a"));
    saga.answer("a", Op::Fence, Outcome::Fenced);
    assert_eq!(saga.saga.steps[0].reply, Some(json!({"by": "hand"})));
    saga.refuses("b");
    saga.sent();
    saga.undoes("b");
    saga.check(&[], State::Stuck);
    saga.at_ms(30_000);
    saga.asks(retry(None));
    saga.check(&[], State::Stuck);
    saga.asks(mark("a"));
    saga.check(&[], State::Compensated);
}

#[test]
fn an_undo_that_keeps_failing_is_done_by_hand() {
    let mut saga = Driven::of(steps([can_be_undone("a")]));
    saga.asks(mark("a"));
    assert_eq!(saga.last_note(), What::Refused);
    saga.refuses("a");
    saga.answer("a", Op::Compensate, Outcome::Rejected("shut".into()));
    saga.asks(mark("a"));
    saga.check(&["a/action", "a/compensate"], State::Compensated);
}

#[test]
fn what_is_out_is_sent_again_now() {
    let mut saga = Driven::of(diamond());
    saga.does("a");
    saga.sent();
    saga.asks(retry(Some("b")));
    saga.check(&["b/action"], State::Running);
    saga.asks(retry(None));
    saga.check(&["b/action", "c/action"], State::Running);
    saga.asks(retry(Some("a")));
    saga.check(&[], State::Running);
    assert_eq!(saga.last_note(), What::Refused);
    saga.asks(retry(Some("nobody")));
    assert_eq!(saga.last_note(), What::Refused);
}

#[test]
fn a_stuck_retriable_step_is_passed_over_behind_a_fence() {
    let mut saga = Driven::of(order());
    saga.does("reserve");
    saga.does("charge");
    saga.refuses("ship");
    saga.sent();
    saga.asks(skip("ship"));
    saga.check(&["ship/fence"], State::Running);
    // Its refusal is not kept and proves nothing.
    saga.refuses("ship");
    saga.check(&[], State::Running);
    saga.answer("ship", Op::Fence, Outcome::Fenced);
    saga.check(&[], State::Completed);
}

#[test]
fn a_cancel_takes_the_place_of_what_was_asked_before() {
    let mut saga = Driven::of(order());
    saga.does("reserve");
    saga.asks(complete("charge"));
    saga.sent();
    saga.asks(Operation::RollBack);
    saga.check(&["charge/fence"], State::Running);
    saga.answer("charge", Op::Fence, Outcome::Fenced);
    saga.check(&["reserve/compensate"], State::Compensating);
    assert_eq!(saga.saga.steps[1].reply, None);
}

#[test]
fn a_saga_that_ended_stays_as_it_ended() {
    let mut saga = Driven::of(steps([can_be_undone("a")]));
    saga.does("a");
    let ended = saga.saga.clone();
    for operation in [
        Operation::RollBack,
        retry(None),
        skip("a"),
        complete("a"),
        mark("a"),
    ] {
        saga.asks(operation);
        assert_eq!(saga.last_note(), What::Refused);
    }
    saga.at_ms(1_000_000);
    saga.tell(Event::Back(service()));
    saga.refuses("a");
    assert_eq!(saga.saga, ended);
}

#[test]
fn a_step_that_is_passed_over_before_its_turn_lets_nothing_begin_before_its_turn() {
    let mut saga = Driven::of(order());
    saga.asks(skip("charge"));
    saga.check(&["reserve/action"], State::Running);
    saga.does("reserve");
    saga.check(&["ship/action"], State::Running);
    saga.does("ship");
    saga.check(&[], State::Completed);
}
