//! Processes that are killed and halted while hundreds of sagas are under way, against participants that fail and lose answers. Who counts asks the effects, not the orchestrator.

use std::collections::HashMap;
use std::time::Duration;

use keylane_core::saga::{Listed, Operation, State, StepStatus};
use keylane_parts::{Postgres, PostgresVersion};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::bed::{Bed, wait};
use super::participants::Manners;

const SAGAS: usize = 300;
const KILLS: usize = 8;

fn seed() -> u64 {
    let given = std::env::var("KEYLANE_SEED")
        .ok()
        .and_then(|it| it.parse().ok());
    given.unwrap_or_else(|| u64::from(std::process::id()))
}

/// Everybody fails now and then, and loses answers after it has done what it was asked.
fn hard_times(bed: &Bed) {
    let shaky = Manners {
        refuses: 5,
        loses_answers: 10,
        waits: Some(Duration::from_millis(5)),
        ..Manners::default()
    };
    bed.participants.behaves(
        "stock",
        Manners {
            says_no: 10,
            ..shaky
        },
    );
    bed.participants.behaves(
        "seats",
        Manners {
            says_no: 10,
            ..shaky
        },
    );
    bed.participants.behaves(
        "money",
        Manners {
            says_no: 10,
            ..shaky
        },
    );
    bed.participants.behaves("post", shaky);
}

/// A completed saga had each of its effects once, a compensated one none that was not undone; also after every command has come once more.
fn assert_exact(bed: &Bed, sagas: usize, told: &str) {
    check(bed, sagas, told);
    bed.participants.replay_all();
    check(bed, sagas, &format!("{told}, replayed"));
}

fn check(bed: &Bed, sagas: usize, told: &str) {
    let all: Vec<Listed> = bed.list(&[State::Completed, State::Compensated]);
    assert_eq!(all.len(), sagas, "{told}");
    let effects = bed.participants.effects();
    let mut left: HashMap<_, _> = effects.clone();
    for saga in &all {
        let shown = bed.runtime.block_on(bed.desk.show(&saga.id)).expect("read");
        let shown = shown.expect("it is kept");
        let plan = bed.plans.of_hash(shown.saga.hash).expect("it is kept");
        for (step, row) in plan.definition().steps.iter().zip(&shown.saga.steps) {
            let key = (saga.id.clone(), step.id.clone());
            let (done, undone) = left.remove(&key).unwrap_or((0, 0));
            let why = format!(
                "{told}: {} {} is {:?}, {done} times done, {undone} undone",
                saga.id, step.id, row.status
            );
            match (saga.state, row.status) {
                (State::Completed, StepStatus::Skipped) => {
                    assert_eq!((done, undone), (0, 0), "{why}")
                }
                (State::Completed, _) => assert_eq!((done, undone), (1, 0), "{why}"),
                _ => {
                    assert!(done <= 1, "{why}");
                    assert_eq!(done, undone, "{why}");
                }
            }
        }
    }
    assert!(left.is_empty(), "{told}: effects of nobody: {left:?}");
    let count = |state| all.iter().filter(|it| it.state == state).count();
    let (completed, compensated) = (count(State::Completed), count(State::Compensated));
    eprintln!(
        "{told}: {completed} completed, {compensated} compensated, {} commands",
        bed.participants.commands()
    );
    assert!(completed > 0 && compensated > 0, "{told}: both ends occur");
}

/// Somebody gives up some of them midway.
fn cancel_some(bed: &Bed, chance: &mut SmallRng) {
    let open = bed.list(&[]);
    for saga in open.iter().filter(|_| chance.random_range(0..100) < 4) {
        let asked = bed.by.ask(
            saga.id.clone(),
            Operation::RollBack,
            "a test".into(),
            "it may happen".into(),
        );
        // It may have ended, or be past the way back.
        let _ = bed.runtime.block_on(asked);
    }
}

fn killed_at_random(bed: &Bed, told: &str) {
    let seed = seed();
    let told = format!("{told}, seed {seed}");
    let mut chance = SmallRng::seed_from_u64(seed);
    hard_times(bed);
    let mut serving = Some(bed.serve());
    for kill in 0..KILLS {
        let from = kill * SAGAS / KILLS;
        bed.begin((from..(kill + 1) * SAGAS / KILLS).map(|number| format!("trip-{number}")));
        cancel_some(bed, &mut chance);
        std::thread::sleep(Duration::from_millis(chance.random_range(100..900)));
        if let Some(running) = serving.take() {
            running.kill9();
        }
        serving = Some(bed.serve());
    }
    wait("all sagas to end", || bed.list(&[]).is_empty());
    if let Some(running) = serving.take() {
        running.terminate();
    }
    assert_exact(bed, SAGAS, &told);
}

#[test]
fn effects_are_exact_after_kills_at_random_with_sagas_in_postgresql() {
    if let Some(bed) = Bed::postgres(seed(), "sagas_killed") {
        killed_at_random(&bed, "PostgreSQL");
    }
}

#[test]
fn effects_are_exact_after_kills_at_random_with_sagas_in_sqlite() {
    killed_at_random(&Bed::sqlite(seed()), "SQLite");
}

/// What a metric of a process says.
fn metric(place: &str, name: &str) -> u64 {
    let text = crate::http::answer(place, "/metrics").body;
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    value.unwrap_or_default() as u64
}

#[test]
fn a_process_that_hangs_past_its_lease_and_wakes_writes_nothing_of_what_is_another_s() {
    let Some(bed) = Bed::postgres(seed(), "sagas_halted") else {
        return;
    };
    hard_times(&bed);
    // Answers come while it hangs.
    let slow = Manners {
        waits: Some(Duration::from_millis(300)),
        says_no: 20,
        ..Manners::default()
    };
    bed.participants.behaves("stock", slow);
    let first = bed.serve();
    let place = bed.address(&first);
    wait("the first to have every shard", || {
        metric(&place, "keylane_saga_shards") == 16
    });
    bed.begin((0..SAGAS).map(|number| format!("trip-{number}")));
    wait("commands to be on their way", || {
        metric(&place, "keylane_saga_commands_in_flight") > 4
    });
    first.halt();
    let second = bed.serve();
    let other = bed.address(&second);
    wait("the second to have every shard", || {
        metric(&other, "keylane_saga_shards") == 16
    });
    first.go_on();
    wait("the first to find that it is fenced", || {
        metric(&place, "keylane_saga_decisions_fenced_total") > 0
    });
    wait("all sagas to end", || bed.list(&[]).is_empty());
    first.terminate();
    second.terminate();
    assert_exact(&bed, SAGAS, "halted");
}

#[test]
fn a_database_that_dies_midway_is_waited_for_and_nothing_is_lost_or_done_twice() {
    const EACH: usize = 60;
    const DEATHS: usize = 3;
    if keylane_parts::quick() {
        eprintln!("left out: needs PostgreSQL");
        return;
    }
    let mut server = Postgres::start(PostgresVersion::V15).expect("PostgreSQL starts");
    server.create_database("sagas").expect("a database");
    let bed = Bed::at(seed(), server.url("sagas"));
    hard_times(&bed);
    let serving = bed.serve();
    let place = bed.address(&serving);
    let readiness = || crate::http::answer(&place, "/readyz").code;
    for death in 0..DEATHS {
        let decisions = || metric(&place, "keylane_saga_decisions_total");
        let before = decisions();
        bed.begin((death * EACH..(death + 1) * EACH).map(|number| format!("trip-{number}")));
        wait("some decisions", || decisions() > before + 20);
        server.kill9().expect("killed");
        wait("it to be told", || readiness() == 503);
        server.restart().expect("it recovers");
        wait("it to go on", || readiness() == 200);
    }
    wait("all sagas to end", || bed.list(&[]).is_empty());
    serving.terminate();
    assert_exact(&bed, DEATHS * EACH, "the database died");
}
