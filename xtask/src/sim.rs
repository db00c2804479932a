//! `sim`: the simulator, in release mode, over many seeds.

use crate::report::{Outcome, TaskResult};
use crate::steps::{cargo, succeeds};
use std::path::Path;

#[derive(clap::Args)]
pub(crate) struct SimArguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed; a failure prints the one that shows it
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn run(root: &Path, arguments: &SimArguments) -> TaskResult {
    if !is_there(root) {
        return Err("keylane-sim has no binary to run".into());
    }
    let mut sim = cargo(
        root,
        &["run", "--quiet", "--release", "-p", "keylane-sim", "--"],
    );
    sim.args(["--seeds", &arguments.seeds.to_string()]);
    if let Some(seed) = arguments.seed {
        sim.args(["--seed", &seed.to_string()]);
    }
    Ok(Outcome::from(succeeds(&mut sim)?))
}

/// Whether the simulator can be run.
pub(crate) fn is_there(root: &Path) -> bool {
    root.join("keylane-sim/src/main.rs").is_file()
}
