//! Topics: created when missing, verified when there, told apart from an earlier topic of the same name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::model::TopicPartition;
use keylane_core::publish::{Bounds, LogError, LogErrorKind, TopicInfo, TopicSpec};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::Client;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::failure::{failed, failed_with};
use super::native::{Described, ENABLED_EVENTS, describe_topic, hear};
use super::settings::KafkaSettings;
use super::watch::Watch;

/// A topic without identity: brokers before 2.8 give none, so a topic that was created again cannot be told.
const NO_ID: &str = "none";
/// The setting that says how large a record may be.
const LARGEST: &str = "max.message.bytes";

/// Asks the cluster about topics.
pub(super) struct Topics {
    admin: Arc<AdminClient<Watch>>,
    settings: KafkaSettings,
}

impl Topics {
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, LogError> {
        Ok(Topics {
            admin: Arc::new(open_admin(settings)?),
            settings: settings.clone(),
        })
    }

    /// Creates the topic if it is missing, else verifies it.
    pub(super) async fn ensure(&self, spec: &TopicSpec) -> Result<TopicInfo, LogError> {
        if let Some(found) = self.describe(&spec.name).await? {
            self.verify(spec, &found).await?;
            return Ok(info(&spec.name, found, false));
        }
        let created = self.create(spec).await?;
        let deadline = Instant::now() + self.settings.answer_timeout;
        loop {
            if let Some(found) = self.describe(&spec.name).await? {
                // What was just created is as it was asked for, and not every broker can tell yet.
                if !created {
                    self.verify(spec, &found).await?;
                }
                return Ok(info(&spec.name, found, created));
            }
            if Instant::now() >= deadline {
                let message = format!(
                    "topic {} was created but did not appear within {:?}",
                    spec.name, self.settings.answer_timeout
                );
                return Err(LogError::new(LogErrorKind::Unreachable, message));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The topic as it is; `None` if it is not there. Never creates it.
    pub(super) async fn find(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        let Some(found) = self.describe(name).await? else {
            return Ok(None);
        };
        let told = self.settings_of(name).await;
        let max = told.as_ref().and_then(|told| told.get(LARGEST));
        Ok(Some(TopicInfo {
            record_bytes_max: max.and_then(|max| max.value.as_deref()?.parse().ok()),
            ..info(name, found, false)
        }))
    }

    /// A topic's settings. Some clusters keep them to themselves, and who may not read them is told none.
    async fn settings_of(&self, name: &str) -> Option<ConfigResource> {
        let resource = [ResourceSpecifier::Topic(name)];
        let described = self
            .admin
            .describe_configs(resource.iter(), &self.options())
            .await;
        let told = described.ok()?.into_iter().next()?.ok()?;
        (!told.entries.is_empty()).then_some(told)
    }

    /// The offsets a partition holds.
    pub(super) async fn bounds(&self, partition: &TopicPartition) -> Result<Bounds, LogError> {
        let (admin, timeout) = (self.admin.clone(), self.settings.answer_timeout);
        let asked = partition.clone();
        let (start, end) = blocking(move || {
            let number = i32::try_from(asked.partition).unwrap_or(i32::MAX);
            let client = admin.inner();
            client
                .fetch_watermarks(&asked.topic, number, timeout)
                .map_err(|error| {
                    let what = format!("asking for the offsets of {asked}");
                    failed(&what, &error, &cause(client))
                })
        })
        .await??;
        let offset = |offset| keylane_core::model::Offset(u64::try_from(offset).unwrap_or(0));
        Ok(Bounds {
            start: offset(start),
            end: offset(end),
        })
    }

    async fn describe(&self, name: &str) -> Result<Option<Described>, LogError> {
        let (admin, timeout) = (self.admin.clone(), self.settings.answer_timeout);
        let (asked, bootstrap) = (name.to_owned(), self.settings.bootstrap.clone());
        blocking(move || {
            describe_topic(admin.inner(), &asked, timeout).map_err(|code| {
                let what = format!("asking Kafka at {bootstrap} for topic {asked}");
                failed_with(&what, code, &cause(admin.inner()))
            })
        })
        .await?
    }

    /// Whether this call created it: another process may have been quicker.
    async fn create(&self, spec: &TopicSpec) -> Result<bool, LogError> {
        let spec = &spec.clone().held_twice();
        let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
        let replication = TopicReplication::Fixed(spec.replication_factor);
        let mut topic = NewTopic::new(&spec.name, partitions, replication);
        for (name, value) in &spec.settings {
            topic = topic.set(name, value);
        }
        let what = format!("creating topic {}", spec.name);
        let cause = || cause(self.admin.inner());
        let results = self
            .admin
            .create_topics([&topic], &self.options())
            .await
            .map_err(|error| failed(&what, &error, &cause()))?;
        for result in results {
            match result {
                Ok(_) => {}
                Err((_, Code::TopicAlreadyExists)) => return Ok(false),
                Err((_, code)) => return Err(failed_with(&what, code, &cause())),
            }
        }
        Ok(true)
    }

    async fn verify(&self, spec: &TopicSpec, found: &Described) -> Result<(), LogError> {
        if found.partitions != spec.partitions {
            let message = format!(
                "topic {} has {} partitions, {} were asked for: keys would move. Configure {} partitions, or use another topic",
                spec.name, found.partitions, spec.partitions, found.partitions
            );
            return Err(LogError::new(LogErrorKind::TopicMismatch, message));
        }
        // What cannot be verified is not a reason to stop.
        let Some(actual) = self.settings_of(&spec.name).await else {
            tracing::warn!(
                topic = &*spec.name,
                "the topic's settings cannot be read (DescribeConfigs)"
            );
            return Ok(());
        };
        for (name, wanted) in &spec.settings {
            let is = actual.get(name).and_then(|entry| entry.value.as_deref());
            if is == Some(wanted) {
                continue;
            }
            let is = is.unwrap_or("not set");
            if name == "cleanup.policy" {
                let message = format!(
                    "topic {} has {name}={is}, {wanted} is needed: kafka-configs --alter --topic {} --add-config {name}={wanted}",
                    spec.name, spec.name
                );
                return Err(LogError::new(LogErrorKind::TopicMismatch, message));
            }
            tracing::warn!(
                topic = &*spec.name,
                "{name} is {is}, {wanted} was asked for"
            );
        }
        Ok(())
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.settings.answer_timeout))
            .operation_timeout(Some(self.settings.answer_timeout))
    }
}

/// A client that asks about topics.
pub(super) fn open_admin(settings: &KafkaSettings) -> Result<AdminClient<Watch>, LogError> {
    let mut config = settings.client();
    config.set("enabled_events", ENABLED_EVENTS.to_string());
    AdminClient::from_config_and_context(&config, Watch::default())
        .map_err(|error| failed("opening a Kafka client", &error, ""))
}

/// What the client last complained of.
pub(super) fn cause(client: &Client<Watch>) -> String {
    hear(client);
    client.context().cause()
}

fn info(name: &str, found: Described, created: bool) -> TopicInfo {
    TopicInfo {
        name: Arc::from(name),
        id: found.id.map_or_else(|| Arc::from(NO_ID), Arc::from),
        partitions: found.partitions,
        created,
        record_bytes_max: None,
    }
}

/// Runs what blocks beside the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(ask).await.map_err(|_| {
        LogError::new(
            LogErrorKind::Other,
            "a question to Kafka was given up: the program is ending",
        )
    })
}
