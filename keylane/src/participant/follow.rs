//! Events heard from a log that one machine's processes share: who hears them keeps how far it is itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{Log, LogConsumer, LogError, RawRecord};
use tokio_util::sync::CancellationToken;

use super::choreography::{Hear, SagaEvent};

/// Bytes that are read ahead over all partitions.
const BUFFER_BYTES: usize = 4 << 20;
/// Bytes of a partition that are heard before it is kept how far it is.
const PARTITION_BYTES: usize = 64 << 10;
/// How long a look for new events waits for the first.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// The pauses between attempts at what fails.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How far somebody has heard.
#[async_trait]
pub trait Places: Send + Sync {
    /// The next record of each partition that was heard from.
    ///
    /// # Errors
    /// In words.
    async fn places(&self) -> Result<BTreeMap<TopicPartition, Offset>, String>;

    /// Everything before this record was heard.
    ///
    /// # Errors
    /// In words.
    async fn keep(&self, partition: &TopicPartition, next: Offset) -> Result<(), String>;
}

/// Hears the events of these topics, from where it was before, until told to stop; topics that are not there yet are heard once they are. An event that fails is heard again until it does not, and holds up its partition; one that
/// cannot be read is told and passed over, and stays in the log.
///
/// Needs a log that tells headers: [`EmbeddedOptions::with_headers`](crate::embedded::EmbeddedOptions).
///
/// # Errors
/// In words, if the log or the service's database cannot be used, or the log no longer holds what was not heard yet.
pub async fn follow<S: Hear + Places>(
    service: &S,
    log: &dyn Log,
    topics: &[Arc<str>],
    stop: CancellationToken,
) -> Result<(), String> {
    let stopped = stop.clone();
    tokio::select! {
        biased;
        () = stopped.cancelled() => Ok(()),
        ended = following(service, log, topics) => ended,
    }
}

async fn following<S: Hear + Places>(
    service: &S,
    log: &dyn Log,
    topics: &[Arc<str>],
) -> Result<(), String> {
    let words = |error: LogError| error.to_string();
    let places = service.places().await?;
    let consumer = log.consumer("events", BUFFER_BYTES).await;
    let mut consumer: Box<dyn LogConsumer> = consumer.map_err(words)?;
    let (mut missing, mut assigned) = (topics.to_vec(), Vec::new());
    loop {
        let mut still_missing = Vec::new();
        for topic in missing {
            let Some(info) = log.describe_topic(&topic).await.map_err(words)? else {
                still_missing.push(topic);
                continue;
            };
            for number in 0..info.partitions {
                let partition = TopicPartition::new(&*topic, number);
                let from = match places.get(&partition) {
                    Some(next) => *next,
                    None => log.bounds(&partition).await.map_err(words)?.start,
                };
                consumer.assign(&partition, from).await.map_err(words)?;
                assigned.push((partition, PARTITION_BYTES));
            }
        }
        missing = still_missing;
        let fetched = consumer.fetch(&assigned, FETCH_WAIT).await;
        for (partition, records) in fetched.map_err(words)? {
            for record in &records {
                hear(service, &partition, record).await;
            }
            if let Some(last) = records.last() {
                service.keep(&partition, last.offset.next()).await?;
            }
        }
    }
}

async fn hear(service: &impl Hear, partition: &TopicPartition, record: &RawRecord) {
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| (&**name, value.as_ref()));
    let value = record.value.as_deref().unwrap_or_default();
    let event = match SagaEvent::read(headers, value, record.timestamp_ms * 1000) {
        Ok(Some(event)) => event,
        Ok(None) => return,
        Err(why) => {
            let offset = record.offset.0;
            tracing::error!(
                "KL-SAGA-101: record {offset} of {partition} is no event of a saga, it is passed over: {why}"
            );
            return;
        }
    };
    let mut pause = AGAIN.0;
    while let Err(why) = service.hear(&event).await {
        tracing::warn!("an event is heard again in {pause:?}: {why}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}
