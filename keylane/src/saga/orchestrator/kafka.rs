//! Commands to topics, and answers from one. A command goes out by the idempotent producer, keyed by its saga; an answer is committed once it is decided upon and stored.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use keylane_core::model::{OrderHash, TopicPartition};
use keylane_core::publish::{Log, LogError, LogErrorKind, NewRecord};
use keylane_core::saga::ParkedAnswer;
use keylane_core::saga::wire::{AnswerMessage, Attributes, CommandMessage, WireError};
use tokio_util::sync::CancellationToken;

use super::inbox::Door;
use crate::consumer::{Consumer, ConsumerError, OnGap, Record};
use crate::kafka::{KafkaLog, KafkaSettings};
use crate::workers::stats::now_us;

/// Answers that are decided upon at a time: a batch is made of them.
const ANSWERS_AT_ONCE: usize = 500;

/// How Kafka is reached, and where answers come in.
#[derive(Clone, Debug)]
pub struct KafkaWay {
    /// The cluster.
    pub settings: KafkaSettings,
    /// The topic of the answers.
    pub reply_topic: String,
    /// The group that reads it: that of all processes that share the sagas.
    pub group: String,
}

/// Sends commands.
pub(super) struct KafkaChannel {
    way: KafkaWay,
    session: std::sync::Mutex<Option<Arc<Session>>>,
}

/// A producer's life, and what is known of the topics since it began.
struct Session {
    log: KafkaLog,
    partitions: tokio::sync::Mutex<HashMap<String, u32>>,
}

impl KafkaChannel {
    pub fn new(way: KafkaWay) -> Self {
        KafkaChannel {
            way,
            session: std::sync::Mutex::default(),
        }
    }

    /// Where answers are to go.
    pub fn reply_topic(&self) -> &str {
        &self.way.reply_topic
    }

    /// Sends a command; returns once it is durable. After an error it may have been sent: it is sent again, and participants tell repeats.
    ///
    /// # Errors
    /// In words.
    pub async fn send(
        &self,
        topic: &str,
        message: &CommandMessage,
        body: Vec<u8>,
    ) -> Result<(), String> {
        let session = self.session().map_err(|error| error.to_string())?;
        let sent = session.send(topic, message, body).await;
        sent.map_err(|error| {
            if error.kind == LogErrorKind::SessionOver {
                self.over(&session);
            }
            format!("topic {topic}: {error}")
        })
    }

    fn session(&self) -> Result<Arc<Session>, LogError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*session {
            return Ok(session.clone());
        }
        let opened = Arc::new(Session {
            log: KafkaLog::open(self.way.settings.clone())?,
            partitions: tokio::sync::Mutex::default(),
        });
        *session = Some(opened.clone());
        Ok(opened)
    }

    /// The next command opens another session.
    fn over(&self, session: &Arc<Session>) {
        let mut now = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if now.as_ref().is_some_and(|it| Arc::ptr_eq(it, session)) {
            *now = None;
        }
    }
}

impl Session {
    async fn send(
        &self,
        topic: &str,
        message: &CommandMessage,
        body: Vec<u8>,
    ) -> Result<(), LogError> {
        let partitions = self.partitions(topic).await?;
        let key = Bytes::from(message.saga.clone().into_bytes());
        let number = OrderHash::of(&key).partition(partitions);
        let attributes = message.attributes();
        let headers = attributes.to_kafka().map(|(name, value)| {
            let value = Bytes::copy_from_slice(value.as_bytes());
            (Arc::from(name), value)
        });
        let record = NewRecord {
            partition: TopicPartition::new(Arc::from(topic), number),
            key: Some(key),
            value: Some(Bytes::from(body)),
            headers: headers.collect(),
            keylane: String::new(),
            timestamp_ms: now_us() / 1000,
        };
        let ticket = self.log.append(vec![record]).await?;
        ticket.await.map(drop)
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

/// Takes answers in until `stop`; ends with an error that only a person can help with.
pub(super) async fn answers(
    way: &KafkaWay,
    door: &Door,
    stop: CancellationToken,
) -> Result<(), ConsumerError> {
    // What retention took is asked for again.
    let consumer = Consumer::new(way.settings.clone(), &*way.group)
        .topic(&*way.reply_topic)
        .on_gap(OnGap::GoOn)
        .concurrency(ANSWERS_AT_ONCE);
    let handler = async |record: Record| match read(&record) {
        Ok(message) => {
            let answer = ParkedAnswer {
                saga: message.saga,
                reply: message.reply,
                at_us: now_us(),
            };
            door.hear(answer).await.map_err(|why| why.to_string())
        }
        Err(why) => {
            // It would be no better the next time. The saga asks again.
            tracing::warn!(
                topic = &*record.topic,
                partition = record.partition,
                offset = record.offset.0,
                "KL-SAGA-206: an answer cannot be read and is passed over: {why}"
            );
            Ok(())
        }
    };
    consumer.run(stop, handler).await
}

fn read(record: &Record) -> Result<AnswerMessage, WireError> {
    let headers = record
        .headers
        .iter()
        .map(|(name, value)| (&**name, &**value));
    let attributes = Attributes::from_kafka(headers)?;
    let body = record.value.as_deref().unwrap_or_default();
    AnswerMessage::read(&attributes, body)
}
