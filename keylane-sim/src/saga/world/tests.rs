//! That the runs reach what they are there for, and what only they can catch.

use super::*;

const SIZE: usize = 40;

#[test]
fn the_runs_reach_every_kind_of_line_that_a_timeline_has() {
    let mut seen = BTreeSet::new();
    for seed in 0..500 {
        seen.extend(ended(seed, "sound", SIZE).expect("it holds").seen);
    }
    let all = [
        "started",
        "action_sent",
        "compensate_sent",
        "fence_sent",
        "action_resent",
        "compensate_resent",
        "fence_resent",
        "done",
        "failed",
        "skipped",
        "undone",
        "nothing_to_undo",
        "unclear",
        "working",
        "timed_out",
        "deadline_passed",
        "goes_back",
        "stuck",
        "asked",
        "completed",
        "compensated",
    ];
    let never: Vec<_> = all.iter().filter(|it| !seen.contains(**it)).collect();
    assert!(never.is_empty(), "{never:?}");
}

fn check_caught(variant: &'static str, checker: Checker) {
    let failure = (0..500).find_map(|seed| run(seed, variant, SIZE).err());
    assert_eq!(failure.expect("a mutant").checker, checker);
}

#[test]
fn a_command_that_goes_out_first_is_one_that_no_row_knows_of() {
    check_caught("publish_before_commit", Checker::NoUnknownCommand);
}

#[test]
fn rows_that_are_overwritten_go_both_ways() {
    check_caught("no_compare_and_set", Checker::AllOrNothing);
}
