//! `keylane threads`: how many threads apply a pipeline, asked for while it runs.

use clap::Args;
use keylane_core::apply::Threads;
use serde_json::json;

use super::{Format, block_on};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::threads::{ThreadsView, threads};
use crate::wire_up::roads;

/// The arguments of `keylane threads`.
#[derive(Debug, Args)]
pub struct ThreadsArguments {
    /// The pipeline.
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// A number from 1 to 1024, or `auto`; without it, the number now is told.
    #[arg(value_name = "N|auto")]
    threads: Option<Threads>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Stores the number, and waits until what runs here has taken it up.
pub(super) fn run(config: &Config, arguments: &ThreadsArguments) -> Result<Exit, Failure> {
    block_on(async {
        let roads = roads(config, std::slice::from_ref(&arguments.pipeline)).await?;
        let Some(road) = roads.into_iter().next() else {
            return Err(Failure::new(Exit::Usage, "which pipeline?"));
        };
        let view = threads(&config.state_dir, &road, arguments.threads).await;
        let view = view.map_err(|error| {
            let message = format!("{}: the replica cannot be asked: {error}", road.name);
            Failure::new(Exit::Unreachable, message)
        })?;
        let view = view.ok_or_else(|| {
            let message = format!(
                "{}: this pipeline has no replica, so nothing applies",
                road.name
            );
            Failure::new(Exit::Usage, message)
        })?;
        match arguments.format {
            Format::Json => super::print(format!("{:#}\n", json!(view)).as_bytes()),
            Format::Text => eprintln!("{}", words(&view)),
        }
        Ok(if view.taken_up { Exit::Ok } else { Exit::Error })
    })
}

fn words(view: &ThreadsView) -> String {
    let ThreadsView {
        pipeline: name,
        asked: holds,
        ..
    } = view;
    let whose = if view.asked == view.configured {
        "as configured"
    } else {
        "as asked for"
    };
    match (view.threads, &view.why) {
        (None, _) => format!(
            "{name}: {holds} {whose}; no applier runs on this machine, it holds from its next start"
        ),
        (Some(threads), _) if !view.taken_up => format!(
            "{name}: {holds} {whose}; the applier has not taken it up yet, it works with {threads} threads"
        ),
        (Some(threads), None) => format!("{name}: {threads} threads {whose}"),
        (Some(threads), Some(why)) => {
            format!("{name}: {holds} {whose}, now {threads} threads: {why}")
        }
    }
}
