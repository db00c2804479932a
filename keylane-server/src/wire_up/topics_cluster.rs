//! A live Kafka cluster: asked about its topics, and made to have those that are to be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keylane::kafka::{self, KafkaLog, KafkaSettings, Look};
use keylane::workers::control::control_spec;
use keylane_core::publish::{Log as _, LogError, LogErrorKind, TopicSpec};
use keylane_core::topics::lint::{Cluster, Topic};
use keylane_core::topics::{Change, Drained, WantedTopic, changes};

use super::roads::{Logs, capture, kafka_settings};
use super::topics_origin::origin_tables;
use crate::config::{self, Config, Pipeline, PipelineName};
use crate::exit_code::{Exit, Failure};

/// The longest that a cluster may take to say how many brokers it has.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How many brokers there are; `None` for another log, or if none answers in time.
pub(super) async fn brokers(log: &config::Log) -> Option<u32> {
    let config::Log::Kafka(log) = log else {
        return None;
    };
    let mut settings = kafka_settings(log);
    settings.answer_timeout = ANSWER_MAX;
    kafka::brokers(&settings).await.ok()
}

/// How a cluster is reached that no configuration names.
pub fn cluster_at(bootstrap: &str, properties: &[(String, String)]) -> KafkaSettings {
    let mut settings = KafkaSettings::new(bootstrap);
    settings.properties = properties.to_vec();
    settings
}

/// How the cluster of a configuration is reached; `None` if its log is embedded.
pub fn cluster_of(config: &Config) -> Option<KafkaSettings> {
    match &config.log {
        config::Log::Kafka(log) => Some(kafka_settings(log)),
        config::Log::Embedded(_) => None,
    }
}

/// The cluster and these of its topics.
///
/// # Errors
/// If it cannot be reached, or does not let this user in.
pub async fn cluster(
    settings: &KafkaSettings,
    wanted: &(dyn Fn(&str) -> bool + Sync),
    look: &Look,
) -> Result<Cluster, Failure> {
    let seen = kafka::cluster(settings, wanted, look).await;
    seen.map_err(|error| unreached(&error))
}

fn unreached(error: &LogError) -> Failure {
    let exit = match error.kind {
        LogErrorKind::Unreachable | LogErrorKind::Denied => Exit::Unreachable,
        _ => Exit::Error,
    };
    Failure::new(exit, format!("KL-TOPICS-003: {error}"))
}

/// The topics of a pipeline as they are to be: those of its tables, then the control topic.
///
/// # Errors
/// If its origin cannot be asked for its tables.
pub async fn topics_wanted(
    config: &Config,
    name: &PipelineName,
    pipeline: &Pipeline,
) -> Result<Vec<TopicSpec>, Failure> {
    let logs = Logs::unopened(&config.log);
    let Some((_, settings)) = capture(&name.as_str().into(), pipeline, &logs) else {
        return Ok(Vec::new());
    };
    let tables = origin_tables(pipeline, Duration::ZERO).await?;
    let mut specs: BTreeMap<Arc<str>, TopicSpec> = BTreeMap::new();
    for table in &tables {
        let spec = settings.topic_spec(&table.name);
        specs.insert(spec.name.clone(), spec);
    }
    let mut specs: Vec<TopicSpec> = specs.into_values().collect();
    let copies = i32::from(pipeline.topics.replication_factor);
    specs.push(control_spec(&pipeline.topics.prefix, copies));
    Ok(specs)
}

/// What would have to happen to a pipeline's topics.
///
/// # Errors
/// If the origin or the cluster cannot be asked.
pub async fn topic_changes(
    config: &Config,
    cluster: &KafkaSettings,
    name: &PipelineName,
    pipeline: &Pipeline,
) -> Result<Vec<Change>, Failure> {
    let specs = topics_wanted(config, name, pipeline).await?;
    let is_wanted = |topic: &str| specs.iter().any(|spec| *spec.name == *topic);
    let look = Look {
        sample: Duration::ZERO,
        records: 0,
    };
    let there = self::cluster(cluster, &is_wanted, &look).await?;
    let wanted: Vec<WantedTopic> = specs.iter().map(wanted).collect();
    let drained = Drained {
        pipeline: name.as_str().to_owned(),
        prefix: pipeline.topics.prefix.clone(),
    };
    Ok(changes(&wanted, &there.topics, &drained))
}

fn wanted(spec: &TopicSpec) -> WantedTopic {
    WantedTopic {
        name: spec.name.to_string(),
        partitions: spec.partitions,
        copies: u32::try_from(spec.replication_factor).unwrap_or(1),
        settings: spec.settings.iter().cloned().collect(),
    }
}

/// Makes a change: creates the topic, or alters what may be altered.
///
/// # Errors
/// What the cluster says.
pub async fn make(settings: &KafkaSettings, change: &Change) -> Result<(), LogError> {
    let wanted = &change.wanted;
    if change.create {
        let spec = TopicSpec {
            name: wanted.name.as_str().into(),
            partitions: wanted.partitions,
            replication_factor: i32::try_from(wanted.copies).unwrap_or(i32::MAX),
            settings: wanted.settings.clone().into_iter().collect(),
        };
        let log = KafkaLog::open(settings.clone())?;
        return log.ensure_topics(&[spec]).await.map(|_| ());
    }
    if change.alter.is_empty() {
        return Ok(());
    }
    let alter = change.alter.iter();
    let alter: Vec<(String, String)> = alter
        .map(|it| (it.setting.clone(), it.to.clone()))
        .collect();
    kafka::alter_topic(settings, &wanted.name, &alter).await
}

/// Whether a topic is somebody's data: neither Kafka's own nor a control topic.
pub fn is_data(topic: &str) -> bool {
    let topic = Topic {
        name: topic.to_owned(),
        ..Topic::default()
    };
    topic.is_data()
}
