//! Messages into topics of the log: each once within a session, keyed by its saga, and durable when it says so.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use keylane_core::model::{Offset, OrderHash, TopicPartition};
use keylane_core::publish::{Log, LogError, LogErrorKind, NewRecord};
use keylane_core::saga::wire::Attributes;
use tokio::sync::Mutex;

use crate::log_settings::LogSettings;
use crate::workers::stats::now_us;

/// Bytes that are read of a partition at a time.
const READ_BYTES: usize = 1 << 20;

/// Sends messages.
pub(super) struct Topics {
    settings: LogSettings,
    session: Mutex<Option<Arc<Session>>>,
}

/// A producer's life, and what is known of the topics since it began.
struct Session {
    log: Arc<dyn Log>,
    partitions: Mutex<HashMap<String, u32>>,
}

impl Topics {
    /// Of this log; opened when something is sent first.
    pub fn new(settings: LogSettings) -> Self {
        Topics {
            settings: settings.with_headers(),
            session: Mutex::default(),
        }
    }

    /// Sends a message of this saga; returns once it is durable. After an error it may have been sent.
    ///
    /// # Errors
    /// In words.
    pub async fn send(
        &self,
        topic: &str,
        saga: &str,
        attributes: &Attributes,
        body: Vec<u8>,
    ) -> Result<(), String> {
        let sending = async |session: Arc<Session>| {
            let key = Bytes::copy_from_slice(saga.as_bytes());
            let partition = session.partition(topic, saga).await?;
            let headers = attributes.to_kafka().map(|(name, value)| {
                let value = Bytes::copy_from_slice(value.as_bytes());
                (Arc::from(name), value)
            });
            let record = NewRecord {
                partition,
                key: Some(key),
                value: Some(Bytes::from(body)),
                headers: headers.collect(),
                keylane: String::new(),
                timestamp_ms: now_us() / 1000,
            };
            session.log.append(vec![record]).await?.await
        };
        self.with(topic, sending).await.map(drop)
    }

    /// The partition of a topic that a saga's messages go into, and where it ends now.
    ///
    /// # Errors
    /// In words.
    pub async fn end(&self, topic: &str, saga: &str) -> Result<(u32, Offset), String> {
        let asking = async |session: Arc<Session>| {
            let partition = session.partition(topic, saga).await?;
            let bounds = session.log.bounds(&partition).await?;
            Ok((partition.partition, bounds.end))
        };
        self.with(topic, asking).await
    }

    /// Whether a message of this id stands in a partition, from an offset to where it ends now.
    ///
    /// # Errors
    /// In words.
    pub async fn holds(
        &self,
        topic: &str,
        partition: u32,
        from: Offset,
        id: &str,
    ) -> Result<bool, String> {
        let looking = async |session: Arc<Session>| {
            let partition = TopicPartition::new(Arc::from(topic), partition);
            let bounds = session.log.bounds(&partition).await?;
            // A topic that was made anew is shorter.
            let mut next = match from > bounds.end {
                true => bounds.start,
                false => from.max(bounds.start),
            };
            while next < bounds.end {
                let records = session.log.read(&partition, next, READ_BYTES).await?;
                let is_it = |(name, value): &(Arc<str>, Bytes)| {
                    &**name == "ce_id" && value.as_ref() == id.as_bytes()
                };
                if records.iter().any(|it| it.headers.iter().any(is_it)) {
                    return Ok(true);
                }
                match records.last() {
                    Some(last) => next = last.offset.next(),
                    None => break,
                }
            }
            Ok(false)
        };
        self.with(topic, looking).await
    }

    async fn with<T>(
        &self,
        topic: &str,
        work: impl AsyncFnOnce(Arc<Session>) -> Result<T, LogError>,
    ) -> Result<T, String> {
        let session = self.session().await.map_err(|error| error.to_string())?;
        let worked = work(session.clone()).await;
        if let Err(error) = &worked
            && error.kind == LogErrorKind::SessionOver
        {
            self.over(&session).await;
        }
        worked.map_err(|error| format!("topic {topic}: {error}"))
    }

    async fn session(&self) -> Result<Arc<Session>, LogError> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session {
            return Ok(session.clone());
        }
        let opened = Arc::new(Session {
            log: self.settings.open().await?,
            partitions: Mutex::default(),
        });
        *session = Some(opened.clone());
        Ok(opened)
    }

    /// The next message opens another session.
    async fn over(&self, session: &Arc<Session>) {
        let mut now = self.session.lock().await;
        if now.as_ref().is_some_and(|it| Arc::ptr_eq(it, session)) {
            *now = None;
        }
    }
}

impl Session {
    /// The partition that a saga's messages go into.
    async fn partition(&self, topic: &str, saga: &str) -> Result<TopicPartition, LogError> {
        let number = OrderHash::of(saga.as_bytes()).partition(self.partitions(topic).await?);
        Ok(TopicPartition::new(Arc::from(topic), number))
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        let mut known = self.partitions.lock().await;
        if let Some(partitions) = known.get(topic) {
            return Ok(*partitions);
        }
        let Some(info) = self.log.describe_topic(topic).await? else {
            let message = "it is not there: create it".to_owned();
            return Err(LogError::new(LogErrorKind::TopicMismatch, message));
        };
        known.insert(topic.to_owned(), info.partitions);
        Ok(info.partitions)
    }
}
