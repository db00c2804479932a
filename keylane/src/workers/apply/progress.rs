//! What is saved, trimmed and looked at now and then.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use keylane_core::apply::{PartitionLow, PartitionProgress, ReplicaSession};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::TopicPartition;
use tracing::debug;

use super::copied::Copied;
use super::crew::Crew;
use super::road::Road;
use super::run::ApplyFailure;

/// How often a person's requests (redrive, discard) and news in the control topic are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the log is told what it may drop.
const TRIM_INTERVAL: Duration = Duration::from_secs(2);

/// What is looked for in the control topic.
pub(super) struct Watched {
    /// Which copies are applied, if that is of use.
    pub copied: Option<Copied>,
    /// How many workers there are.
    pub crew: Crew,
}

/// Keeps progress until told to stop, then saves once more.
pub(super) async fn keep(road: &Road, mut watched: Watched) {
    let mut saved: HashMap<TopicPartition, PartitionLow> = HashMap::new();
    let mut session: Option<Box<dyn ReplicaSession>> = None;
    let (mut looked, mut trimmed) = (Instant::now(), Instant::now());
    let mut standstill = Standstill {
        applied: 0,
        since: Instant::now(),
    };
    while !road.stop.is_cancelled() {
        tokio::select! {
            () = road.stop.cancelled() => break,
            () = tokio::time::sleep(road.settings.save_interval) => {}
        }
        save(road, &mut saved, &mut session).await;
        tell(road);
        standstill.look(road);
        watched.crew.sample(road);
        if looked.elapsed() >= LOOK_INTERVAL {
            looked = Instant::now();
            road.hot.tell(&road.stats, road.settings.limits.items_max);
            look(road, &mut watched).await;
        }
        if trimmed.elapsed() >= TRIM_INTERVAL {
            trimmed = Instant::now();
            trim(road, &saved).await;
        }
    }
}

/// Saves once; at the end of a drain.
pub(super) async fn save_last(road: &Road) {
    save(road, &mut HashMap::new(), &mut None).await;
    tell(road);
}

async fn save(
    road: &Road,
    saved: &mut HashMap<TopicPartition, PartitionLow>,
    session: &mut Option<Box<dyn ReplicaSession>>,
) {
    let lows: Vec<PartitionLow> = road
        .lanes()
        .lows()
        .into_iter()
        .filter(|low| {
            saved
                .get(&low.partition)
                .is_none_or(|earlier| !earlier.says_as(low))
        })
        .collect();
    if lows.is_empty() {
        return;
    }
    let connected = match session.take().and_then(|it| road.still_good(it)) {
        Some(connected) => Ok(connected),
        None => road.replica.session().await,
    };
    let result = match connected {
        Ok(mut connected) => {
            let result = connected.save_low(&road.settings.pipeline, &lows).await;
            if result.is_ok() {
                *session = Some(connected);
            }
            result
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => {
            road.lanes().saved(&lows);
            saved.extend(lows.into_iter().map(|low| (low.partition.clone(), low)));
        }
        Err(error) if error.kind == ApplyErrorKind::Fenced => {
            road.suspect(lows.into_iter().map(|low| low.partition));
        }
        // The next save does it; the lanes' own progress is in their transactions.
        Err(error) => {
            debug!(
                pipeline = &*road.settings.pipeline,
                "progress was not saved this time: {error}"
            );
            if error.kind == ApplyErrorKind::Unreachable {
                road.lost_sight();
            }
        }
    }
}

/// Brings the counters up to date.
fn tell(road: &Road) {
    let lanes = road.lanes();
    let states = lanes.partitions();
    let drained = lanes.is_drained();
    let holdup = lanes.holdup();
    drop(lanes);
    let stats = &road.stats;
    stats
        .waiting
        .set(states.iter().map(|state| state.waiting as u64).sum());
    stats
        .buffered_bytes
        .set(states.iter().map(|state| state.buffered_bytes as u64).sum());
    let parked: usize = states.iter().map(|state| state.parked_keys).sum();
    stats.parked_keys.set(parked as u64);
    let redriving = road.redriving.load(Ordering::Relaxed);
    if parked.saturating_sub(redriving) > road.settings.parked_keys_max {
        road.fail(ApplyFailure::TooManyParked(parked));
    }
    if let Some(troubles) = road.troubles.words() {
        stats.state.set("degraded", troubles);
    } else if !road.has_group_spoken() {
        let why = "waiting for the group to name partitions";
        stats.state.set("starting", why);
    } else if states.is_empty() {
        stats.lag_ms.set(0);
        stats.records_behind.set(0);
        let why = "standing by: other processes have all partitions";
        stats.state.set("caught_up", why);
    } else if stats.busy.get() == 0 && !drained {
        if let Some((partition, position, why)) = holdup {
            stats.state.set(
                "streaming",
                format!("lowest unapplied change: {partition} at {position}, {why}"),
            );
        }
    } else if drained && !road.ends_known.load(Ordering::Relaxed) {
        stats.state.set("starting", "asking how far the log is");
    } else if drained && stats.records_behind.get() == 0 {
        stats.lag_ms.set(0);
        stats.state.set("caught_up", "");
    } else {
        stats.state.set("streaming", "");
    }
}

/// Notes how many parked keys are to be redriven: who has too many mends the cause, asks for their redrive and starts again.
pub(super) fn note_redriving(road: &Road, progress: &[PartitionProgress]) {
    let redriving = progress
        .iter()
        .map(|partition| partition.redrive_keys.len())
        .sum();
    road.redriving.store(redriving, Ordering::Relaxed);
}

/// While nothing goes on though there is something to do, the lag grows: the last batch's would be told for ever.
struct Standstill {
    applied: u64,
    since: Instant,
}

impl Standstill {
    fn look(&mut self, road: &Road) {
        let stats = &road.stats;
        let applied = stats.applied.get();
        if applied != self.applied || road.lanes().is_drained() {
            (self.applied, self.since) = (applied, Instant::now());
            return;
        }
        let stands_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        stats.lag_ms.set(stats.lag_ms.get().max(stands_ms));
    }
}

async fn trim(road: &Road, saved: &HashMap<TopicPartition, PartitionLow>) {
    for low in saved.values() {
        if let Err(error) = road.log.trim(&low.partition, low.low).await {
            debug!(partition = %low.partition, "not trimmed this time: {error}");
        }
    }
}

/// What a person asked for, and tables that came.
async fn look(road: &Road, watched: &mut Watched) {
    watched.crew.look(road).await;
    if road.foreign.is_none()
        && let Ok(Some(state)) = road.tables.poll(road.log.as_ref()).await
        && state.topics != *road.topics.borrow()
    {
        road.topics.send_replace(state.topics);
    }
    if let Some(copied) = &mut watched.copied
        && let Err(failure) = copied.look(road).await
    {
        debug!(
            pipeline = &*road.settings.pipeline,
            "which copies are applied was not looked at this time: {failure}"
        );
    }
    let parked: Vec<_> = road.lanes().parked();
    if parked.is_empty() {
        return note_redriving(road, &[]);
    }
    let Ok(progress) = road.replica.progress(&road.settings.pipeline).await else {
        return;
    };
    note_redriving(road, &progress);
    let mut still = BTreeSet::new();
    let mut lanes = road.lanes();
    for partition in &progress {
        for (_, key) in &partition.parked_keys {
            still.insert((partition.partition.clone(), key.clone()));
        }
        for key in &partition.redrive_keys {
            lanes.redrive(&partition.partition, key);
        }
    }
    // Dropped by a person. What went behind it meanwhile is seen by the next look, and redriven.
    for mark in parked {
        if !still.contains(&(mark.partition.clone(), mark.key.clone())) {
            lanes.unpark(&mark);
        }
    }
    let ready = lanes.has_ready();
    drop(lanes);
    if ready {
        road.work.notify_one();
    }
}
