//! Commands to topics, and answers from one. A command goes out by the idempotent producer, keyed by its saga; an answer is committed once it is decided upon and stored.

use keylane_core::saga::ParkedAnswer;
use keylane_core::saga::wire::{AnswerMessage, Attributes, CommandMessage, WireError};
use tokio_util::sync::CancellationToken;

use super::inbox::Door;
use crate::consumer::{Consumer, ConsumerError, KeepOrder, OnGap, Record};
use crate::kafka::KafkaSettings;
use crate::saga::to_topics::Topics;
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
    topics: Topics,
    reply_topic: String,
}

impl KafkaChannel {
    pub fn new(way: KafkaWay) -> Self {
        KafkaChannel {
            topics: Topics::new(way.settings.into()),
            reply_topic: way.reply_topic,
        }
    }

    /// Where answers are to go.
    pub fn reply_topic(&self) -> &str {
        &self.reply_topic
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
        let attributes = message.attributes();
        self.topics
            .send(topic, &message.saga, &attributes, body)
            .await
    }
}

/// Takes answers in until `stop`; ends with an error that only a person can help with.
pub(super) async fn answers(
    way: &KafkaWay,
    door: &Door,
    stop: CancellationToken,
) -> Result<(), ConsumerError> {
    // What retention took is asked for again. An answer means the same whatever comes before it, so those to one saga need not wait for each other's transactions.
    let consumer = Consumer::new(way.settings.clone(), &*way.group)
        .topic(&*way.reply_topic)
        .order(KeepOrder::Unordered)
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
