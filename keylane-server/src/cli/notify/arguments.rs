//! The commands under `keylane notify`.

use std::path::Path;

use clap::{Args, Subcommand};

use super::{outbox, preview, test};
use crate::cli::{examples, load};
use crate::exit_code::{Exit, Failure};

/// The arguments of `keylane notify`.
#[derive(Debug, Args)]
pub struct NotifyArguments {
    #[command(subcommand)]
    command: NotifyCommand,
}

#[derive(Debug, Subcommand)]
enum NotifyCommand {
    /// Send a test message to a channel now, and say what it answered.
    #[command(after_help = examples::NOTIFY_TEST)]
    Test(test::TestArguments),
    /// Every kind of message as it would be sent; sends nothing. Needs no configuration.
    #[command(after_help = examples::NOTIFY_PREVIEW)]
    Preview(preview::PreviewArguments),
    /// Messages that wait, and such as were refused.
    Outbox(outbox::OutboxArguments),
    /// Send again what a channel refused.
    Retry(outbox::ResolveArguments),
    /// Drop what a channel refused.
    Discard(outbox::ResolveArguments),
}

/// Runs one of them. `config` is read where it is needed.
pub(in crate::cli) fn run(config: &Path, arguments: &NotifyArguments) -> Result<Exit, Failure> {
    match &arguments.command {
        NotifyCommand::Test(test) => test::run(&load(config)?, test),
        NotifyCommand::Preview(preview) => preview::run(config, preview),
        NotifyCommand::Outbox(outbox) => outbox::list(&load(config)?, outbox),
        NotifyCommand::Retry(resolve) => outbox::resolve(&load(config)?, resolve, false),
        NotifyCommand::Discard(resolve) => outbox::resolve(&load(config)?, resolve, true),
    }
}
