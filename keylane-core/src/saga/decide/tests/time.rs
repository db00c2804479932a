//! What is due when.

use super::*;

fn next_ms(saga: &Driven) -> i64 {
    saga.saga.next_us().unwrap() / 1000
}

const RETRY: Retry = Retry {
    answer_ms: 10,
    first_ms: 100,
    factor: 2.0,
    cap_ms: 500,
    jitter: 0.0,
    attempts_max: None,
};

#[test]
fn a_command_goes_out_again_after_growing_pauses_until_it_is_given_up() {
    let mut saga = Driven::of(steps([can_be_undone("a").retry(RETRY)]));
    saga.sent();
    for due_ms in [110, 320, 730] {
        assert_eq!(next_ms(&saga), due_ms);
        saga.at_ms(due_ms - 1);
        saga.check(&[], State::Running);
        saga.at_ms(due_ms);
        saga.check(&["a/action"], State::Running);
    }
    assert_eq!(next_ms(&saga), 1_000);
    saga.at_ms(1_000);
    saga.check(&["a/compensate"], State::Compensating);
    assert_eq!(
        saga.saga.reason.as_deref(),
        Some("a gave no verdict in time")
    );
}

#[test]
fn an_attempt_that_failed_does_not_wait_for_its_answer() {
    let mut saga = Driven::of(steps([can_be_undone("a").retry(RETRY)]));
    saga.answer("a", Op::Action, Outcome::Unclear("503".into()));
    assert_eq!(next_ms(&saga), 100);
    assert_eq!(saga.saga.steps[0].error.as_deref(), Some("503"));
}

#[test]
fn so_many_attempts_are_enough() {
    let retry = Retry {
        attempts_max: Some(2),
        ..RETRY
    };
    let mut saga = Driven::of(steps([can_be_undone("a").retry(retry)]));
    saga.at_ms(110);
    saga.check(&["a/action", "a/action"], State::Running);
    saga.at_ms(320);
    saga.check(&["a/compensate"], State::Compensating);
}

#[test]
fn who_is_working_is_asked_again_slowly_and_given_up_in_time_all_the_same() {
    let mut saga = Driven::of(steps([can_be_undone("a").retry(RETRY)]));
    saga.answer("a", Op::Action, Outcome::Working);
    assert_eq!(next_ms(&saga), 500);
    saga.at_ms(500);
    saga.answer("a", Op::Action, Outcome::Working);
    assert_eq!(next_ms(&saga), 1_000);
    saga.at_ms(1_000);
    saga.check(
        &["a/action", "a/action", "a/compensate"],
        State::Compensating,
    );
}

#[test]
fn what_may_not_be_given_up_is_told_as_stuck_and_tried_on_and_wakes_by_an_answer() {
    let mut definition = steps([can_be_undone("a").retry(RETRY)]);
    definition.patience_ms = 5_000;
    let mut saga = Driven::of(definition);
    saga.refuses("a");
    let mut tries = 0;
    while next_ms(&saga) < 5_000 {
        saga.at_ms(next_ms(&saga));
        tries += 1;
        assert_eq!(saga.saga.state(), State::Compensating);
    }
    assert!((10..14).contains(&tries), "{tries}");
    saga.at_ms(5_000);
    assert_eq!(saga.saga.state(), State::Stuck);
    let told = saga.log.iter().filter(|it| it.what == What::Stuck).count();
    for _ in 0..100 {
        saga.at_ms(next_ms(&saga));
    }
    assert_eq!(
        saga.log.iter().filter(|it| it.what == What::Stuck).count(),
        told
    );
    assert!(
        saga.log.len() < 40,
        "what comes again and again fills the log: {}",
        saga.log.len()
    );
    saga.undoes("a");
    assert_eq!(saga.saga.state(), State::Compensated);
}

#[test]
fn a_participant_that_is_back_gets_at_once_what_it_was_sent_in_vain() {
    let other = Participant::Named("other".into());
    let definition = steps([
        succeeds("a").retry(RETRY),
        Step::retriable("b", other.clone(), "do")
            .retry(RETRY)
            .after([]),
    ]);
    let mut saga = Driven::of(definition);
    saga.tell(Event::Back(other.clone()));
    saga.check(&["a/action", "b/action"], State::Running);
    saga.at_ms(110);
    saga.sent();
    saga.tell(Event::Back(other));
    saga.check(&["b/action"], State::Running);
    assert_eq!(saga.saga.steps[1].next_us, Some(220_000));
}

#[test]
fn the_deadline_rolls_back_what_is_not_committed_and_only_that() {
    let definition = || order().deadline_ms(500);
    let mut saga = Driven::of(definition());
    saga.sent();
    saga.at_ms(500);
    saga.check(&["reserve/compensate"], State::Compensating);
    let mut saga = Driven::of(definition());
    saga.does("reserve");
    saga.sent();
    saga.at_ms(500);
    saga.check(&["charge/fence"], State::Running);
    let mut saga = Driven::of(definition());
    saga.does("reserve");
    saga.does("charge");
    saga.sent();
    saga.at_ms(500);
    saga.check(&[], State::Running);
}

#[test]
fn several_that_are_due_at_once_turn_the_saga_round_once() {
    let mut saga = Driven::of(steps([
        can_be_undone("a").after([]),
        can_be_undone("b").after([]),
    ]));
    saga.sent();
    saga.at_ms(1_000_000);
    saga.check(&["b/compensate", "a/compensate"], State::Compensating);
}

#[test]
fn a_clock_that_goes_back_makes_nothing_due() {
    let mut saga = Driven::of(order());
    saga.sent();
    saga.at_ms(-1_000_000);
    saga.check(&[], State::Running);
    saga.does("reserve");
    saga.check(&["charge/action"], State::Running);
}

#[test]
fn what_the_deadline_will_end_is_not_told_as_stuck() {
    let mut step = can_be_undone("a").retry(RETRY);
    step.timeout_ms = None;
    let mut definition = steps([step]).deadline_ms(60_000);
    definition.patience_ms = 5_000;
    let mut saga = Driven::of(definition);
    while next_ms(&saga) < 60_000 {
        saga.at_ms(next_ms(&saga));
        assert_eq!(saga.saga.state(), State::Running);
    }
    saga.at_ms(60_000);
    assert_eq!(saga.saga.state(), State::Compensating);
}
