//! Kafka as the log: the port's methods, each handed to the part that knows.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{
    AppendTicket, Bounds, GroupMember, GroupSettings, Log, LogConsumer, LogError, NewRecord,
    RawRecord, TopicInfo, TopicSpec,
};

use super::consumer::KafkaConsumer;
use super::member::KafkaMember;
use super::producer::Producer;
use super::reader::Readers;
use super::settings::KafkaSettings;
use super::topics::{Topics, blocking};

/// A Kafka cluster as the log. One value is one producer session: when it is over, open another.
pub struct KafkaLog {
    settings: KafkaSettings,
    topics: Topics,
    readers: Arc<Readers>,
    producer: OnceLock<Producer>,
}

impl KafkaLog {
    /// Opens the clients. Connects in the background: an unreachable cluster shows at the first question, within the answer time-out.
    ///
    /// # Errors
    /// If the settings cannot be used, by librdkafka or by this build.
    pub fn open(settings: KafkaSettings) -> Result<Self, LogError> {
        settings.check()?;
        Ok(KafkaLog {
            topics: Topics::new(&settings)?,
            readers: Arc::new(Readers::new(&settings)),
            producer: OnceLock::new(),
            settings,
        })
    }

    /// Made at the first append: who only reads needs none.
    fn producer(&self) -> Result<&Producer, LogError> {
        if let Some(producer) = self.producer.get() {
            return Ok(producer);
        }
        let producer = Producer::new(&self.settings)?;
        Ok(self.producer.get_or_init(|| producer))
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<Vec<TopicInfo>, LogError> {
        let mut infos = Vec::with_capacity(specs.len());
        for spec in specs {
            infos.push(self.topics.ensure(spec).await?);
        }
        Ok(infos)
    }

    async fn describe_topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        self.topics.find(name).await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<AppendTicket, LogError> {
        self.producer()?.append(records).await
    }

    async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        self.topics.bounds(partition).await
    }

    async fn read(
        &self,
        partition: &TopicPartition,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Vec<RawRecord>, LogError> {
        let (readers, partition) = (self.readers.clone(), partition.clone());
        blocking(move || readers.read(&partition, from, bytes_max)).await?
    }

    async fn consumer(
        &self,
        group: &str,
        buffer_bytes: usize,
    ) -> Result<Box<dyn LogConsumer>, LogError> {
        let consumer = KafkaConsumer::new(self.settings.clone(), group, buffer_bytes);
        Ok(Box::new(consumer))
    }

    async fn join(
        &self,
        group: &GroupSettings,
        topics: &[Arc<str>],
    ) -> Result<Box<dyn GroupMember>, LogError> {
        let member = KafkaMember::join(&self.settings, group, topics)?;
        Ok(Box::new(member))
    }

    /// Retention is the cluster's own.
    async fn trim(&self, _partition: &TopicPartition, _before: Offset) -> Result<(), LogError> {
        Ok(())
    }
}
