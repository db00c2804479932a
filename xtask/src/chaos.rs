//! `chaos`: the road on real parts under kill -9 of every part, round after round, each with a seed of its own, until the time is over.

use crate::report::{Outcome, TaskResult};
use crate::steps::{cargo, succeeds, target};
use keylane_parts::{Tool, ensure_installed};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The tests of one round: every part is killed; appliers come, go, die and hang.
const ROUND: [&str; 2] = [
    "chaos::round::a_round_with_a_seed_of_the_task_runner_ends_as_all_others_do",
    "group::a_round_with_a_seed_of_the_task_runner_ends_as_all_others_do",
];
const BUILD: [&str; 5] = ["test", "-p", "keylane-server", "--test", "main"];
/// How much of a failed round's output is shown.
const SHOWN_LINES: usize = 120;

#[derive(clap::Args)]
pub(crate) struct ChaosArguments {
    /// How long; the round that runs when the time is over is finished
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The first round's seed, each further one's is one more; by default drawn from the clock
    #[arg(long)]
    seed: Option<u64>,
    /// Partitions of each topic
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// Kills of each round, and moves of its group
    #[arg(long, default_value_t = 12)]
    kills: u32,
}

pub(crate) fn run(root: &Path, arguments: &ChaosArguments) -> TaskResult {
    ensure_installed(&[Tool::Java, Tool::Maven, Tool::Postgres, Tool::Kcat])?;
    if !succeeds(cargo(root, &BUILD).arg("--no-run"))? {
        return Ok(Outcome::Fails);
    }
    let logs = target(root).join("chaos");
    std::fs::create_dir_all(&logs)?;
    let until = Instant::now() + Duration::from_secs(arguments.minutes * 60);
    let mut seed = match arguments.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    let mut kills: BTreeMap<String, u64> = BTreeMap::new();
    for round in 1.. {
        println!("chaos: round {round}, seed {seed}");
        let log = logs.join(format!("{seed}.log"));
        if !one_round(root, arguments, seed, &log, &mut kills)? {
            tell_failure(seed, arguments, &log)?;
            println!("{}", sum(round, &kills));
            return Ok(Outcome::Fails);
        }
        if Instant::now() >= until {
            println!("{}", sum(round, &kills));
            break;
        }
        seed = seed.wrapping_add(1);
    }
    Ok(Outcome::Holds)
}

/// Whether the round held. Its output goes into `log`, its kills are counted.
fn one_round(
    root: &Path,
    arguments: &ChaosArguments,
    seed: u64,
    log: &Path,
    kills: &mut BTreeMap<String, u64>,
) -> Result<bool, Box<dyn std::error::Error>> {
    let mut round: Command = cargo(root, &BUILD);
    round
        .args(["--", "--exact", "--nocapture", "--test-threads=1"])
        .args(ROUND)
        .env("KEYLANE_CHAOS_SEED", seed.to_string())
        .env("KEYLANE_CHAOS_PARTITIONS", arguments.partitions.to_string())
        .env("KEYLANE_CHAOS_KILLS", arguments.kills.to_string())
        .env("KEYLANE_CHAOS_MOVES", arguments.kills.to_string())
        .env_remove("KEYLANE_TEST_QUICK")
        .stdin(Stdio::null());
    // Both streams into one file, in their order, and read from there as it grows.
    let (reader, writer) = std::io::pipe()?;
    round.stdout(writer.try_clone()?).stderr(writer);
    let mut running = round.spawn()?;
    // Its ends of the pipe must be the only ones, or it never closes.
    drop(round);
    let mut file = std::fs::File::create(log)?;
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(file, "{line}")?;
        if let Some(part) = killed(&line) {
            *kills.entry(part.to_owned()).or_default() += 1;
            eprintln!("  {line}");
        }
    }
    Ok(running.wait()?.success())
}

/// The part that a line of the round says is killed: `chaos: kill 3 of 12: Broker`; or what happens to the group: `group: move 3 of 12: hang`.
fn killed(line: &str) -> Option<&str> {
    let kill = line
        .split_once("chaos: kill ")
        .or(line.split_once("group: move "));
    let (_, part) = kill?.1.split_once(": ")?;
    Some(part.trim())
}

fn tell_failure(seed: u64, arguments: &ChaosArguments, log: &Path) -> std::io::Result<()> {
    let text = std::fs::read_to_string(log)?;
    let lines: Vec<&str> = text.lines().collect();
    let skip = lines.len().saturating_sub(SHOWN_LINES);
    for line in lines.iter().skip(skip) {
        eprintln!("{line}");
    }
    println!(
        "chaos: FAILED with seed {seed}; all it printed: {}; again: cargo xtask chaos --minutes 0 --seed {seed} --partitions {} --kills {}",
        log.display(),
        arguments.partitions,
        arguments.kills
    );
    Ok(())
}

fn sum(rounds: u64, kills: &BTreeMap<String, u64>) -> String {
    let all: u64 = kills.values().sum();
    let each: Vec<String> = kills
        .iter()
        .map(|(part, count)| format!("{part} {count}"))
        .collect();
    format!(
        "chaos: {rounds} rounds, {all} kills and moves ({})",
        each.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::{killed, sum};
    use std::collections::BTreeMap;

    #[test]
    fn kills_are_counted_by_part() {
        let lines = [
            "chaos: seed 7, 3 kills, 8 partitions",
            "chaos: kill 1 of 3: Capture",
            "chaos: kill 2 of 3: Broker",
            "chaos: kill 3 of 3: Capture",
            "group: move 1 of 3: hang",
            "test chaos::round::x ... ok",
        ];
        let mut kills: BTreeMap<String, u64> = BTreeMap::new();
        for part in lines.iter().filter_map(|line| killed(line)) {
            *kills.entry(part.to_owned()).or_default() += 1;
        }
        assert_eq!(
            sum(2, &kills),
            "chaos: 2 rounds, 4 kills and moves (Broker 1, Capture 2, hang 1)"
        );
    }
}
