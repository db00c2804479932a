//! What the rules look at: each part may be missing, and then the rules that need it say so.

use std::collections::BTreeMap;

use crate::topics::{Inputs, Plan};

/// Everything that is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// A live cluster.
    pub cluster: Option<Cluster>,
    /// Pipelines of the configuration.
    pub pipelines: Vec<Pipeline>,
    /// Clients, by their settings.
    pub clients: Vec<Client>,
    /// What a caller said, or was measured.
    pub inputs: Inputs,
}

/// A live cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    /// Replicas that each broker holds, of all topics.
    pub replicas: BTreeMap<i32, u64>,
    /// Partitions that each broker leads, of all topics.
    pub leaders: BTreeMap<i32, u64>,
    /// The most copies that any partition has.
    pub copies_max: u32,
    /// Whether the brokers offer the group protocol of Kafka 4.0 (KIP-848); `None`: they do not tell.
    pub offers_consumer_protocol: Option<bool>,
    /// Whether transactional producers have been there.
    pub transactions: bool,
    /// The topics that are looked at.
    pub topics: Vec<Topic>,
    /// Groups that read them.
    pub groups: Vec<Group>,
    /// For how long rates were measured, in seconds; 0: not at all.
    pub sampled_s: f64,
}

/// A topic of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// Copies of the partition that has fewest.
    pub copies_min: u32,
    /// Its settings, as far as the cluster tells them.
    pub settings: BTreeMap<String, String>,
    /// Records that it holds.
    pub records: u64,
    /// Records a second, if that was measured.
    pub records_per_s: Option<f64>,
    /// Some of its latest records.
    pub sample: Vec<Sampled>,
}

impl Topic {
    /// A setting as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.settings.get(name)?.parse().ok()
    }

    /// Whether it holds data: neither Kafka's own topics nor Keylane's control topics do.
    pub fn is_data(&self) -> bool {
        !self.name.starts_with("__") && !self.name.ends_with(".keylane")
    }

    /// Whether it is compacted.
    pub fn is_compacted(&self) -> Option<bool> {
        let policy = self.settings.get("cleanup.policy")?;
        Some(policy.contains("compact"))
    }

    /// Mean bytes of the records that were read.
    pub fn record_bytes(&self) -> Option<f64> {
        let count = self.sample.len() as f64;
        let bytes: usize = self.sample.iter().map(|record| record.bytes).sum();
        (count > 0.0).then_some(bytes as f64 / count)
    }
}

/// A record that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Its partition.
    pub partition: u32,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Key and value.
    pub bytes: usize,
    /// Whether Keylane wrote it: it is partitioned by its order key, which need not be its key.
    pub is_keylanes: bool,
}

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many members.
    pub members: usize,
    /// Its assignor, where the group protocol has one on the side of the members.
    pub assignor: Option<String>,
    /// Partitions of the topics that are looked at, for which it keeps an offset.
    pub committed: usize,
    /// The topics among these for which it keeps offsets or which its members read; empty: not known.
    pub topics: Vec<String>,
}

/// A pipeline as it is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Its topics as they are to be, by full name: partitions. Empty if its origin did not answer.
    pub topics: BTreeMap<String, u32>,
    /// Copies of each partition.
    pub copies: u32,
    /// Settings of its topics, by their Kafka names.
    pub settings: BTreeMap<String, String>,
    /// Whether its log is Kafka.
    pub over_kafka: bool,
    /// How long the log keeps changes, in hours, where the configuration says so.
    pub retention_hours: Option<f64>,
    /// Threads at most.
    pub threads_max: u32,
    /// Rows of one transaction.
    pub batch_rows: u32,
    /// Whether its group uses the protocol of Kafka 4.0.
    pub consumer_protocol: bool,
    /// Whether its appliers are static members.
    pub is_static: bool,
    /// After how long without a sign of life a member counts as dead, in milliseconds.
    pub session_timeout_ms: u64,
    /// Connections that the replica takes, and those in use.
    pub connections: Option<(u64, u64)>,
    /// What the plan of its origin's tables says, and where each of its tables goes.
    pub planned: Option<Planned>,
}

/// The plan of a pipeline's origin, beside what is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// By table: the topic and the order key's columns that are configured.
    pub configured: BTreeMap<String, (String, Vec<String>)>,
}

/// A client of somebody's, by its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// What it is called here: its file.
    pub name: String,
    /// Its settings.
    pub settings: BTreeMap<String, String>,
}

/// Which library a client uses: their defaults differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// Apache Kafka's own, for the JVM.
    Java,
    /// librdkafka and what is built on it.
    Librdkafka,
}

impl Client {
    /// A setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// A setting as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.trim().parse().ok()
    }

    /// Which library, by settings that only one of them has.
    pub fn library(&self) -> Option<Library> {
        const JAVA: [&str; 7] = [
            "key.serializer",
            "value.serializer",
            "key.deserializer",
            "value.deserializer",
            "partitioner.class",
            "max.poll.records",
            "sasl.jaas.config",
        ];
        const LIBRDKAFKA: [&str; 8] = [
            "partitioner",
            "enable.auto.offset.store",
            "queued.min.messages",
            "queued.max.messages.kbytes",
            "queue.buffering.max.ms",
            "broker.version.fallback",
            "sasl.username",
            "metadata.broker.list",
        ];
        let has = |names: &[&str]| names.iter().any(|name| self.settings.contains_key(*name));
        match (self.get("client.library"), has(&JAVA), has(&LIBRDKAFKA)) {
            (Some("java"), ..) => Some(Library::Java),
            (Some("librdkafka"), ..) => Some(Library::Librdkafka),
            (_, true, false) => Some(Library::Java),
            (_, false, true) => Some(Library::Librdkafka),
            _ => None,
        }
    }

    /// Whether it reads.
    pub fn consumes(&self) -> bool {
        let marks = ["group.id", "auto.offset.reset", "key.deserializer"];
        marks.iter().any(|name| self.settings.contains_key(*name))
    }

    /// Whether it writes.
    pub fn produces(&self) -> bool {
        let marks = [
            "acks",
            "partitioner",
            "partitioner.class",
            "transactional.id",
            "key.serializer",
            "linger.ms",
            "enable.idempotence",
        ];
        marks.iter().any(|name| self.settings.contains_key(*name))
    }
}
