//! One round of `cargo xtask chaos`, which says by variables what it is to be.

use super::harness::RoadOptions;
use super::runs::chaos;

/// Kills of a round: enough to hit each part, few enough that a new seed comes soon.
const KILLS: usize = 12;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_round_with_a_seed_of_the_task_runner_ends_as_all_others_do() {
    // In every other run of the tests nobody asks for it.
    let Some(seed) = variable("KEYLANE_CHAOS_SEED") else {
        return;
    };
    let partitions = variable("KEYLANE_CHAOS_PARTITIONS").and_then(|number| number.try_into().ok());
    let kills = variable("KEYLANE_CHAOS_KILLS").and_then(|number| number.try_into().ok());
    let options = RoadOptions {
        partitions: partitions.unwrap_or(8),
        seed,
        ..RoadOptions::default()
    };
    chaos(options, kills.unwrap_or(KILLS));
}
