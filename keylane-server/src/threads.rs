//! How many threads apply a pipeline, told and asked for while it runs: kept at the replica, so that it holds for every process and over restarts.

use std::path::Path;
use std::time::{Duration, Instant};

use keylane_core::apply::{ApplyError, AskedThreads, Threads};
use serde::Serialize;

use crate::status::{ApplyStatus, read_all};
use crate::wire_up::Road;

/// How long a running applier is given to take the number up: it looks every second, and tells every half second.
const TAKEN_MAX: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How many threads apply a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ThreadsView {
    /// The pipeline.
    pub pipeline: String,
    /// What holds: a number or `auto`, as somebody asked for it or as it is configured.
    pub asked: String,
    /// What the configuration says.
    pub configured: String,
    /// How many work; null if no applier runs on this machine.
    pub threads: Option<u64>,
    /// Of `auto`, why so many; null if there is nothing to say.
    pub why: Option<String>,
    /// Whether an applier runs on this machine; if not, what holds holds from its next start.
    pub applier_runs: bool,
    /// Whether the applier, if one runs, works by what holds.
    #[serde(skip)]
    pub taken_up: bool,
}

/// Stores what is asked for, if anything is, and waits some seconds for the applier of this machine to work by it.
///
/// `None` if the pipeline has no replica: then nothing applies.
///
/// # Errors
/// If the replica does not answer.
pub async fn threads(
    state_dir: &Path,
    road: &Road,
    ask: Option<Threads>,
) -> Result<Option<ThreadsView>, ApplyError> {
    let Some(replica) = &road.replica else {
        return Ok(None);
    };
    let configured = road.apply.threads;
    let asked = match ask {
        Some(threads) => {
            let asked = AskedThreads {
                threads,
                configured,
            };
            replica.ask_threads(&road.name, asked).await?;
            Some(asked)
        }
        None => replica.asked_threads(&road.name).await?,
    };
    let holds = AskedThreads::or_configured(asked, configured).to_string();
    let applier = taken_up(state_dir, &road.name, &holds).await;
    let why = applier.as_ref().map(|applier| applier.threads_why.clone());
    Ok(Some(ThreadsView {
        pipeline: road.name.to_string(),
        configured: configured.to_string(),
        threads: applier.as_ref().map(|applier| applier.threads),
        why: why.filter(|why| !why.is_empty()),
        applier_runs: applier.is_some(),
        taken_up: applier.is_none_or(|applier| applier.threads_asked == holds),
        asked: holds,
    }))
}

/// The applier of this machine, once it works by what holds, or as it is after [`TAKEN_MAX`].
async fn taken_up(state_dir: &Path, pipeline: &str, holds: &str) -> Option<ApplyStatus> {
    let until = Instant::now() + TAKEN_MAX;
    loop {
        let applier = read_all(state_dir)
            .into_iter()
            .filter(|process| process.pipeline == pipeline && process.is_alive())
            .find_map(|process| process.apply)?;
        if applier.threads_asked == holds || Instant::now() >= until {
            return Some(applier);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
