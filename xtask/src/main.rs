//! The only task runner of this repository: `cargo xtask TASK`.
//!
//! Progress goes to stderr, results to stdout. Exit status 0 means that everything asked for holds.

mod bench;
mod chaos;
mod dev;
mod man;
mod report;
mod sim;
mod steps;
mod summary;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use report::Outcome;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The tasks of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Format, lints, house rules and every test; starts the real parts that tests need
    Test(test::TestArguments),
    /// Start one Kafka and two PostgreSQL in the background and print how to reach them as `export` lines
    Up,
    /// Stop what `up` started and remove its data
    Down,
    /// Check the house rules that no other tool checks
    Tidy,
    /// Run the simulator over many seeds
    Sim(sim::SimArguments),
    /// Run the road on real parts for a while, killing every part again and again, with a new seed each round
    Chaos(chaos::ChaosArguments),
    /// Write the manual pages of every command
    Man(man::ManArguments),
    /// Measure on real parts, in release mode
    Bench(bench::BenchArguments),
}

fn main() -> ExitCode {
    let task = Arguments::parse().task;
    let root = repository_root();
    let outcome = match task {
        Task::Test(arguments) => test::run(&root, &arguments),
        Task::Up => dev::up(&root),
        Task::Down => dev::down(&root),
        Task::Tidy => tidy::run(&root),
        Task::Sim(arguments) => sim::run(&root, &arguments),
        Task::Chaos(arguments) => chaos::run(&root, &arguments),
        Task::Man(arguments) => man::run(&root, &arguments),
        Task::Bench(arguments) => bench::run(&root, &arguments),
    };
    match outcome {
        Ok(Outcome::Holds) => ExitCode::SUCCESS,
        Ok(Outcome::Fails) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn repository_root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map_or(own.clone(), PathBuf::from)
}
