//! Where records go that cannot be handled: another topic, with headers that say where they were and what went wrong.

use std::sync::Arc;

use bytes::Bytes;
use keylane_core::model::{OrderHash, TopicPartition};
use keylane_core::publish::{Log, LogError, LogErrorKind, NewRecord};

use super::record::Record;
use crate::workers::stats::now_us;

/// How headers begin that tell of a death.
pub(super) const DEAD: &str = "keylane.dead.";
/// What tells a repeat of the record.
pub(super) const DEAD_ID: &str = "keylane.dead.id";
/// Where it was.
pub(super) const DEAD_TOPIC: &str = "keylane.dead.topic";
/// Where it was.
pub(super) const DEAD_PARTITION: &str = "keylane.dead.partition";

/// The longest error text that goes along, in bytes.
const ERROR_BYTES_MAX: usize = 1000;

/// A topic for dead letters.
pub(super) struct DeadLetters {
    topic: Arc<str>,
    partitions: u32,
}

impl DeadLetters {
    /// Looks the topic up.
    ///
    /// # Errors
    /// If it is not there.
    pub(super) async fn open(log: &dyn Log, topic: &Arc<str>) -> Result<Self, LogError> {
        let Some(info) = log.describe_topic(topic).await? else {
            let message = format!("the dead-letter topic {topic} is not there: create it");
            return Err(LogError::new(LogErrorKind::TopicMismatch, message));
        };
        Ok(DeadLetters {
            topic: topic.clone(),
            partitions: info.partitions,
        })
    }

    /// The record as it goes there: its key keeps its order, its own headers come first.
    pub(super) fn letter(&self, record: &Record, attempts: u32, error: &str) -> NewRecord {
        let number = match &record.key {
            Some(key) => OrderHash::of(key).partition(self.partitions),
            None => record.partition % self.partitions.max(1),
        };
        let mut ends = (0..=error.len().min(ERROR_BYTES_MAX)).rev();
        let error = ends.find_map(|end| error.get(..end)).unwrap_or_default();
        let mut headers = record.headers.clone();
        // Of one that was put back, an earlier death is told no more.
        headers.retain(|(name, _)| !name.starts_with(DEAD));
        let mut add = |name: &str, value: String| headers.push((name.into(), Bytes::from(value)));
        add(DEAD_ID, record.id());
        add(DEAD_TOPIC, record.topic.to_string());
        add(DEAD_PARTITION, record.partition.to_string());
        add("keylane.dead.offset", record.offset.0.to_string());
        add("keylane.dead.timestamp_ms", record.timestamp_ms.to_string());
        add("keylane.dead.attempts", attempts.to_string());
        add("keylane.dead.error", error.to_owned());
        NewRecord {
            partition: TopicPartition::new(self.topic.clone(), number),
            key: record.key.clone(),
            value: record.value.clone(),
            headers,
            keylane: String::new(),
            timestamp_ms: now_us() / 1000,
        }
    }
}
