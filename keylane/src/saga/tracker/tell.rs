//! Signals from the store into topics. Before one is first sent it is noted where its partition ends; who finds that noted looks from there whether the signal stands in the topic already, and sends it only if not.

use std::time::Duration;

use keylane_core::saga::{BATCH_MAX, NotedSignal, StoreError, TrackStore};
use tokio_util::sync::CancellationToken;

use super::settings::TrackerSettings;
use super::stats::TrackerStats;
use crate::saga::to_topics::Topics;

/// How often it is looked what is to be told.
const INTERVAL: Duration = Duration::from_millis(200);
/// And after that failed.
const PAUSE: Duration = Duration::from_secs(3);
const TELLING: &str = "telling";

/// Tells what is to be told about sagas of the shards that this process has, until `stop`.
pub(super) async fn tell(
    settings: &TrackerSettings,
    store: &dyn TrackStore,
    stats: &TrackerStats,
    shards: impl Fn() -> Vec<u16>,
    stop: &CancellationToken,
) {
    let topics = Topics::new(settings.log.clone());
    let mut pause = INTERVAL;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let told = tell_all(settings, store, stats, &topics, &shards()).await;
        pause = if told.is_ok() { INTERVAL } else { PAUSE };
        if let Err(why) = &told {
            tracing::warn!("KL-SAGA-212: the services of a saga are not told for now: {why}");
        }
        let why = told.err().map(|why| format!("KL-SAGA-212: {why}"));
        stats.set_trouble(TELLING, why);
    }
}

/// One that cannot be told holds up no other.
async fn tell_all(
    settings: &TrackerSettings,
    store: &dyn TrackStore,
    stats: &TrackerStats,
    topics: &Topics,
    shards: &[u16],
) -> Result<(), String> {
    if shards.is_empty() {
        return Ok(());
    }
    let words = |error: StoreError| error.to_string();
    let unsent = store.unsent_signals(shards, BATCH_MAX).await;
    let mut end = Ok(());
    for noted in unsent.map_err(words)? {
        match tell_one(settings, store, topics, &noted).await {
            Ok(()) => {
                store.signal_sent(noted.number).await.map_err(words)?;
                stats.told.add(1);
            }
            Err(why) => end = Err(why),
        }
    }
    end
}

/// Returns once the signal stands in its topic.
async fn tell_one(
    settings: &TrackerSettings,
    store: &dyn TrackStore,
    topics: &Topics,
    noted: &NotedSignal,
) -> Result<(), String> {
    let signal = &noted.signal;
    match noted.tried_at {
        Some((partition, from)) => {
            if topics
                .holds(&signal.topic, partition, from, &signal.id())
                .await?
            {
                return Ok(());
            }
        }
        None => {
            let (partition, end) = topics.end(&signal.topic, &signal.saga).await?;
            let noted = store.try_signal(noted.number, partition, end).await;
            noted.map_err(|error| error.to_string())?;
        }
    }
    let (attributes, body) = (signal.attributes(&settings.source), signal.body());
    let body = body.to_string().into_bytes();
    topics
        .send(&signal.topic, &signal.saga, &attributes, body)
        .await
}
