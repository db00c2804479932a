//! The commands under `keylane topics`.

use std::path::Path;

use clap::{Args, Subcommand};

use super::{apply, lint, plan};
use crate::cli::Color;
use crate::cli::examples;
use crate::exit_code::{Exit, Failure};

/// The arguments of `keylane topics`.
#[derive(Debug, Args)]
pub struct TopicsArguments {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// Out of the origin's tables: which share a topic, by which key, in how many partitions, kept how long, and why.
    #[command(after_help = examples::TOPICS_PLAN)]
    Plan(plan::PlanArguments),
    /// What is wrong with topics, groups and clients: of a configuration, of a live cluster, of both. Works on any Kafka.
    #[command(after_help = examples::TOPICS_LINT)]
    Lint(lint::LintArguments),
    /// Make the topics of the configuration: create what is missing, alter what is safe, refuse what would break key order.
    #[command(after_help = examples::TOPICS_APPLY)]
    Apply(apply::ApplyArguments),
}

/// Runs one of them. `config` is read only where it is needed.
pub(in crate::cli) fn run(
    config: &Path,
    arguments: &TopicsArguments,
    color: Color,
) -> Result<Exit, Failure> {
    match &arguments.command {
        TopicsCommand::Plan(plan) => plan::run(config, plan),
        TopicsCommand::Lint(lint) => lint::run(config, lint, color),
        TopicsCommand::Apply(apply) => apply::run(config, apply),
    }
}
