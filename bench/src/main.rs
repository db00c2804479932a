//! Benchmarks on real parts: each starts its own Kafka and PostgreSQL, measures, prints conditions and figures, and writes them as JSON.
//!
//! Run by `cargo xtask bench NAME [--peer debezium]`. What is measured, and how, is in docs/guides/benchmarks.md.

mod apply;
mod bare;
mod bed;
mod capture;
mod concurrency;
mod consume;
mod fault;
mod idempotence;
mod lanes;
mod latency;
mod load;
mod machine;
mod memory;
mod parallel_consumer;
mod peer;
mod reconcile;
mod report;
mod road;
mod running;
mod saga;
mod topic;

use clap::{Parser, Subcommand, ValueEnum};
use report::{Report, Result};
use std::path::PathBuf;
use std::process::ExitCode;

/// As in the `keylane` command, for the library's consumer and for the raw loop beside it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[expect(
    unsafe_code,
    reason = "the name by which jemalloc finds its settings; nothing else has it"
)]
#[unsafe(export_name = "malloc_conf")]
static ALLOCATOR_SETTINGS: &[u8; 46] = b"narenas:2,dirty_decay_ms:200,muzzy_decay_ms:0\0";

#[derive(Parser)]
#[command(about = "Benchmarks of Keylane on real parts")]
struct Arguments {
    /// The keylane program to measure
    #[arg(long, default_value = "target/release/keylane", global = true)]
    keylane: PathBuf,
    /// Where the JSON goes
    #[arg(long, default_value = "bench/results", global = true)]
    results: PathBuf,
    #[command(flatten)]
    sizes: Sizes,
    #[command(subcommand)]
    bench: Bench,
}

/// How much of it; each benchmark has its own defaults.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Sizes {
    /// Measured beside Keylane, on the same parts
    #[arg(long, value_enum, global = true)]
    peer: Option<Peer>,
    /// Changes to carry
    #[arg(long, global = true)]
    changes: Option<u64>,
    /// Rows that are copied, in `memory`: the larger number; the smaller is a hundredth. In `saga` how many wait
    #[arg(long, global = true)]
    rows: Option<u64>,
    /// Changes per second, where the load has a fixed rate
    #[arg(long, global = true)]
    rate: Option<u64>,
    /// How long a load with a fixed rate lasts
    #[arg(long, global = true)]
    seconds: Option<u64>,
    /// How often to repeat
    #[arg(long, global = true)]
    rounds: Option<u64>,
    /// Threads that apply
    #[arg(long, global = true, default_value_t = 4)]
    threads: u64,
    /// What readers of the replica may rely on
    #[arg(long, value_enum, global = true, default_value_t = Consistency::Key)]
    consistency: Consistency,
    /// Every cell of `consume`, not the short list
    #[arg(long, global = true)]
    matrix: bool,
    /// Sagas that have not ended, at a time
    #[arg(long, global = true)]
    in_flight: Option<u64>,
    /// Of the matrix, or of the sagas, only cells whose names contain this, such as live_zipf_ or _10_ms_ or kafka_empty
    #[arg(long, global = true)]
    only: Option<String>,
}

/// As `apply.consistency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Consistency {
    Key,
    Transaction,
}

impl std::fmt::Display for Consistency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Consistency::Key => "key",
            Consistency::Transaction => "transaction",
        })
    }
}

/// What Keylane is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Debezium's PostgreSQL source and JDBC sink on Kafka Connect
    Debezium,
    /// Confluent's Parallel Consumer, in `consume`
    ParallelConsumer,
    /// reladiff, in `reconcile`
    Reladiff,
    /// DBOS Transact, in `saga`
    Dbos,
}

#[derive(Clone, Subcommand)]
enum Bench {
    /// A slot's backlog into Kafka, against reading it to nowhere
    Capture,
    /// A topic's backlog into PostgreSQL, against the same batches from a bare client
    Apply,
    /// Commit to commit over the whole road at fixed rates
    Latency,
    /// What the whole road holds in memory, with 10,000 and with a hundred times as many rows
    Memory,
    /// A backlog over the whole road: throughput, memory, processor time
    Road,
    /// kill -9 three times under a steady load, effects counted by an audit on the replica
    Fault,
    /// The idempotent producer, on against off
    Idempotence,
    /// The consumer for any handler, against a raw client's loop and what cannot be beaten
    Consume,
    /// The consumer's rate with 1 to 64 handlers of 5 ms at once
    Concurrency,
    /// Apply with 2,048 lanes a partition against 64
    Lanes,
    /// Two tables compared, against checksums in the databases and copies of both to nowhere
    Reconcile,
    /// Orchestrated sagas over HTTP and Kafka: the most in a second, how long one takes at half of it, and what waiting ones cost
    Saga,
    /// The participants of the sagas that `saga` measures
    #[command(hide = true)]
    SagaParticipant(saga::Task),
    /// One consumer that `consume` measures
    #[command(hide = true)]
    ConsumeMember(consume::Task),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Bench::ConsumeMember(task) = &arguments.bench {
        return consume::member::run(task);
    }
    if let Bench::SagaParticipant(task) = &arguments.bench {
        return saga::participant::run(task);
    }
    let (keylane, sizes) = (arguments.keylane.canonicalize(), &arguments.sizes);
    let keylane = keylane.map_err(|error| {
        format!(
            "{}: {error}; build it with: cargo build --release",
            arguments.keylane.display()
        )
    })?;
    let own_peer = match arguments.bench {
        Bench::Consume => Peer::ParallelConsumer,
        Bench::Reconcile => Peer::Reladiff,
        Bench::Saga => Peer::Dbos,
        _ => Peer::Debezium,
    };
    if sizes.peer.is_some_and(|peer| peer != own_peer) {
        return Err("this peer does something else than is measured here".into());
    }
    let mut report = Report::new(match arguments.bench {
        Bench::Capture => "capture",
        Bench::Apply => "apply",
        Bench::Latency => "latency",
        Bench::Memory => "memory",
        Bench::Road => "road",
        Bench::Fault => "fault",
        Bench::Idempotence => "idempotence",
        Bench::Consume | Bench::ConsumeMember(_) => "consume",
        Bench::Concurrency => "concurrency",
        Bench::Lanes => "lanes",
        Bench::Reconcile => "reconcile",
        Bench::Saga | Bench::SagaParticipant(_) => "saga",
    });
    match &arguments.bench {
        Bench::Capture => capture::run(&keylane, sizes, &mut report),
        Bench::Apply => apply::run(&keylane, sizes, &mut report),
        Bench::Latency => latency::run(&keylane, sizes, &mut report),
        Bench::Memory => memory::run(&keylane, sizes, &mut report),
        Bench::Road => road::run(&keylane, sizes, &mut report),
        Bench::Fault => fault::run(&keylane, sizes, &mut report),
        Bench::Idempotence => idempotence::run(sizes, &mut report),
        Bench::Consume => consume::run(sizes, &mut report),
        Bench::Concurrency => concurrency::run(sizes, &mut report),
        Bench::Lanes => lanes::run(&keylane, sizes, &mut report),
        Bench::Reconcile => reconcile::run(&keylane, sizes, &mut report),
        Bench::Saga => saga::run(&keylane, sizes, &mut report),
        Bench::ConsumeMember(task) => consume::member::run(task),
        Bench::SagaParticipant(task) => saga::participant::run(task),
    }?;
    report.finish(&arguments.results)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_allocator_is_set_as_in_the_command_that_is_measured() {
        let command = include_str!("../../keylane-server/src/main.rs");
        let own = super::ALLOCATOR_SETTINGS
            .trim_ascii_end()
            .strip_suffix(b"\0");
        let own = std::str::from_utf8(own.unwrap_or_default()).unwrap_or_default();
        assert!(!own.is_empty() && command.contains(own), "{own}");
    }
}
