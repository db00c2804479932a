//! The runs: which faults, how many, on how many partitions.

use super::audit;
use super::check;
use super::harness::{Part, Road, RoadOptions};
use super::workload::Workload;

/// The audited tables and what tells their rows apart; the history has no key, and is told by account.
const AUDITED: [(&str, &str); 6] = [
    ("pgbench_accounts", "aid"),
    ("pgbench_branches", "bid"),
    ("pgbench_tellers", "tid"),
    ("pgbench_history", "aid"),
    ("counters", "id"),
    ("notes", "id"),
];

fn kills(default: usize) -> usize {
    std::env::var("KEYLANE_CHAOS_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// The run: copy under load, kills, drain, checks.
pub(super) fn chaos(options: RoadOptions, kills: usize) {
    if keylane_parts::quick() {
        eprintln!("left out: needs Kafka and PostgreSQL");
        return;
    }
    let seed = options.seed;
    eprintln!(
        "chaos: seed {seed}, {kills} kills, {} partitions",
        options.partitions
    );
    let mut road = Road::start(options);
    let workload = Workload::start(&road);
    road.start_capture();
    road.start_apply();
    road.await_copied();
    // A chunk of the copy may be written twice: the audit begins behind it, at a moment when both sides are the same.
    workload.stop(&mut road);
    road.settle();
    audit::begin(&road.origin_asked(), &road.replica_asked(), &AUDITED);
    let workload = Workload::start(&road);
    let mut random = super::harness::Random::new(seed);
    for number in 1..=kills {
        let part = *random.pick(&[
            Part::Capture,
            Part::Apply,
            Part::Capture,
            Part::Apply,
            Part::Broker,
            Part::Origin,
            Part::Replica,
        ]);
        random.pause_ms(200, 1500);
        eprintln!("chaos: kill {number} of {kills}: {part:?}");
        road.kill9_and_restart(part);
        road.await_progress(&format!("after kill {number} ({part:?})"));
    }
    workload.stop(&mut road);
    road.settle();
    check::equal(&road);
    audit::same_stories(&road.origin_asked(), &road.replica_asked(), &|| {
        format!("seed {seed}\n{}", road.logs())
    });
    check::one_by_one(&road);
    check::notes_come_and_go_once(&road);
    check::no_position_twice(&road.kafka.bootstrap(), "chaos.public.");
    road.stop();
}

#[test]
fn every_change_takes_effect_once_on_8_partitions_under_kill_nine_of_every_part() {
    chaos(
        RoadOptions {
            partitions: 8,
            fold: false,
            seed: 8,
            ..RoadOptions::default()
        },
        kills(32),
    );
}

#[test]
fn every_change_takes_effect_once_on_1_partition_under_kill_nine_of_every_part() {
    chaos(
        RoadOptions {
            partitions: 1,
            fold: false,
            seed: 1,
            ..RoadOptions::default()
        },
        kills(10),
    );
}
