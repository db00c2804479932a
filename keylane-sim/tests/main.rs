//! Every sound variant holds and every mutant is caught, within a time budget.

use std::time::{Duration, Instant};

use keylane_sim::{Checker, Expect, Simulation, all, first_failure, shrink};

/// For each sound variant.
const SOUND: Duration = Duration::from_millis(1_500);
/// For each mutant; one that lives longer has fooled the checkers.
const MUTANT: Duration = Duration::from_secs(90);
/// Fewer seeds than this prove nothing, however slow the machine.
const SEEDS_MIN: u64 = 50;

fn simulation(name: &str) -> Simulation {
    all()
        .into_iter()
        .find(|simulation| simulation.name == name)
        .expect("the simulation is registered")
}

fn sound_variants_hold(name: &str) {
    let simulation = simulation(name);
    for variant in simulation.variants {
        if variant.expect != Expect::Holds {
            continue;
        }
        let (began, mut seeds) = (Instant::now(), 0);
        let go_on = || {
            seeds += 1;
            seeds <= SEEDS_MIN || began.elapsed() < SOUND
        };
        let report = first_failure(&simulation, variant, 0..u64::MAX, simulation.size, go_on);
        let failed = report.failure.map(|(seed, failure)| {
            let small = shrink(&simulation, variant, seed, simulation.size);
            let (seed, size, failure) = small.unwrap_or((seed, simulation.size, failure));
            let variant = variant.name;
            format!("{failure}\nagain: cargo xtask sim --seed {seed} --seeds 1 --only {name}/{variant} --size {size}")
        });
        assert_eq!(failed, None);
        println!("{name}/{}: {} seeds hold", variant.name, report.seeds);
    }
}

fn mutants_are_caught(name: &str) {
    let simulation = simulation(name);
    for variant in simulation.variants {
        if variant.expect != Expect::Caught {
            continue;
        }
        let began = Instant::now();
        let go_on = || began.elapsed() < MUTANT;
        let report = first_failure(&simulation, variant, 0..u64::MAX, simulation.size, go_on);
        let blind = format!("{name}/{} survived {} seeds", variant.name, report.seeds);
        let (seed, failure) = report.failure.expect(&blind);
        assert_ne!(failure.checker, Checker::Contract, "{failure}");
        println!("{name}/{}: seed {seed}: {failure}", variant.name);
    }
}

#[test]
fn parallel_apply_ends_equal_under_unique_and_foreign_keys() {
    sound_variants_hold("cross_lane");
}

#[test]
fn each_short_cut_of_parallel_apply_is_caught() {
    mutants_are_caught("cross_lane");
}

#[test]
fn each_position_enters_the_log_once() {
    sound_variants_hold("capture_epoch");
}

#[test]
fn each_short_cut_of_opening_a_capture_session_is_caught() {
    mutants_are_caught("capture_epoch");
}

#[test]
fn what_is_told_to_differ_does_and_mending_makes_nothing_worse() {
    sound_variants_hold("reconcile");
}

#[test]
fn each_short_cut_of_proof_and_mending_is_caught() {
    mutants_are_caught("reconcile");
}

#[test]
fn sagas_end_with_all_their_effects_or_none_and_stay_so() {
    sound_variants_hold("saga");
}

#[test]
fn each_short_cut_of_orchestrators_and_participants_is_caught() {
    mutants_are_caught("saga");
}

#[test]
fn the_whole_road_ends_equal_over_crashes_hangs_and_lost_replies() {
    sound_variants_hold("road");
}

#[test]
fn each_short_cut_of_the_road_is_caught() {
    mutants_are_caught("road");
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for simulation in all() {
        for variant in simulation.variants {
            for seed in 0..20 {
                let run = || (simulation.run)(seed, variant.name, simulation.size);
                assert_eq!(
                    run(),
                    run(),
                    "{}/{} seed {seed}",
                    simulation.name,
                    variant.name
                );
            }
        }
    }
}
