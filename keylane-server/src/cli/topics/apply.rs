//! `keylane topics apply`: makes the topics of the configuration, as far as that breaks no order and loses nothing.

use std::path::Path;

use clap::Args;
use keylane::kafka::KafkaSettings;
use keylane_core::topics::Change;
use serde_json::json;

use crate::cli::{Format, block_on, load, print};
use crate::config::{Config, PipelineName};
use crate::exit_code::{Exit, Failure};
use crate::topics::{Outcome, changes_text, changes_wire};
use crate::wire_up::{cluster_of, make, topic_changes};

/// The arguments of `keylane topics apply`.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// This pipeline of the configuration only.
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<String>,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Shows the plan, then makes what is safe; 3 if something is refused, 1 if the cluster did not take a change.
pub(super) fn run(path: &Path, arguments: &ApplyArguments) -> Result<Exit, Failure> {
    let config = load(path)?;
    let Some(cluster) = cluster_of(&config) else {
        eprintln!("the embedded log's topics are made by `keylane run`: there is nothing to apply");
        if arguments.format == Format::Json {
            print(format!("{:#}\n", json!({ "pipelines": [] })).as_bytes());
        }
        return Ok(Exit::Ok);
    };
    let planned = block_on(planned(&config, &cluster, arguments.pipeline.as_deref()))?;
    let mut wires = Vec::new();
    let (mut refused, mut failed) = (false, false);
    for (name, changes) in planned {
        if arguments.format == Format::Text {
            print(changes_text(name.as_str(), &changes).as_bytes());
        }
        refused |= changes.iter().any(|change| !change.refused.is_empty());
        let made = match arguments.dry_run {
            true => changes.into_iter().map(|it| (it, Outcome::Shown)).collect(),
            false => block_on(made(&cluster, changes, arguments.format))?,
        };
        let is_failed = |(_, outcome): &(Change, Outcome)| matches!(outcome, Outcome::Failed(_));
        failed |= made.iter().any(is_failed);
        wires.push(changes_wire(name.as_str(), &made));
    }
    if arguments.format == Format::Json {
        let whole = json!({ "dry_run": arguments.dry_run, "pipelines": wires });
        print(format!("{whole:#}\n").as_bytes());
    } else if arguments.dry_run {
        print(b"nothing was done: this was a dry run\n");
    }
    Ok(match (failed, refused) {
        (true, _) => Exit::Error,
        (false, true) => Exit::Findings,
        (false, false) => Exit::Ok,
    })
}

async fn planned(
    config: &Config,
    cluster: &KafkaSettings,
    named: Option<&str>,
) -> Result<Vec<(PipelineName, Vec<Change>)>, Failure> {
    let mut all = Vec::new();
    for (name, pipeline) in &config.pipelines {
        if named.is_none_or(|named| named == name.as_str()) {
            let changes = topic_changes(config, cluster, name, pipeline).await?;
            all.push((name.clone(), changes));
        }
    }
    match all.is_empty() {
        false => Ok(all),
        true => Err(Failure::new(
            Exit::Usage,
            "the configuration has no such pipeline",
        )),
    }
}

/// One after another; one that fails does not keep the others.
async fn made(
    cluster: &KafkaSettings,
    changes: Vec<Change>,
    format: Format,
) -> Result<Vec<(Change, Outcome)>, Failure> {
    let mut all = Vec::new();
    for change in changes {
        if !change.create && change.alter.is_empty() {
            all.push((change, Outcome::Shown));
            continue;
        }
        let name = &change.wanted.name;
        let word = if change.create { "created" } else { "altered" };
        let outcome = match make(cluster, &change).await {
            Ok(()) => Outcome::Made,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        if format == Format::Text {
            let line = match &outcome {
                Outcome::Failed(error) => format!("  {name}: {error}\n"),
                _ => format!("  {name}: {word}\n"),
            };
            print(line.as_bytes());
        }
        all.push((change, outcome));
    }
    Ok(all)
}
