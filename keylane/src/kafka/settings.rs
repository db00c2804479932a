//! How Kafka is reached, and what the clients made from it have in common.

use std::time::Duration;

use keylane_core::publish::{LogError, LogErrorKind};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::properties::property_faults;

/// How often it is looked who leads what, and whether topics or partitions came.
const METADATA_MS: &str = "5000";
/// How long a broker may leave a question unanswered before it counts as hung and is left.
const HUNG_MS: &str = "10000";

/// How Kafka is reached and used.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `HOST:PORT,…`.
    pub bootstrap: String,
    /// What brokers log as the client's name.
    pub client_id: String,
    /// How long a record may wait for more, to be sent together.
    pub linger_ms: u32,
    /// Bytes handed over and not yet durable, at most; [`append`](keylane_core::publish::Log::append) waits beyond.
    pub in_flight_bytes_max: usize,
    /// The largest record, in bytes. Not above what the topics take (`max.message.bytes`).
    pub record_bytes_max: usize,
    /// How long a record is tried before its fate counts as unknown and the session ends.
    pub delivery_timeout: Duration,
    /// How long one question to the cluster (a topic, an offset) may take.
    pub answer_timeout: Duration,
    /// `lz4`, `zstd`, `gzip`, `snappy` or `none`.
    pub compression: String,
    /// On, except to measure what it costs: without it a retry may write a record twice or out of order.
    pub idempotence: bool,
    /// Whether consumers tell all of a record's headers, and not only Keylane's own.
    pub with_headers: bool,
    /// More of librdkafka's settings (`security.protocol`, `sasl.*`, …), for every client.
    pub properties: Vec<(String, String)>,
}

impl KafkaSettings {
    /// The defaults, for a cluster at `bootstrap`.
    pub fn new(bootstrap: impl Into<String>) -> Self {
        KafkaSettings {
            bootstrap: bootstrap.into(),
            client_id: "keylane".to_owned(),
            linger_ms: 5,
            in_flight_bytes_max: 32 << 20,
            record_bytes_max: 1_000_000,
            delivery_timeout: Duration::from_secs(120),
            answer_timeout: Duration::from_secs(10),
            compression: "lz4".to_owned(),
            idempotence: true,
            with_headers: false,
            properties: Vec::new(),
        }
    }

    /// Refuses properties that cannot be used, before a client says so in its own words.
    pub(super) fn check(&self) -> Result<(), LogError> {
        let properties = self.properties.iter();
        let faults = property_faults(properties.map(|(name, value)| (&**name, &**value)));
        match faults.first() {
            None => Ok(()),
            Some(fault) => {
                let message = format!("{} {}; {}", fault.name, fault.fault, fault.remedy);
                Err(LogError::new(LogErrorKind::Other, message))
            }
        }
    }

    fn speaks_tls(&self) -> bool {
        let mut properties = self.properties.iter();
        properties.any(|(name, value)| {
            name == "security.protocol" && value.to_ascii_lowercase().ends_with("ssl")
        })
    }

    /// What every client starts from. Nothing logs by itself: what matters reaches the caller as an error.
    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", &self.client_id)
            .set("socket.keepalive.enable", "true")
            // A restarted broker is found again within a second.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.fast.interval.ms", "50")
            // What a broker that hangs was leading has another leader within seconds: nobody tells, so it is asked; and what it was asked is asked of another.
            .set("topic.metadata.refresh.interval.ms", METADATA_MS)
            .set("socket.timeout.ms", HUNG_MS)
            // Connections that were lost are told at this level.
            .set_log_level(RDKafkaLogLevel::Info);
        if cfg!(feature = "kafka-ssl-vendored") && self.speaks_tls() {
            // An OpenSSL of our own does not know where this system keeps its authorities.
            config.set("ssl.ca.location", "probe");
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}

impl std::fmt::Debug for KafkaSettings {
    /// The properties may hold secrets: only their names are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("KafkaSettings")
            .field("bootstrap", &self.bootstrap)
            .field("client_id", &self.client_id)
            .field("properties", &names)
            .finish_non_exhaustive()
    }
}
