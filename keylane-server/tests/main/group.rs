//! Several appliers share the partitions: any may come, go, die or hang, and what is not its own never waits for it.

use std::time::Duration;

use keylane_parts::wait_until;

use crate::bed::{PATIENCE, left_out};
use crate::chaos::Random;
use crate::members::{Group, moves};
use crate::steady::Watched;

/// How long a partition that stays with a living member may stand still: as long as one hangs here at most, and some seconds for a busy machine. Who is killed under
/// the brokers' own assignment is given up much later.
const STEADY: Duration = Duration::from_secs(5 + 7);

/// Members come, leave, die and hang; at least one lives.
fn members_come_and_go(name: &'static str, group: &str, seed: u64) {
    if left_out() {
        return;
    }
    let mut random = Random::new(seed);
    let mut group = Group::new(name, group);
    group.join();
    group.join();
    let watched = Watched::new(&group.loaded);
    let moves = moves(12);
    eprintln!("group: seed {seed}, {moves} moves");
    for number in 1..=moves {
        let what = *random.pick(&["join", "leave", "kill", "kill", "hang"]);
        eprintln!("group: move {number} of {moves}: {what}");
        let chosen = random.below(group.members.len());
        match what {
            "leave" | "kill" if group.members.len() > 1 => {
                let (_folder, member) = group.members.remove(chosen);
                match what {
                    "leave" => member.terminate(),
                    _ => member.kill9(),
                }
            }
            "hang" => {
                let (_, member) = group.members.get(chosen).expect("one of them");
                member.halt();
                // Longer than the session, or shorter.
                random.pause_ms(500, 5_000);
                member.go_on();
            }
            _ if group.members.len() < 4 => group.join(),
            _ => {}
        }
        group.await_progress(&format!("after move {number} ({what}), seed {seed}"));
    }
    watched.assert_steady(STEADY);
    group.end();
}

#[test]
fn members_that_come_go_die_and_hang_lose_double_and_reorder_nothing() {
    members_come_and_go("group_classic", "session_timeout: 2s", 1);
}

#[test]
fn a_round_with_a_seed_of_the_task_runner_ends_as_all_others_do() {
    // In every other run of the tests nobody asks for it.
    let asked = std::env::var("KEYLANE_CHAOS_SEED").ok();
    let Some(seed) = asked.and_then(|text| text.parse::<u64>().ok()) else {
        return;
    };
    match seed % 2 {
        0 => members_come_and_go("group_round", "session_timeout: 2s", seed),
        _ => members_come_and_go("group_round", "protocol: consumer", seed),
    }
}

#[test]
fn members_by_the_brokers_own_assignment_lose_double_and_reorder_nothing() {
    members_come_and_go("group_broker", "protocol: consumer", 2);
}

#[test]
fn what_stays_with_a_member_goes_on_while_the_group_waits_for_another_that_hangs() {
    if left_out() {
        return;
    }
    // The group agrees on nothing before the one that hangs answers, or is given up half a minute later.
    let mut group = Group::new("group_waits", "session_timeout: 30s");
    group.join();
    let before = group.fences();
    group.wait("the second to have a share", || {
        group.members[1].1.log().contains("taken over")
    });
    let now = group.fences();
    let moved = before.iter().zip(&now).filter(|(was, is)| was != is);
    let seconds: Vec<String> = moved.map(|(was, _)| was.0.clone()).collect();
    // The first keeps the children, the second has the parents: those wait for nothing of the first's.
    let parents = seconds
        .iter()
        .all(|partition| partition.contains("counters"));
    assert!(parents && !seconds.is_empty(), "{seconds:?}");
    group.members[0].1.halt();
    group.join();
    group.wait("the third to ask for a share", || {
        group.members[2].1.log().contains("applying")
    });
    let fences = group.fences();
    for _ in 0..3 {
        group.await_progress_of_each(&seconds, "progress of what stayed");
    }
    // The group waited through all of this: nothing was given to the third.
    assert_eq!(group.fences(), fences);
    group.members[0].1.go_on();
    group.end();
}

/// A first and a second member with names that stay, each with a share.
fn two_with_names(name: &'static str) -> Group {
    let mut group = Group::new(name, "session_timeout: 30s, instance_id: first");
    let second = group
        .loaded
        .elsewhere_with("apply", "instance_id: first", "instance_id: second");
    group.members.push((Some(second.0), second.1));
    group.wait("the second to have a share", || {
        group.members[1].1.log().contains("taken over")
    });
    group
}

#[test]
fn a_member_that_comes_back_under_its_name_finds_its_partitions_and_no_other_moves() {
    if left_out() {
        return;
    }
    let mut group = two_with_names("group_named");
    group.await_progress("by both");
    let before = group.fences();
    let (folder, second) = group.members.pop().expect("the second");
    second.kill9();
    let folder = folder.expect("a folder of its own");
    let second = group.loaded.again("apply", folder.path());
    group.members.push((Some(folder), second));
    group.wait("the second to have its share again", || {
        group.members[1].1.log().contains("taken over")
    });
    group.await_progress("by both again");
    // By parents that only the second has: it took them again, once; the first's were not touched.
    let now = group.fences();
    let moved = before.iter().zip(&now).filter(|(was, is)| was != is);
    for (was, is) in moved {
        assert!(
            was.0.contains("counters") && is.1 == was.1 + 1,
            "{was:?} {is:?}"
        );
    }
    assert_ne!(before, now);
    group.end();
}

#[test]
fn of_two_members_under_one_name_one_ends_with_a_clear_word_and_the_other_goes_on() {
    if left_out() {
        return;
    }
    let mut group = two_with_names("group_twins");
    group.join();
    let mut members = std::mem::take(&mut group.members);
    let mut ended = None;
    let one_ended = wait_until("a twin to end", PATIENCE, || {
        ended = [0, 2].into_iter().find(|twin| members[*twin].1.has_ended());
        Ok(ended.is_some())
    });
    assert!(
        one_ended.is_ok(),
        "{}{}",
        members[0].1.log(),
        members[2].1.log()
    );
    let (_folder, mut twin) = members.remove(ended.expect("one of them"));
    group.members = members;
    assert_eq!(twin.await_end(), Some(1), "{}", twin.log());
    let log = twin.log();
    assert!(
        log.contains("KL-CONSUME-002")
            && log.contains("another process has joined as instance first"),
        "{log}"
    );
    group.await_progress("by the others");
    group.end();
}
