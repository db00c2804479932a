//! The commands, one file each.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::Config;
use crate::exit_code::{Exit, Failure};

mod run;

/// Row changes from an origin database to a replica, over Kafka or an embedded log: each key in order, each change taking effect exactly once.
#[derive(Debug, Parser)]
#[command(name = "keylane", version, max_term_width = 120)]
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
    /// Run the pipelines of the configuration until told to stop (SIGTERM drains).
    Run(run::RunArguments),
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
    crate::logging::start(arguments.verbose, arguments.quiet, arguments.color);
    match dispatch(arguments) {
        Ok(exit) => exit.code(),
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            failure.exit.code()
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Run(run) => run::run(&load(&arguments.config)?, &run),
    }
}

/// The configuration, or what is wrong with it.
fn load(path: &std::path::Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// A runtime for one command.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Error, format!("cannot start threads: {error}")))
}
