//! `keylane parked`: what could not be applied, and what to do about it.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use keylane_core::apply::ParkedFilter;
use serde_json::json;

use super::{Format, block_on};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::parked::{ParkedView, details, table};
use crate::status::{Observer, read_all};
use crate::wire_up::{Road, roads};

/// How long a redrive is watched.
const REDRIVE_WAIT: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The arguments of `keylane parked`.
#[derive(Debug, Args)]
pub struct ParkedArguments {
    /// This pipeline only.
    #[arg(long, global = true, value_name = "NAME")]
    pipeline: Option<String>,
    /// How to print it.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What is parked, oldest first.
    List {
        /// Of this table only.
        #[arg(long, value_name = "SCHEMA.TABLE")]
        table: Option<String>,
    },
    /// Everything about one parked key.
    Show {
        /// Its number in the list.
        id: i64,
    },
    /// Try again, once the cause is mended: the key's changes are folded to their end and applied.
    Redrive(Which),
    /// Drop parked changes for good: the row stays as it is at the replica until it changes again.
    Discard {
        #[command(flatten)]
        which: Which,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Which parked keys.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// This one.
    id: Option<i64>,
    /// All of this table.
    #[arg(long, value_name = "SCHEMA.TABLE")]
    table: Option<String>,
    /// All.
    #[arg(long)]
    all: bool,
}

impl Which {
    fn filter(&self) -> ParkedFilter {
        ParkedFilter {
            id: self.id,
            table: self.table.clone(),
        }
    }
}

/// Does what was asked for.
pub(super) fn run(config: &Config, arguments: &ParkedArguments) -> Result<Exit, Failure> {
    let named: Vec<String> = arguments.pipeline.iter().cloned().collect();
    block_on(async {
        let observer = Observer::new(config, &named, &[])?;
        let list = async |filter: &ParkedFilter| {
            let asked = observer.parked(filter).await;
            asked.map_err(|why| Failure::new(Exit::Unreachable, why))
        };
        match &arguments.verb {
            Verb::List { table: of } => {
                let filter = ParkedFilter {
                    id: None,
                    table: of.clone(),
                };
                let parked = list(&filter).await?;
                let text = match arguments.format {
                    Format::Json => format!("{:#}\n", json!(parked)),
                    Format::Text => table(&parked),
                };
                super::print(text.as_bytes());
                Ok(Exit::Ok)
            }
            Verb::Show { id } => {
                let filter = ParkedFilter {
                    id: Some(*id),
                    table: None,
                };
                let parked = one(list(&filter).await?, *id)?;
                let text = match arguments.format {
                    Format::Json => format!("{:#}\n", json!(parked)),
                    Format::Text => details(&parked),
                };
                super::print(text.as_bytes());
                Ok(Exit::Ok)
            }
            Verb::Redrive(which) => {
                let parked = chosen(list(&which.filter()).await?, which)?;
                redrive(
                    config,
                    &observer,
                    &which.filter(),
                    &parked,
                    arguments.format,
                )
                .await
            }
            Verb::Discard { which, yes } => {
                let parked = chosen(list(&which.filter()).await?, which)?;
                discard(config, &which.filter(), &parked, *yes, arguments.format).await
            }
        }
    })
}

fn one(parked: Vec<ParkedView>, id: i64) -> Result<ParkedView, Failure> {
    let mut parked = parked.into_iter();
    match (parked.next(), parked.next()) {
        (Some(found), None) => Ok(found),
        (None, _) => Err(Failure::new(
            Exit::Error,
            format!("nothing is parked under {id}; see `keylane parked list`"),
        )),
        (Some(_), Some(_)) => Err(Failure::new(
            Exit::Usage,
            format!("several pipelines have a parked key {id}; name one with --pipeline"),
        )),
    }
}

/// One number must not touch keys of several pipelines.
fn chosen(parked: Vec<ParkedView>, which: &Which) -> Result<Vec<ParkedView>, Failure> {
    match which.id {
        Some(id) => one(parked, id).map(|parked| vec![parked]),
        None => Ok(parked),
    }
}

/// Marks the keys at their replicas; returns how many were.
async fn resolve(
    config: &Config,
    filter: &ParkedFilter,
    parked: &[ParkedView],
    discard: bool,
) -> Result<u64, Failure> {
    let mut pipelines: Vec<String> = parked.iter().map(|key| key.pipeline.clone()).collect();
    pipelines.dedup();
    let mut touched = 0;
    if pipelines.is_empty() {
        return Ok(touched);
    }
    let roads: Vec<Road> = roads(config, &pipelines).await?;
    for road in &roads {
        let Some(replica) = &road.replica else {
            continue;
        };
        let resolved = replica.resolve_parked(&road.name, filter, discard);
        touched += resolved.await.map_err(|error| {
            let message = format!("{}: the replica cannot be asked: {error}", road.name);
            Failure::new(Exit::Unreachable, message)
        })?;
    }
    Ok(touched)
}

async fn redrive(
    config: &Config,
    observer: &Observer,
    filter: &ParkedFilter,
    parked: &[ParkedView],
    format: Format,
) -> Result<Exit, Failure> {
    let asked = resolve(config, filter, parked, false).await?;
    let applier_runs = read_all(&config.state_dir).iter().any(|process| {
        let ours = parked.iter().any(|key| key.pipeline == process.pipeline);
        ours && process.apply.is_some() && process.is_alive()
    });
    let is_one_of = |key: &ParkedView| {
        parked
            .iter()
            .any(|one| one.pipeline == key.pipeline && one.table == key.table && one.key == key.key)
    };
    let mut still: Vec<ParkedView> = parked.to_vec();
    let until = Instant::now() + REDRIVE_WAIT;
    while applier_runs && !still.is_empty() && Instant::now() < until {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let Ok(now) = observer.parked(filter).await else {
            continue;
        };
        still = now.into_iter().filter(is_one_of).collect();
        if !still.is_empty() && still.iter().all(|key| !key.redriving) {
            // Tried, and parked again.
            break;
        }
    }
    let applied = parked.len() - still.len();
    if format == Format::Json {
        let end = json!({"asked": asked, "applied": applied, "still_parked": still, "applier_runs": applier_runs});
        super::print(format!("{end:#}\n").as_bytes());
    } else if parked.is_empty() {
        eprintln!("nothing is parked");
    } else if !applier_runs {
        eprintln!(
            "{asked} keys are marked; no applier runs on this machine: they are redriven at its next start (`keylane run`)"
        );
    } else {
        eprintln!("{applied} of {} keys went through", parked.len());
        eprint!("{}", table(&still).replace("nothing is parked\n", ""));
    }
    let failed = applier_runs && !still.is_empty();
    Ok(if failed { Exit::Error } else { Exit::Ok })
}

async fn discard(
    config: &Config,
    filter: &ParkedFilter,
    parked: &[ParkedView],
    yes: bool,
    format: Format,
) -> Result<Exit, Failure> {
    let changes: u64 = parked.iter().map(|key| key.behind + 1).sum();
    if !yes && !parked.is_empty() {
        let question = format!(
            "drop {changes} changes of {} keys for good? The rows stay as they are at the replica until they change again",
            parked.len()
        );
        if !std::io::stdin().is_terminal() {
            let message = format!("{question}. Without a terminal, say so with --yes");
            return Err(Failure::new(Exit::Usage, message));
        }
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        if read.is_err() || !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err(Failure::new(Exit::Error, "nothing was dropped"));
        }
    }
    let keys = resolve(config, filter, parked, true).await?;
    match format {
        Format::Json => super::print(format!("{:#}\n", json!({"discarded": keys})).as_bytes()),
        Format::Text => eprintln!("{keys} keys were dropped from the parked ones"),
    }
    Ok(Exit::Ok)
}
