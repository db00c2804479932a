//! `keylane threads`: how many threads apply a pipeline, asked for while it runs. Kept at the replica, so that it holds for every process and over restarts.

use std::time::{Duration, Instant};

use clap::Args;
use keylane_core::apply::{AskedThreads, Threads};
use serde_json::json;

use super::{Format, block_on};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::status::read_all;
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

/// What an applier on this machine says of its threads.
struct Now {
    asked: String,
    threads: u64,
    why: String,
}

/// Stores the number, and waits until what runs here has taken it up.
pub(super) fn run(config: &Config, arguments: &ThreadsArguments) -> Result<Exit, Failure> {
    block_on(async {
        let roads = roads(config, std::slice::from_ref(&arguments.pipeline)).await?;
        let Some(road) = roads.into_iter().next() else {
            return Err(Failure::new(Exit::Usage, "which pipeline?"));
        };
        let configured = road.apply.threads;
        if let Some(threads) = arguments.threads {
            let asked = AskedThreads {
                threads,
                configured,
            };
            let stored = road.replica.ask_threads(&road.name, asked).await;
            stored.map_err(|error| cannot_be_asked(&road, &error))?;
        }
        let stored = road.replica.asked_threads(&road.name).await;
        let stored = stored.map_err(|error| cannot_be_asked(&road, &error))?;
        let holds = AskedThreads::or_configured(stored, configured);
        let now = taken_up(config, &road, holds).await;
        tell(arguments, &road, (holds, configured), now.as_ref());
        let late = now
            .as_ref()
            .is_some_and(|now| now.asked != holds.to_string());
        Ok(if late { Exit::Error } else { Exit::Ok })
    })
}

fn cannot_be_asked(road: &Road, error: &keylane_core::apply::ApplyError) -> Failure {
    let message = format!("{}: the replica cannot be asked: {error}", road.name);
    Failure::new(Exit::Unreachable, message)
}

/// The applier of this machine, once it works by what holds, or as it is after [`TAKEN_MAX`].
async fn taken_up(config: &Config, road: &Road, holds: Threads) -> Option<Now> {
    let until = Instant::now() + TAKEN_MAX;
    loop {
        let now = read_all(&config.state_dir)
            .into_iter()
            .filter(|process| *process.pipeline == *road.name && process.is_alive())
            .find_map(|process| process.apply)
            .map(|apply| Now {
                asked: apply.threads_asked,
                threads: apply.threads,
                why: apply.threads_why,
            });
        let waits = now
            .as_ref()
            .is_some_and(|now| now.asked != holds.to_string());
        if !waits || Instant::now() >= until {
            return now;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn tell(
    arguments: &ThreadsArguments,
    road: &Road,
    (holds, configured): (Threads, Threads),
    now: Option<&Now>,
) {
    if arguments.format == Format::Json {
        let told = json!({
            "pipeline": &*road.name, "asked": holds.to_string(), "configured": configured.to_string(),
            "threads": now.map(|now| now.threads), "why": now.map(|now| &now.why).filter(|why| !why.is_empty()),
            "applier_runs": now.is_some(),
        });
        return super::print(format!("{told:#}\n").as_bytes());
    }
    let whose = if holds == configured {
        "as configured"
    } else {
        "as asked for"
    };
    let name = &road.name;
    match now {
        None => eprintln!(
            "{name}: {holds} {whose}; no applier runs on this machine, it holds from its next start"
        ),
        Some(now) if now.asked != holds.to_string() => {
            eprintln!(
                "{name}: {holds} {whose}; the applier has not taken it up yet, it works with {} threads",
                now.threads
            );
        }
        Some(now) if now.why.is_empty() => eprintln!("{name}: {} threads {whose}", now.threads),
        Some(now) => eprintln!(
            "{name}: {holds} {whose}, now {} threads: {}",
            now.threads, now.why
        ),
    }
}
