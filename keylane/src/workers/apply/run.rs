//! Fence, then read progress, then fetch; drain at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use keylane_core::apply::{ApplyError, PartitionProgress, PartitionSpec, Replica};
use keylane_core::error::{ApplyErrorKind, Remedy};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{Log, LogConsumer, LogError, LogErrorKind};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::copied::Copied;
use super::crew::Crew;
use super::road::Road;
use super::settings::ApplySettings;
use super::tables::Tables;
use super::{fetch, progress, work};
use crate::envelope::SchemaCache;
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
    /// Tables came, or a commit's answer was lost: the run begins anew.
    #[error("taking the partitions over anew")]
    Reopen,
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
            ApplyFailure::Log(error) => {
                error.kind == LogErrorKind::SessionOver || error.kind.away().is_some()
            }
            ApplyFailure::Reopen => true,
            ApplyFailure::Fenced | ApplyFailure::TooManyParked(_) | ApplyFailure::Gap(_) => false,
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
    while !stop.is_cancelled() {
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
        let failure = match failure {
            ApplyFailure::Fenced if is_still_owner(&road, stop).await => ApplyFailure::Reopen,
            failure => failure,
        };
        if !failure.passes() {
            stats.state.set("stopped", failure.to_string());
            return Err(failure);
        }
        if matches!(failure, ApplyFailure::Reopen) {
            continue;
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

/// Whether the fence was raised by nobody: then a commit's answer was lost, the lanes stand further than believed, and taking them again is right.
async fn is_still_owner(road: &Road, stop: &CancellationToken) -> bool {
    let mine: BTreeMap<TopicPartition, u64> = road
        .lanes()
        .lows()
        .into_iter()
        .map(|low| (low.partition, low.owner_epoch))
        .collect();
    let same = |partition: &PartitionProgress| {
        mine.get(&partition.partition)
            .is_none_or(|epoch| partition.owner_epoch == *epoch)
    };
    loop {
        match road.replica.progress(&road.settings.pipeline).await {
            // Without any, Keylane's tables were dropped under it.
            Ok(progress) => return !progress.is_empty() && progress.iter().all(same),
            Err(error) => road.stats.state.set("degraded", error.to_string()),
        }
        tokio::select! {
            () = stop.cancelled() => return true,
            () = tokio::time::sleep(road.settings.backoff.1) => {}
        }
    }
}

async fn one_run(road: &Arc<Road>) -> Result<(), ApplyFailure> {
    road.replica.prepare().await?;
    let Some(catalog) = catalog(road).await? else {
        return Ok(());
    };
    let specs = specs(road, &catalog.topics).await?;
    let partitions = road.replica.fence(&road.settings.pipeline, &specs).await?;
    for partition in &partitions {
        no_gap(road, partition).await?;
    }
    progress::note_redriving(road, &partitions);
    let mut consumer = road
        .log
        .consumer(
            &format!("keylane-{}", road.settings.pipeline),
            // The other half is the lanes'.
            road.settings.buffer_bytes / 2,
        )
        .await?;
    for partition in &partitions {
        let mut from = road.lanes().assign(partition);
        if road.foreign.is_some() {
            // Another tool's retention: what it has dropped before the first start is not ours to miss.
            from = from.max(road.log.bounds(&partition.partition).await?.start);
        }
        consumer.assign(&partition.partition, from).await?;
    }
    let asked = road.replica.asked_threads(&road.settings.pipeline).await?;
    let crew = Crew::new(road, asked);
    info!(
        pipeline = &*road.settings.pipeline,
        partitions = partitions.len(),
        threads = road.stats.threads.get(),
        "applying"
    );
    let copied = if road.settings.stop_at_missing_rows && road.foreign.is_none() {
        Some(Copied::open(road).await?)
    } else {
        None
    };
    let watched = progress::Watched {
        topics: catalog.topics.len(),
        copied,
        crew,
    };
    drive(road, consumer, partitions, watched).await
}

/// Runs the tasks until they end; work that is in progress may take the drain's time.
async fn drive(
    road: &Arc<Road>,
    consumer: Box<dyn LogConsumer>,
    partitions: Vec<PartitionProgress>,
    watched: progress::Watched,
) -> Result<(), ApplyFailure> {
    // Workers end with their number.
    let mut tasks: JoinSet<Option<usize>> = JoinSet::new();
    let mut working = BTreeSet::new();
    let mut workers = road.workers.subscribe();
    let fetching = road.clone();
    tasks.spawn(async move {
        fetch::fetch(&fetching, consumer, &partitions).await;
        None
    });
    let keeping = road.clone();
    tasks.spawn(async move {
        progress::keep(&keeping, watched).await;
        None
    });
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
                    Some(number)
                });
            }
        }
        tokio::select! {
            _ = workers.changed() => {}
            ended = tasks.join_next() => match ended {
                None => break,
                Some(Ok(ended)) => {
                    if let Some(number) = ended {
                        working.remove(&number);
                    }
                }
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

async fn specs(road: &Road, topics: &[TableTopic]) -> Result<Vec<PartitionSpec>, ApplyFailure> {
    let mut specs = Vec::new();
    for topic in topics {
        let Some(info) = road.log.describe_topic(&topic.topic).await? else {
            let message = format!(
                "topic {} is not there, though the catalog names it",
                topic.topic
            );
            return Err(LogError::new(LogErrorKind::TopicMismatch, message).into());
        };
        specs.extend((0..info.partitions).map(|number| PartitionSpec {
            partition: TopicPartition::new(info.name.clone(), number),
            topic_id: info.id.clone(),
            partitions: info.partitions,
            lanes: road.settings.lanes,
        }));
    }
    Ok(specs)
}

/// The log must still hold the first record that is not applied.
async fn no_gap(road: &Road, progress: &PartitionProgress) -> Result<(), ApplyFailure> {
    let bounds = road.log.bounds(&progress.partition).await?;
    let first_start = road.foreign.is_some() && progress.low == Offset(0);
    if first_start {
        return Ok(());
    }
    if bounds.start <= progress.low
        || (progress.low == Offset(0) && bounds.start == bounds.end && bounds.end == Offset(0))
    {
        return Ok(());
    }
    Err(ApplyFailure::Gap(format!(
        "{} begins at offset {}, and this replica has applied up to {}: what lies between is gone. Copy anew: start the pipeline under another prefix \
         with an empty replica, or restore a replica whose progress is at least {}",
        progress.partition, bounds.start.0, progress.low.0, bounds.start.0
    )))
}
