//! `keylane threads`: how many threads apply a pipeline, asked for while it runs. Kept at the replica, so that it holds for every process and over restarts.

use std::time::{Duration, Instant};

use clap::Args;
use keylane_core::apply::{AskedThreads, Threads};
use serde_json::json;

use super::{Format, block_on};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::status::{ApplyStatus, read_all};
use crate::wire_up::{Road, roads};

/// How long a running applier is given to take the number up: it looks every second, and tells every half second.
const TAKEN_MAX: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

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
        let Some(replica) = &road.replica else {
            let message = format!(
                "{}: this pipeline has no replica, so nothing applies",
                road.name
            );
            return Err(Failure::new(Exit::Usage, message));
        };
        let configured = road.apply.threads;
        let asked = match arguments.threads {
            Some(threads) => {
                let asked = AskedThreads {
                    threads,
                    configured,
                };
                let stored = replica.ask_threads(&road.name, asked).await;
                stored.map(|()| Some(asked))
            }
            None => replica.asked_threads(&road.name).await,
        };
        let asked = asked.map_err(|error| {
            let message = format!("{}: the replica cannot be asked: {error}", road.name);
            Failure::new(Exit::Unreachable, message)
        })?;
        let holds = AskedThreads::or_configured(asked, configured);
        let applier = taken_up(config, &road, holds).await;
        tell(arguments, &road, (holds, configured), applier.as_ref());
        let late = applier.is_some_and(|applier| !works_by(&applier, holds));
        Ok(if late { Exit::Error } else { Exit::Ok })
    })
}

fn works_by(applier: &ApplyStatus, holds: Threads) -> bool {
    applier.threads_asked == holds.to_string()
}

/// The applier of this machine, once it works by what holds, or as it is after [`TAKEN_MAX`].
async fn taken_up(config: &Config, road: &Road, holds: Threads) -> Option<ApplyStatus> {
    let until = Instant::now() + TAKEN_MAX;
    loop {
        let applier = read_all(&config.state_dir)
            .into_iter()
            .filter(|process| *process.pipeline == *road.name && process.is_alive())
            .find_map(|process| process.apply)?;
        if works_by(&applier, holds) || Instant::now() >= until {
            return Some(applier);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn tell(
    arguments: &ThreadsArguments,
    road: &Road,
    (holds, configured): (Threads, Threads),
    applier: Option<&ApplyStatus>,
) {
    if arguments.format == Format::Json {
        let told = json!({
            "pipeline": &*road.name, "asked": holds.to_string(), "configured": configured.to_string(),
            "threads": applier.map(|applier| applier.threads),
            "why": applier.map(|applier| &applier.threads_why).filter(|why| !why.is_empty()),
            "applier_runs": applier.is_some(),
        });
        return super::print(format!("{told:#}\n").as_bytes());
    }
    let whose = if holds == configured {
        "as configured"
    } else {
        "as asked for"
    };
    let name = &road.name;
    match applier {
        None => eprintln!(
            "{name}: {holds} {whose}; no applier runs on this machine, it holds from its next start"
        ),
        Some(applier) => {
            let threads = applier.threads;
            match applier.threads_why.as_str() {
                _ if !works_by(applier, holds) => eprintln!(
                    "{name}: {holds} {whose}; the applier has not taken it up yet, it works with {threads} threads"
                ),
                "" => eprintln!("{name}: {threads} threads {whose}"),
                why => eprintln!("{name}: {holds} {whose}, now {threads} threads: {why}"),
            }
        }
    }
}
