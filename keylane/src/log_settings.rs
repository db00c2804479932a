//! How the log is reached, whichever it is: the one place that opens either.

use std::sync::Arc;

use keylane_core::publish::{Log, LogError, TopicSpec};

use crate::embedded::{EmbeddedLog, EmbeddedOptions};
use crate::kafka::{KafkaLog, KafkaSettings};

/// How a log is reached.
#[derive(Clone, Debug)]
pub enum LogSettings {
    /// A Kafka cluster.
    Kafka(KafkaSettings),
    /// A file of this machine.
    Embedded(EmbeddedOptions),
}

impl LogSettings {
    /// Opens it.
    ///
    /// # Errors
    /// As [`KafkaLog::open`] and [`EmbeddedLog::open`].
    pub async fn open(&self) -> Result<Arc<dyn Log>, LogError> {
        Ok(match self {
            LogSettings::Kafka(settings) => Arc::new(KafkaLog::open(settings.clone())?),
            LogSettings::Embedded(options) => Arc::new(EmbeddedLog::open(options.clone()).await?),
        })
    }

    /// The same log, with all headers of its records.
    #[must_use]
    pub fn with_headers(mut self) -> Self {
        match &mut self {
            LogSettings::Kafka(settings) => settings.with_headers = true,
            LogSettings::Embedded(options) => options.with_headers = true,
        }
        self
    }

    /// Whether a topic comes with its first record: in an embedded log. At a cluster somebody made it before, or its name is wrong.
    pub(crate) fn topics_come(&self) -> bool {
        match self {
            LogSettings::Kafka(_) => false,
            LogSettings::Embedded(_) => true,
        }
    }

    /// Makes those of these topics that are not there, with one partition, where there is nobody else to make them: in an embedded log. On a cluster it does nothing.
    ///
    /// # Errors
    /// If the log fails.
    pub(crate) async fn make_missing(
        &self,
        log: &dyn Log,
        topics: impl IntoIterator<Item = &str>,
    ) -> Result<(), LogError> {
        if !self.topics_come() {
            return Ok(());
        }
        for topic in topics {
            if log.describe_topic(topic).await?.is_none() {
                let spec = TopicSpec {
                    name: topic.into(),
                    partitions: 1,
                    replication_factor: 1,
                    settings: Vec::new(),
                };
                log.ensure_topics(&[spec]).await?;
            }
        }
        Ok(())
    }
}

impl From<KafkaSettings> for LogSettings {
    fn from(settings: KafkaSettings) -> Self {
        LogSettings::Kafka(settings)
    }
}

impl From<EmbeddedOptions> for LogSettings {
    fn from(options: EmbeddedOptions) -> Self {
        LogSettings::Embedded(options)
    }
}
