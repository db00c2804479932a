//! The tasks of a run, from joining the group to the drain at the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::apply::{ApplyError, Replica};
use keylane_core::error::{ApplyErrorKind, Remedy};
use keylane_core::publish::{Log, LogConsumer, LogError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::copied::Copied;
use super::crew::Crew;
use super::fetch::Order;
use super::membership::Membership;
use super::road::Road;
use super::settings::ApplySettings;
use super::tables::Tables;
use super::{fetch, progress, work};
use crate::envelope::SchemaCache;
use crate::twins::Twins;
use crate::workers::control::{ControlState, TableTopic};
use crate::workers::stats::ApplyStats;

/// How often an applier without a catalog looks whether a capturer has written one.
const CATALOG_WAIT: Duration = Duration::from_millis(200);

/// What ends an apply run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyFailure {
    /// The replica.
    #[error("{code}: {0}", code = .0.kind.code())]
    Stopped(ApplyError),
    /// The log.
    #[error("KL-CONSUME-002: {0}")]
    Log(LogError),
    /// Another process took the partitions over.
    #[error(
        "KL-APPLY-007: another process has taken these partitions over; this one has stopped writing. Run one applier for each pipeline"
    )]
    Fenced,
    /// More parked keys than allowed.
    #[error(
        "KL-APPLY-013: {0} keys are parked, more than apply.parked_keys_max allows: see `keylane parked list`, mend the cause, then `keylane parked redrive --all` and start again"
    )]
    TooManyParked(usize),
    /// The log no longer holds what this replica has not applied.
    #[error("KL-APPLY-014: {0}")]
    Gap(String),
    /// Parked keys, where transactions are to be whole.
    #[error(
        "KL-APPLY-015: {0} keys are parked, and apply.consistency is transaction: set it to key, redrive or discard them (`keylane parked`), then set it back"
    )]
    Parked(usize),
    /// A transaction that does not fit the buffer.
    #[error(
        "KL-APPLY-016: the transaction at {commit} does not fit apply.buffer_bytes ({buffer_bytes} bytes), and apply.consistency is transaction: raise it, or set apply.consistency to key"
    )]
    TooLarge {
        /// Its commit position.
        commit: u64,
        /// The buffer.
        buffer_bytes: usize,
    },
}

impl From<LogError> for ApplyFailure {
    fn from(error: LogError) -> Self {
        ApplyFailure::Log(error)
    }
}

impl From<ApplyError> for ApplyFailure {
    fn from(error: ApplyError) -> Self {
        if error.kind == ApplyErrorKind::Fenced {
            ApplyFailure::Fenced
        } else {
            ApplyFailure::Stopped(error)
        }
    }
}

impl ApplyFailure {
    /// Whether trying again may help.
    fn passes(&self) -> bool {
        match self {
            ApplyFailure::Stopped(error) => {
                matches!(error.kind.remedy(), Remedy::RetryForever | Remedy::Retry)
            }
            ApplyFailure::Log(error) => error.kind.passes(),
            ApplyFailure::Fenced
            | ApplyFailure::TooManyParked(_)
            | ApplyFailure::Gap(_)
            | ApplyFailure::Parked(_)
            | ApplyFailure::TooLarge { .. } => false,
        }
    }
}

/// Applies until told to stop, then drains. `schemas` is shared with the replica, which reads parked changes back by it.
///
/// # Errors
/// What only a person can help with; what passes is tried again after a pause.
pub async fn run(
    replica: Arc<dyn Replica>,
    log: Arc<dyn Log>,
    schemas: Arc<SchemaCache>,
    settings: &ApplySettings,
    stats: &Arc<ApplyStats>,
    stop: &CancellationToken,
) -> Result<(), ApplyFailure> {
    let (shortest, longest) = settings.backoff;
    let mut pause = shortest;
    let mut twins = Twins::default();
    while !stop.is_cancelled() {
        let began = Instant::now();
        stats.state.set("starting", "taking the partitions over");
        let tables = Tables::new(&settings.prefix, settings.create_tables, schemas.clone());
        let road = Arc::new(Road::new(
            settings.clone(),
            log.clone(),
            replica.clone(),
            stats.clone(),
            tables,
            stop.child_token(),
        ));
        let ended = one_run(&road).await;
        let failure = match (ended, road.failure()) {
            (Err(failure), _) | (Ok(()), Some(failure)) => failure,
            (Ok(()), None) => break,
        };
        let give_way = match &failure {
            ApplyFailure::Log(error) => twins.give_way(error, began.elapsed()),
            _ => false,
        };
        if !failure.passes() || give_way {
            stats.state.set("stopped", failure.to_string());
            return Err(failure);
        }
        stats.state.set("degraded", failure.to_string());
        warn!(
            pipeline = &*settings.pipeline,
            pause_ms = pause.as_millis() as u64,
            "applying is interrupted: {failure}"
        );
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(longest);
    }
    stats.state.set("stopped", "asked to stop");
    Ok(())
}

async fn one_run(road: &Arc<Road>) -> Result<(), ApplyFailure> {
    road.replica.prepare().await?;
    let Some(catalog) = catalog(road).await? else {
        return Ok(());
    };
    let (orders, ordered) = mpsc::channel(1);
    let membership = Membership::join(road, &catalog.topics, orders).await?;
    road.topics.send_replace(catalog.topics);
    let group = format!("keylane-{}", road.settings.pipeline);
    // The other half is the lanes'.
    let buffer_bytes = road.settings.buffer_bytes / 2;
    let consumer = road.log.consumer(&group, buffer_bytes).await?;
    let asked = road.replica.asked_threads(&road.settings.pipeline).await?;
    let crew = Crew::new(road, asked);
    info!(
        pipeline = &*road.settings.pipeline,
        threads = road.stats.threads.get(),
        "applying"
    );
    let copied = if road.settings.stop_at_missing_rows && road.foreign.is_none() {
        Some(Copied::open(road).await?)
    } else {
        None
    };
    let watched = progress::Watched { copied, crew };
    drive(road, membership, (consumer, ordered), watched).await
}

/// How a task of the run ended.
enum Ended {
    /// A worker, by its number.
    Worker(usize),
    /// The one that keeps the membership: it is left when everything is saved.
    Membership(Membership),
    /// Another.
    Other,
}

/// Runs the tasks until they end; work that is in progress may take the drain's time.
async fn drive(
    road: &Arc<Road>,
    mut membership: Membership,
    (consumer, ordered): (Box<dyn LogConsumer>, mpsc::Receiver<Order>),
    watched: progress::Watched,
) -> Result<(), ApplyFailure> {
    let mut tasks: JoinSet<Ended> = JoinSet::new();
    let mut working = BTreeSet::new();
    let mut workers = road.workers.subscribe();
    let fetching = road.clone();
    tasks.spawn(async move {
        fetch::fetch(&fetching, consumer, ordered).await;
        Ended::Other
    });
    let keeping = road.clone();
    tasks.spawn(async move {
        progress::keep(&keeping, watched).await;
        Ended::Other
    });
    let belonging = road.clone();
    tasks.spawn(async move {
        membership.keep(&belonging).await;
        Ended::Membership(membership)
    });
    let mut membership = None;
    let late = async {
        road.stop.cancelled().await;
        tokio::time::sleep(road.settings.drain_max).await;
    };
    tokio::pin!(late);
    loop {
        for number in 0..*workers.borrow_and_update() {
            if !road.stop.is_cancelled() && working.insert(number) {
                let road = road.clone();
                tasks.spawn(async move {
                    work::work(&road, number).await;
                    Ended::Worker(number)
                });
            }
        }
        tokio::select! {
            _ = workers.changed() => {}
            ended = tasks.join_next() => match ended {
                None => break,
                Some(Ok(Ended::Worker(number))) => {
                    working.remove(&number);
                }
                Some(Ok(Ended::Membership(ended))) => membership = Some(ended),
                Some(Ok(Ended::Other)) => {}
                Some(Err(error)) => {
                    let message = format!("a task of the applier ended unexpectedly: {error}");
                    road.fail(ApplyFailure::Stopped(ApplyError::new(ApplyErrorKind::Other, message)));
                }
            },
            () = &mut late => {
                warn!(pipeline = &*road.settings.pipeline, "transactions did not end in time; they roll back");
                tasks.shutdown().await;
                break;
            }
        }
    }
    progress::save_last(road).await;
    if let Some(membership) = membership {
        membership.leave(road).await;
    }
    Ok(())
}

/// What the control topic says, once a capturer has written it. `None` if told to stop before.
async fn catalog(road: &Road) -> Result<Option<ControlState>, ApplyFailure> {
    if let Some(topics) = &road.settings.debezium_topics {
        return Ok(Some(ControlState {
            topics: topics.iter().map(|name| foreign_topic(name)).collect(),
            ..ControlState::default()
        }));
    }
    let control = crate::workers::control::control_topic(&road.settings.prefix);
    loop {
        if road.log.describe_topic(&control).await?.is_some()
            && let Some(state) = road.tables.poll(road.log.as_ref()).await?
            && !state.topics.is_empty()
        {
            return Ok(Some(state));
        }
        road.stats.state.set(
            "degraded",
            "waiting for a capturer to write the catalog of tables",
        );
        tokio::select! {
            () = road.stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(CATALOG_WAIT) => {}
        }
    }
}

/// Another tool's topic; what it holds is told by its records.
fn foreign_topic(name: &str) -> TableTopic {
    TableTopic {
        schema: String::new(),
        table: String::new(),
        topic: name.to_owned(),
        partitions: 0,
    }
}
