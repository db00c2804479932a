//! `bench`: benchmarks on real parts, in release mode.

use crate::report::{Outcome, TaskResult};
use crate::steps::{cargo, succeeds, target};
use std::path::Path;
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct BenchArguments {
    /// capture, apply, latency, memory, road, fault, idempotence, consume, concurrency, lanes, reconcile or saga
    name: String,
    /// Measured beside Keylane, on the same parts: debezium, parallel-consumer, reladiff or dbos
    #[arg(long)]
    peer: Option<String>,
    /// Further words for the benchmark, such as --changes N
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(root: &Path, arguments: &BenchArguments) -> TaskResult {
    let build = [
        "build",
        "--release",
        "-p",
        "keylane-server",
        "-p",
        "keylane-bench",
    ];
    if !succeeds(&mut cargo(root, &build))? {
        return Ok(Outcome::Fails);
    }
    let target = target(root);
    let mut bench = Command::new(target.join("release/keylane-bench"));
    bench.current_dir(root).arg(&arguments.name);
    bench.arg("--keylane").arg(target.join("release/keylane"));
    if let Some(peer) = &arguments.peer {
        bench.args(["--peer", peer]);
    }
    bench.args(&arguments.rest);
    Ok(Outcome::from(succeeds(&mut bench)?))
}
