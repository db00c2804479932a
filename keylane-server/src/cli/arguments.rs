//! The command line: its arguments, which command they mean, and what every command shares.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use super::{
    check, completions, consume, demo, examples, init, notify, parked, reconcile, run, saga,
    settle, status, threads, topics, trace,
};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};

/// What questions that nobody waits for any more are given to end.
const LEFT_OVER_MAX: Duration = Duration::from_millis(500);

/// Row changes from an origin database to a replica, over Kafka or an embedded log: each key in order, each change taking effect exactly once.
#[derive(Debug, Parser)]
#[command(name = "keylane", version, max_term_width = 120, after_help = examples::KEYLANE)]
pub struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        env = "KEYLANE_CONFIG",
        default_value = "keylane.yaml",
        value_name = "FILE"
    )]
    config: PathBuf,
    /// More log lines; twice for all.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Only errors.
    #[arg(long, global = true)]
    quiet: bool,
    /// Colours.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
    #[command(subcommand)]
    command: Command,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether what goes to such a stream is coloured.
    pub(super) fn is_on(self, on_terminal: bool) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => on_terminal && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}

/// How findings and state are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts: one object on stdout.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See the whole road work, with its own processes killed midway, and the proof. Needs nothing installed.
    #[command(after_help = examples::DEMO)]
    Demo(demo::DemoArguments),
    /// Write a configuration out of what the origin holds.
    #[command(after_help = examples::INIT)]
    Init(init::InitArguments),
    /// Everything that must be right before `run`, each with what mends it.
    #[command(after_help = examples::CHECK)]
    Check(check::CheckArguments),
    /// Run the pipelines of the configuration until told to stop (SIGTERM drains).
    #[command(after_help = examples::RUN)]
    Run(run::RunArguments),
    /// How each pipeline does, the worst first; also while nothing runs.
    #[command(after_help = examples::STATUS)]
    Status(status::StatusArguments),
    /// Wait until everything committed at the origin before the call is applied at the replica.
    #[command(after_help = examples::SETTLE)]
    Settle(settle::SettleArguments),
    /// What could not be applied, and what to do about it.
    #[command(after_help = examples::PARKED)]
    Parked(parked::ParkedArguments),
    /// How many threads apply a pipeline: tell it, or set it while the pipeline runs.
    #[command(after_help = examples::THREADS)]
    Threads(threads::ThreadsArguments),
    /// Compare origin and replica row by row, under live traffic, and see what differs and how it is proved. Also for any two databases.
    #[command(after_help = examples::RECONCILE)]
    Reconcile(Box<reconcile::ReconcileArguments>),
    /// One row's whole way: what the origin has, its records in the log, how far its lane is, what the replica has, what the last comparison said.
    #[command(after_help = examples::TRACE)]
    Trace(trace::TraceArguments),
    /// Messages to Slack and webhooks: try a channel, see what they look like, see what was not told.
    #[command(after_help = examples::NOTIFY)]
    Notify(notify::NotifyArguments),
    /// Hand a topic's records, in key order, to a command or an HTTP endpoint. Needs no configuration.
    #[command(after_help = examples::CONSUME)]
    Consume(Box<consume::ConsumeArguments>),
    /// Topics: plan them out of the origin's tables, find what is wrong with a cluster's, change what is safe.
    #[command(after_help = examples::TOPICS)]
    Topics(topics::TopicsArguments),
    /// Sagas: transactions that span services. Check definitions, drive sagas, see where they stand, help those that are stuck.
    #[command(after_help = examples::SAGA)]
    Saga(Box<saga::SagaArguments>),
    /// Print the completion script of a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(completions::CompletionsArguments),
}

/// Parses the command line, runs the command, prints what went wrong. Returns the exit code.
pub fn main() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; clap prints each where it belongs.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return code;
        }
    };
    // The demo tells what happens by itself; its workers' logs are in its folder.
    let tells_itself = matches!(arguments.command, Command::Demo(_)) && arguments.verbose == 0;
    let quiet = arguments.quiet || tells_itself;
    crate::logging::start(arguments.verbose, quiet, arguments.color);
    match dispatch(arguments) {
        Ok(exit) => exit.code(),
        Err(failure) => {
            // Nobody may be reading: the code tells all the same.
            let _ = writeln!(std::io::stderr(), "error: {}", failure.message);
            failure.exit.code()
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<Exit, Failure> {
    let colors = (
        arguments.color.is_on(std::io::stdout().is_terminal()),
        arguments.color.is_on(std::io::stderr().is_terminal()),
    );
    match arguments.command {
        Command::Demo(demo) => demo::run(&demo, arguments.quiet, colors),
        Command::Init(init) => init::run(&arguments.config, &init),
        Command::Check(check) => check::run(&load(&arguments.config)?, &check, arguments.color),
        Command::Run(run) => run::run(&load(&arguments.config)?, &run),
        Command::Status(status) => status::run(&load(&arguments.config)?, &status, arguments.color),
        Command::Settle(settle) => settle::run(&load(&arguments.config)?, &settle),
        Command::Parked(parked) => parked::run(&load(&arguments.config)?, &parked),
        Command::Threads(threads) => threads::run(&load(&arguments.config)?, &threads),
        Command::Reconcile(reconcile) => {
            reconcile::run(&arguments.config, &reconcile, arguments.quiet)
        }
        Command::Trace(trace) => trace::run(&load(&arguments.config)?, &trace),
        Command::Notify(notify) => notify::run(&arguments.config, &notify),
        Command::Consume(consume) => consume::run(&consume),
        Command::Topics(topics) => topics::run(&arguments.config, &topics, arguments.color),
        Command::Saga(saga) => saga::run(&arguments.config, &saga, arguments.quiet, colors),
        Command::Completions(shell) => completions::run(&shell),
    }
}

/// Writes to stdout. A reader that has gone away is no error.
pub(super) fn print(bytes: &[u8]) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// The configuration, or what is wrong with it.
pub(super) fn load(path: &std::path::Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// A runtime for one command.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Error, format!("cannot start threads: {error}")))
}

/// Runs a command that looks or waits. What it asked and no longer waits for does not keep it: a question to a broker that is away takes long to fail.
pub(super) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = runtime()?;
    let end = runtime.block_on(command);
    runtime.shutdown_timeout(LEFT_OVER_MAX);
    end
}
