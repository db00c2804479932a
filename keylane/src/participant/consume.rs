//! Commands over topics: read by a consumer group, answered on the topic that each names.
//!
//! An answer is in its topic before the command counts as done. Who dies in between is given the command again, and gives the stored answer again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use keylane_core::model::{OrderHash, TopicPartition};
use keylane_core::publish::{Log, LogError, LogErrorKind, NewRecord};
use keylane_core::saga::wire::{AnswerMessage, Attributes, CommandMessage};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::carry::CarryOut;
use super::choreography::{Hear, SagaEvent};
use crate::consumer::{Consumer, ConsumerError, Record};
use crate::log_settings::LogSettings;
use crate::workers::stats::now_us;

/// Topics of answers that are known at a time; more are asked for anew.
const TOPICS_MAX: usize = 1_000;

/// Carries out commands of a topic and answers them.
pub struct CommandConsumer {
    participant: Arc<dyn CarryOut>,
    log: Mutex<Option<Arc<dyn Log>>>,
    settings: LogSettings,
    partitions: Mutex<BTreeMap<String, u32>>,
}

/// Reads commands with `consumer` and answers them in the log of `settings`, until told to stop. What is no command counts as a failed record: the consumer's own attempts and
/// dead-letter topic say what becomes of it.
///
/// # Errors
/// As [`Consumer::run`].
pub async fn serve(
    participant: Arc<dyn CarryOut>,
    consumer: Consumer,
    settings: impl Into<LogSettings>,
    stop: CancellationToken,
) -> Result<(), ConsumerError> {
    let commands = Arc::new(CommandConsumer::new(participant, settings));
    consumer
        .run(stop, move |record: Record| {
            let commands = commands.clone();
            async move { commands.take(&record).await }
        })
        .await
}

/// Hears the events of choreographed sagas that `consumer` reads, until told to stop; records of no saga are passed over. What cannot be read, or fails, counts as a failed record: the consumer's own
/// attempts and dead-letter topic say what becomes of it.
///
/// # Errors
/// As [`Consumer::run`].
pub async fn hear(
    choreography: Arc<dyn Hear>,
    consumer: Consumer,
    stop: CancellationToken,
) -> Result<(), ConsumerError> {
    consumer
        .run(stop, move |record: Record| {
            let choreography = choreography.clone();
            async move {
                let headers = record.headers.iter();
                let headers = headers.map(|(name, value)| (&**name, value.as_ref()));
                let value = record.value.as_deref().unwrap_or_default();
                let read = SagaEvent::read(headers, value, record.timestamp_ms * 1000);
                match read
                    .map_err(|why| format!("KL-SAGA-101: this is no event of a saga: {why}"))?
                {
                    Some(event) => choreography.hear(&event).await,
                    None => Ok(()),
                }
            }
        })
        .await
}

impl CommandConsumer {
    /// Answers in the log of `settings`.
    pub fn new(participant: Arc<dyn CarryOut>, settings: impl Into<LogSettings>) -> Self {
        CommandConsumer {
            participant,
            log: Mutex::new(None),
            settings: settings.into(),
            partitions: Mutex::new(BTreeMap::new()),
        }
    }

    /// Carries out the command of a record and sends its answer; returns once that is durable.
    ///
    /// # Errors
    /// In words, if it is no command or its answer cannot be sent.
    pub async fn take(&self, record: &Record) -> Result<(), String> {
        let headers = record.headers.iter();
        let headers = headers.map(|(name, value)| (&**name, value.as_ref()));
        let body = record.value.as_deref().unwrap_or_default();
        let read = Attributes::from_kafka(headers).and_then(|it| CommandMessage::read(&it, body));
        let command = read.map_err(|why| format!("KL-SAGA-101: this is no command: {why}"))?;
        let outcome = self.participant.carry_out(&command).await;
        let Some(topic) = &command.reply_to else {
            return Ok(());
        };
        let answer = AnswerMessage::to(&command, outcome, self.participant.source());
        let sent = self.send(topic, &answer).await;
        sent.map_err(|error| format!("the answer did not get into topic {topic}: {error}"))
    }

    async fn send(&self, topic: &str, answer: &AnswerMessage) -> Result<(), LogError> {
        let log = self.log().await?;
        let number = OrderHash::of(answer.saga.as_bytes());
        let number = number.partition(self.partitions_of(log.as_ref(), topic).await?);
        let attributes = answer.attributes();
        let headers = attributes
            .to_kafka()
            .map(|(name, value)| (name.into(), Bytes::copy_from_slice(value.as_bytes())));
        let record = NewRecord {
            partition: TopicPartition::new(topic, number),
            key: Some(Bytes::from(answer.saga.clone())),
            value: Some(Bytes::from(answer.body().to_string())),
            headers: headers.collect(),
            keylane: String::new(),
            timestamp_ms: now_us() / 1000,
        };
        let sent = async { log.append(vec![record]).await?.await }.await;
        if sent
            .as_ref()
            .is_err_and(|error| error.kind == LogErrorKind::SessionOver)
        {
            // A producer whose send has an unknown fate sends nothing more.
            *self.log.lock().await = None;
        }
        sent.map(drop)
    }

    async fn log(&self) -> Result<Arc<dyn Log>, LogError> {
        let mut held = self.log.lock().await;
        if let Some(log) = held.as_ref() {
            return Ok(log.clone());
        }
        let log = self.settings.open().await?;
        *held = Some(log.clone());
        Ok(log)
    }

    async fn partitions_of(&self, log: &dyn Log, topic: &str) -> Result<u32, LogError> {
        let mut known = self.partitions.lock().await;
        if let Some(partitions) = known.get(topic) {
            return Ok(*partitions);
        }
        let found = log.describe_topic(topic).await?.ok_or_else(|| {
            let message = format!("the topic {topic} is not there");
            LogError::new(LogErrorKind::TopicMismatch, message)
        })?;
        if known.len() >= TOPICS_MAX {
            known.clear();
        }
        known.insert(topic.to_owned(), found.partitions);
        Ok(found.partitions)
    }
}
