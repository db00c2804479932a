//! `keylane-sim`: runs the simulations over many seeds and says what failed, made small, and how to see it again.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use keylane_sim::{Expect, Simulation, Variant, all, first_failure, shrink};

/// How many times the seeds and the seconds of a sound variant a mutant is looked for.
const MUTANT_PATIENCE: u64 = 5;

#[derive(Parser)]
#[command(about = "Drives Keylane's mechanism with seeds and faults")]
struct Arguments {
    /// How many seeds each variant runs
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only this simulation, or this variant: NAME or NAME/VARIANT
    #[arg(long)]
    only: Option<String>,
    /// How many changes the origin makes
    #[arg(long)]
    size: Option<usize>,
    /// Stop each variant after so many seconds
    #[arg(long)]
    seconds: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut good = true;
    for simulation in all() {
        for variant in simulation.variants {
            if arguments.wants(&simulation, variant) {
                good &= run(&arguments, &simulation, variant);
            }
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Arguments {
    fn wants(&self, simulation: &Simulation, variant: &Variant) -> bool {
        self.only.as_ref().is_none_or(|only| {
            *only == simulation.name || *only == format!("{}/{}", simulation.name, variant.name)
        })
    }
}

fn run(arguments: &Arguments, simulation: &Simulation, variant: &Variant) -> bool {
    let began = Instant::now();
    // A mutant ends with the first seed that shows it, which may be a late one.
    let patience = match variant.expect {
        Expect::Holds => 1,
        Expect::Caught => MUTANT_PATIENCE,
    };
    let within = || {
        arguments
            .seconds
            .is_none_or(|seconds| began.elapsed() < Duration::from_secs(patience * seconds))
    };
    let size = arguments.size.unwrap_or(simulation.size);
    let seeds = arguments.seed..arguments.seed.saturating_add(patience * arguments.seeds);
    let report = first_failure(simulation, variant, seeds, size, within);
    let name = format!("{}/{}", simulation.name, variant.name);
    let waits = report.findings.waits;
    let share = 100.0 * waits.hits as f64 / waits.of.max(1) as f64;
    let line = format!(
        "{name:36} {:>8} seeds, {:>8} faults, {share:5.2} % waits, {:.1} s",
        report.seeds,
        report.findings.faults,
        began.elapsed().as_secs_f64()
    );
    match (variant.expect, report.failure) {
        (Expect::Holds, None) => println!("{line}: holds"),
        (Expect::Caught, Some((seed, failure))) => {
            println!("{line}: mutant caught by seed {seed}: {failure}");
        }
        (Expect::Caught, None) => {
            println!("{line}: MUTANT SURVIVED: the checkers are blind to it");
            return false;
        }
        (Expect::Holds, Some((seed, failure))) => {
            println!("{line}: FAILED");
            let small = shrink(simulation, variant, seed, size);
            let (seed, size, failure) = small.unwrap_or((seed, size, failure));
            println!("  seed {seed}, simulation {name}, size {size}, checker {failure}");
            println!(
                "  again: cargo xtask sim --seed {seed} --seeds 1 --only {name} --size {size}"
            );
            return false;
        }
    }
    true
}
