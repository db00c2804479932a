//! Events from topics into the store: many handlers wait for one transaction that has what all of them heard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keylane_core::consume::KeepOrder;
use keylane_core::publish::{Log, LogError};
use keylane_core::saga::wire::Attributes;
use keylane_core::saga::{BATCH_MAX, Heard, HeardError, Track, TrackStore, heard_of};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::settings::TrackerSettings;
use super::stats::TrackerStats;
use crate::consumer::{Consumer, ConsumerError, OnGap, Record};

/// How often topics are tried to be read after that was not possible.
const READ_INTERVAL: Duration = Duration::from_secs(5);
/// The pauses after the store did not do it.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(3);
const READING: &str = "reading";
const WRITING: &str = "writing";

/// An event that waits for its transaction.
struct Waiting {
    saga: String,
    heard: Heard,
    done: oneshot::Sender<()>,
}

/// Hears events until `stop`.
pub(super) async fn hear(
    settings: &TrackerSettings,
    store: &dyn TrackStore,
    stats: &Arc<TrackerStats>,
    stop: &CancellationToken,
) {
    let (into, mut waiting) = mpsc::channel(2 * BATCH_MAX);
    let reading = async {
        while !stop.is_cancelled() {
            if let Err(why) = round(settings, &into, stats, stop).await {
                tracing::error!("KL-SAGA-212: no events of sagas are heard: {why}");
                stats.set_trouble(READING, Some(format!("KL-SAGA-212: {why}")));
                pause(stop).await;
            }
        }
        drop(into);
    };
    let writing = async {
        while let Some(first) = waiting.recv().await {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX
                && let Ok(next) = waiting.try_recv()
            {
                batch.push(next);
            }
            write(settings, store, stats, batch, stop).await;
        }
    };
    tokio::join!(reading, writing);
}

/// Hears the topics that are there, until `stop` or until one comes that was missing: no topic holds up another.
async fn round(
    settings: &TrackerSettings,
    into: &mpsc::Sender<Waiting>,
    stats: &Arc<TrackerStats>,
    stop: &CancellationToken,
) -> Result<(), String> {
    let words = |error: LogError| error.to_string();
    let log = settings.log.open().await.map_err(words)?;
    let own = settings.own_topics.iter().map(String::as_str);
    let made = settings.log.make_missing(&*log, own).await;
    made.map_err(words)?;
    let missing = match settings.log.topics_come() {
        true => Vec::new(),
        false => missing(&*log, &settings.topics).await.map_err(words)?,
    };
    if !missing.is_empty() {
        let why = format!("not there, and not heard: {}", missing.join(", "));
        tracing::warn!("KL-SAGA-212: topics of choreographed sagas are {why}");
        stats.set_trouble(READING, Some(format!("KL-SAGA-212: topics are {why}")));
    } else {
        stats.set_trouble(READING, None);
    }
    let there = settings.topics.iter().filter(|it| !missing.contains(it));
    let there: Vec<&str> = there.map(String::as_str).collect();
    if there.is_empty() {
        pause(stop).await;
        return Ok(());
    }
    let round = stop.child_token();
    let mut reading = std::pin::pin!(read(settings, &there, into, stats, round.clone()));
    loop {
        tokio::select! {
            end = &mut reading => return end.map_err(|error| error.to_string()),
            () = tokio::time::sleep(READ_INTERVAL), if !missing.is_empty() => {
                let left = self::missing(&*log, &missing).await;
                if left.is_ok_and(|left| left.len() < missing.len()) {
                    round.cancel();
                }
            }
        }
    }
}

/// Those topics that are not there.
async fn missing(log: &dyn Log, topics: &[String]) -> Result<Vec<String>, LogError> {
    let mut missing = Vec::new();
    for topic in topics {
        if log.describe_topic(topic).await?.is_none() {
            missing.push(topic.clone());
        }
    }
    Ok(missing)
}

async fn pause(stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(READ_INTERVAL) => {}
    }
}

async fn read(
    settings: &TrackerSettings,
    topics: &[&str],
    into: &mpsc::Sender<Waiting>,
    stats: &Arc<TrackerStats>,
    stop: CancellationToken,
) -> Result<(), ConsumerError> {
    let consumer = Consumer::new(settings.log.clone(), settings.group.as_str())
        .order(KeepOrder::Unordered)
        .concurrency(2 * BATCH_MAX)
        // What retention took is not there for anybody: what is known is a join of the rest.
        .on_gap(OnGap::GoOn);
    let topics = topics.iter();
    let consumer = topics.fold(consumer, |consumer, topic| consumer.topic(*topic));
    let handler = async |record: Record| match event(&record) {
        Ok(None) => {
            stats.passed_over.add(1);
            Ok(())
        }
        Ok(Some((saga, heard))) => {
            let (done, written) = oneshot::channel();
            let waiting = Waiting { saga, heard, done };
            let stopping = || "the tracker is stopping".to_owned();
            into.send(waiting).await.map_err(|_| stopping())?;
            written.await.map_err(|_| stopping())
        }
        Err(why) => {
            // It would be no better the next time.
            stats.unreadable.add(1);
            if stats.unreadable.get().is_power_of_two() {
                tracing::warn!(
                    topic = &*record.topic,
                    partition = record.partition,
                    offset = record.offset.0,
                    "KL-SAGA-211: an event of a saga cannot be read and is passed over, {} so far: {why}",
                    stats.unreadable.get()
                );
            }
            Ok(())
        }
    };
    consumer.run(stop, handler).await
}

/// What a record says, if it belongs to a choreographed saga.
fn event(record: &Record) -> Result<Option<(String, Heard)>, HeardError> {
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| (&**name, &**value));
    let attributes = Attributes::from_kafka(headers)?;
    let Some((saga, heard)) = heard_of(&attributes, record.timestamp_ms.saturating_mul(1000))
    else {
        return Ok(None);
    };
    heard.check(&saga)?;
    Ok(Some((saga, heard)))
}

/// Writes a batch, again and again until it is done; gives it up only when the process ends: it is heard again.
async fn write(
    settings: &TrackerSettings,
    store: &dyn TrackStore,
    stats: &TrackerStats,
    batch: Vec<Waiting>,
    stop: &CancellationToken,
) {
    let mut tracks: BTreeMap<String, Track> = BTreeMap::new();
    let mut all_done = Vec::with_capacity(batch.len());
    for Waiting { saga, heard, done } in batch {
        tracks.entry(saga).or_default().hear(&heard);
        all_done.push(done);
    }
    let mut pause = PAUSE_FIRST;
    while let Err(error) = store.join(&tracks, &settings.known).await {
        tracing::warn!("KL-SAGA-201: what was heard of sagas is not written for now: {error}");
        stats.set_trouble(WRITING, Some(format!("KL-SAGA-201: {error}")));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    stats.set_trouble(WRITING, None);
    stats.batches.add(1);
    stats.heard.add(all_done.len() as u64);
    for done in all_done {
        // Whoever does not wait any more hears it again.
        let _ = done.send(());
    }
}
