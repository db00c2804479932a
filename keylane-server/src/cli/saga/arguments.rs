//! The commands under `keylane saga`.

use clap::{Args, Subcommand};

use super::check;
use crate::cli::examples;
use crate::exit_code::Exit;

/// The arguments of `keylane saga`.
#[derive(Debug, Args)]
pub struct SagaArguments {
    #[command(subcommand)]
    command: SagaCommand,
}

#[derive(Debug, Subcommand)]
enum SagaCommand {
    /// Read definitions and tell every mistake with its place, or the order in which the steps go. Asks nobody, needs no configuration.
    #[command(after_help = examples::SAGA_CHECK)]
    Check(check::CheckArguments),
}

/// Runs one of them.
pub(in crate::cli) fn run(arguments: &SagaArguments, quiet: bool) -> Exit {
    match &arguments.command {
        SagaCommand::Check(check) => check::run(check, quiet),
    }
}
