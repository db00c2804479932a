//! `sim`: the simulator, in release mode, over many seeds.

use crate::report::{Outcome, TaskResult};
use crate::steps::{cargo, succeeds};
use std::path::Path;
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct SimArguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed; a failure prints the one that shows it
    #[arg(long)]
    seed: Option<u64>,
    /// Only this simulation, or this variant of it: NAME or NAME/VARIANT
    #[arg(long)]
    only: Option<String>,
}

/// The simulator with these `arguments`, built in release mode.
pub(crate) fn command(root: &Path, arguments: &[&str]) -> Command {
    let run = ["run", "--quiet", "--release", "-p", "keylane-sim", "--"];
    let mut sim = cargo(root, &run);
    sim.args(arguments);
    sim
}

pub(crate) fn run(root: &Path, arguments: &SimArguments) -> TaskResult {
    if !is_there(root) {
        return Err("keylane-sim has no binary to run".into());
    }
    let mut sim = command(root, &["--seeds", &arguments.seeds.to_string()]);
    if let Some(seed) = arguments.seed {
        sim.args(["--seed", &seed.to_string()]);
    }
    if let Some(only) = &arguments.only {
        sim.args(["--only", only]);
    }
    Ok(Outcome::from(succeeds(&mut sim)?))
}

/// Whether the simulator can be run.
pub(crate) fn is_there(root: &Path) -> bool {
    root.join("keylane-sim/src/main.rs").is_file()
}
