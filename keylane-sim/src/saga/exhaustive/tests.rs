//! The real rules hold in every state there is; each short cut leads to one that must not be.

use super::*;

/// States of the largest case that a test looks at.
fn states_max() -> usize {
    let is_slow = std::env::var_os("KEYLANE_TEST_SLOW").is_some_and(|value| value == "1");
    if is_slow { 2_000_000 } else { 100_000 }
}

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).expect("a case")
}

/// Whether all was seen.
fn check_holds(name: &str, states_max: usize) -> bool {
    let seen = explore(case(name), "sound", states_max);
    println!("{name}: {} states, all: {}", seen.states, seen.is_all);
    assert_eq!(seen.failure, None);
    seen.is_all
}

fn check_caught(name: &str, variant: &str, checker: Checker) {
    let seen = explore(case(name), variant, usize::MAX);
    let survived = format!("{variant} survived {} states", seen.states);
    let (failure, way) = seen.failure.expect(&survived);
    println!("{name}/{variant}: {failure}, by {} steps", way.len());
    assert_eq!(failure.checker, checker, "{failure}: {way:#?}");
}

#[test]
fn small_sagas_end_with_all_or_nothing_in_every_state_there_is() {
    for name in ["pivot", "sequence", "diamond", "long", "operated"] {
        assert!(check_holds(name, usize::MAX));
    }
}

#[test]
fn steps_side_by_side_end_with_all_or_nothing_in_every_state_there_is() {
    for name in ["wide", "refused"] {
        assert!(check_holds(name, usize::MAX));
    }
}

#[test]
fn everything_at_once_ends_with_all_or_nothing() {
    check_holds("everything", states_max());
}

#[test]
fn without_a_barrier_a_repeat_has_its_effect_twice() {
    check_caught("sequence", "no_barrier", Checker::NoDoubleEffect);
}

#[test]
fn dedup_by_message_id_lets_an_action_run_behind_its_undo() {
    check_caught("sequence", "by_message_id", Checker::AllOrNothing);
}

#[test]
fn without_a_fence_an_action_runs_behind_its_undo() {
    check_caught("sequence", "no_fence", Checker::AllOrNothing);
}

#[test]
fn a_no_that_is_not_kept_is_followed_by_a_yes() {
    check_caught("pivot", "no_is_not_kept", Checker::AllOrNothing);
}

#[test]
fn a_late_step_that_is_not_undone_may_have_run() {
    check_caught("sequence", "timed_out_not_undone", Checker::AllOrNothing);
}

#[test]
fn a_step_in_flight_that_is_not_undone_may_have_run() {
    check_caught("diamond", "in_flight_not_undone", Checker::AllOrNothing);
}

#[test]
fn an_answer_to_something_else_moves_the_wrong_step() {
    check_caught("sequence", "replies_unmatched", Checker::AllOrNothing);
}

#[test]
fn a_command_that_goes_out_first_has_effects_that_no_row_knows_of() {
    check_caught("sequence", "publish_before_commit", Checker::AllOrNothing);
}

#[test]
fn a_late_pivot_that_is_taken_for_undone_may_have_run() {
    check_caught("pivot", "pivot_goes_back", Checker::AllOrNothing);
}

#[test]
fn a_late_pivot_that_is_taken_for_done_may_never_run() {
    check_caught("pivot", "pivot_goes_forward", Checker::AllOrNothing);
}

#[test]
fn undone_in_no_order_a_step_goes_before_what_was_built_on_it() {
    check_caught("sequence", "undone_at_once", Checker::Order);
}
