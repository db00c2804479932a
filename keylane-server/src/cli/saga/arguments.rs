//! The commands under `keylane saga`.

use std::path::Path;

use clap::{Args, Subcommand};

use super::{act, check, demo, list, serve, show, start};
use crate::cli::{examples, load};
use crate::exit_code::{Exit, Failure};

/// The arguments of `keylane saga`.
#[derive(Debug, Args)]
pub struct SagaArguments {
    #[command(subcommand)]
    command: SagaCommand,
}

#[derive(Debug, Subcommand)]
enum SagaCommand {
    /// Read definitions or choreographies and tell every mistake with its place, or the order in which the steps go. Asks nobody, needs no configuration.
    #[command(after_help = examples::SAGA_CHECK)]
    Check(check::CheckArguments),
    /// Drive sagas, and follow choreographed ones, until told to stop (SIGTERM takes in what is on its way), and serve them over HTTP. Several processes share the sagas.
    #[command(after_help = examples::SAGA_SERVE)]
    Serve,
    /// See both styles of sagas on one laptop, with nothing installed: trips over three services, killed midway; then the proof that seats, rooms and money add up.
    #[command(after_help = examples::SAGA_DEMO)]
    Demo(demo::DemoArguments),
    /// Begin a saga.
    #[command(after_help = examples::SAGA_START)]
    Start(start::StartArguments),
    /// Which sagas there are and where they stand, the youngest first; also while nobody drives them.
    #[command(after_help = examples::SAGA_LIST)]
    List(list::ListArguments),
    /// All of one saga: its steps, what is expected next, its timeline.
    #[command(after_help = examples::SAGA_SHOW)]
    Show(show::ShowArguments),
    /// Send again now what is out, of one step or of all.
    #[command(after_help = examples::SAGA_ACT)]
    Retry(act::ActArguments),
    /// Roll back. A pivot that is out is fenced first; refused once there is no way back.
    #[command(after_help = examples::SAGA_ACT)]
    Cancel(act::ActArguments),
    /// Go on without a step. One that is out is fenced first, and counts as done if it turns out to be.
    #[command(after_help = examples::SAGA_ACT)]
    Skip(act::ActArguments),
    /// Count a step as done by hand, behind a fence.
    #[command(after_help = examples::SAGA_ACT)]
    Complete(act::ActArguments),
    /// A step failed: roll back.
    #[command(after_help = examples::SAGA_ACT)]
    Fail(act::ActArguments),
    /// Undo what was done: roll back. The services of a choreographed saga are told that it is aborted.
    #[command(after_help = examples::SAGA_ACT)]
    Compensate(act::ActArguments),
    /// Count an undo as made by hand. One that is under way is not stopped by this.
    #[command(after_help = examples::SAGA_ACT)]
    MarkCompensated(act::ActArguments),
}

/// Runs one of them.
pub(in crate::cli) fn run(
    config: &Path,
    arguments: &SagaArguments,
    quiet: bool,
    colors: (bool, bool),
) -> Result<Exit, Failure> {
    let act = |verb, asked| act::run(&load(config)?, verb, asked);
    match &arguments.command {
        SagaCommand::Check(check) => Ok(check::run(check, quiet)),
        SagaCommand::Serve => serve::run(&load(config)?),
        SagaCommand::Demo(demo) => demo::run(demo, quiet, colors),
        SagaCommand::Start(start) => start::run(&load(config)?, start),
        SagaCommand::List(list) => list::run(&load(config)?, list),
        SagaCommand::Show(show) => show::run(&load(config)?, show),
        SagaCommand::Retry(asked) => act("retry", asked),
        SagaCommand::Cancel(asked) => act("cancel", asked),
        SagaCommand::Skip(asked) => act("skip", asked),
        SagaCommand::Complete(asked) => act("complete", asked),
        SagaCommand::Fail(asked) => act("fail", asked),
        SagaCommand::Compensate(asked) => act("compensate", asked),
        SagaCommand::MarkCompensated(asked) => act("mark-compensated", asked),
    }
}
