//! `log`: where published changes stand between origin and replica.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keylane::kafka::{PropertyFaultKind, property_faults};

use super::code::Code;
use super::keys::{Absent, DAY_MS, Key, MIB, TIB, Takes};
use super::lists::Named;
use super::reader::{Block, Read, Reported, Text};
use super::secret::Secret;
use super::source::Span;
use super::tree::{Value, printable_key};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "embedded",
        takes: Takes::Block(EMBEDDED),
        absent: Absent::Means("used with its defaults if `kafka` is absent too"),
        means: "A durable log in one SQLite file: no service needed, one machine.",
    },
    Key {
        name: "kafka",
        takes: Takes::Block(KAFKA),
        absent: Absent::Means("the embedded log is used"),
        means: "Apache Kafka, or a broker that speaks its protocol.",
    },
];

const EMBEDDED: &[Key] = &[
    Key {
        name: "path",
        takes: Takes::Text("a path"),
        absent: Absent::Means("`log.db` in `state_dir`"),
        means: "The log's file. Every process of the pipeline on this machine opens the same one.",
    },
    Key {
        name: "retention",
        takes: Takes::Duration {
            min_ms: 0,
            max_ms: 3650 * DAY_MS,
        },
        absent: Absent::Default("7d"),
        means: "How long a change is kept once it is applied. What is not applied is kept, whatever its age.",
    },
    Key {
        name: "bytes_max",
        takes: Takes::Bytes {
            min: 16 * MIB,
            max: 16 * TIB,
        },
        absent: Absent::Default("10GiB"),
        means: "The log's size limit. Near it, applied changes go before their `retention`; if all are still to be applied, publishing waits.",
    },
];

const KAFKA: &[Key] = &[
    Key {
        name: "bootstrap",
        takes: Takes::Text("`HOST:PORT`, several separated by commas or as a list"),
        absent: Absent::Required,
        means: "Brokers to ask first; the others are found from them.",
    },
    Key {
        name: "properties",
        takes: Takes::Named(
            "librdkafka property names with their values; a value may be `${ENV}` or `file:PATH`, and is never shown",
        ),
        absent: Absent::Means("none"),
        means: "More client settings, such as `security.protocol` or `sasl.password`. Properties that Keylane's guarantees rest on are refused (KL-CONFIG-015), and so is what needs TLS in a build without it (KL-CONFIG-021).",
    },
];

/// The log between origin and replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    /// A SQLite file.
    Embedded(EmbeddedLog),
    /// Kafka.
    Kafka(KafkaLog),
}

/// The embedded log's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedLog {
    /// The file, resolved against the configuration's directory.
    pub path: PathBuf,
    /// How long an applied change is kept. Unapplied ones are kept regardless.
    pub retention: Duration,
    /// Size at which applied changes are dropped early, and publishing waits if there are none.
    pub bytes_max: u64,
}

/// How Kafka is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaLog {
    /// `HOST:PORT` of the first brokers to ask; at least one.
    pub bootstrap: Vec<String>,
    /// Further librdkafka properties; none that Keylane sets itself. All values are treated as secrets.
    pub properties: BTreeMap<String, Secret>,
}

/// What was read, with the place that later checks point at.
pub(super) struct LogRead {
    pub log: Log,
    pub span: Span,
}

pub(super) fn read(block: &Block<'_>, state_dir: Option<&Path>) -> Read<LogRead> {
    if let (Some(embedded), Some(kafka)) = (block.entry("embedded"), block.entry("kafka")) {
        let later = embedded.key_span.max(kafka.key_span);
        return Err(block.report(
            Code::OneOf,
            later,
            "log has both 'embedded' and 'kafka'; a file has one log".to_owned(),
            "remove the one that is not used",
        ));
    }
    if let Some(entry) = block.entry("kafka") {
        let log = read_kafka(&block.block("kafka")?)?;
        let span = entry.key_span;
        return Ok(LogRead {
            log: Log::Kafka(log),
            span,
        });
    }
    let embedded = block.block("embedded")?;
    let path = embedded.file_path("path");
    let retention = embedded.duration("retention");
    let bytes_max = embedded.bytes("bytes_max");
    let default_path = || state_dir.unwrap_or(Path::new("")).join("log.db");
    let log = EmbeddedLog {
        path: path?.unwrap_or_else(default_path),
        retention: retention?,
        bytes_max: bytes_max?,
    };
    let span = embedded.span_of("path");
    Ok(LogRead {
        log: Log::Embedded(log),
        span,
    })
}

fn read_kafka(block: &Block<'_>) -> Read<KafkaLog> {
    let bootstrap = bootstrap(block);
    let properties = block.named("properties", true).and_then(|mut named| {
        let mut refused = None;
        for property in &mut named {
            if is_path(&property.name, &property.text.value) {
                let path = block.reader.resolve(&property.text.value);
                property.text.value = path.to_string_lossy().into_owned();
            }
            refused = refused.or(refuse_name(block, property));
        }
        if refused.is_none() {
            refused = refuse_unusable(block, &named);
        }
        let properties = named
            .into_iter()
            .map(|property| (property.name, Secret::new(property.text.value)))
            .collect();
        refused.map_or(Ok(properties), Err)
    });
    Ok(KafkaLog {
        bootstrap: bootstrap?,
        properties: properties?,
    })
}

/// `ssl.ca.location` and its like start at the file's directory, as every path in it does.
fn is_path(name: &str, value: &str) -> bool {
    name.starts_with("ssl.") && name.ends_with(".location") && value != "probe"
}

fn refuse_name(block: &Block<'_>, property: &Named) -> Option<Reported> {
    if let Some((_, reason)) = OWNED.iter().find(|(name, _)| *name == property.name) {
        return Some(block.report(
            Code::OwnedProperty,
            property.name_span,
            format!(
                "log.kafka.properties: '{}' is set by Keylane",
                property.name
            ),
            &format!("remove it: {reason}"),
        ));
    }
    (!is_property_name(&property.name)).then(|| {
        block.report(
            Code::BadName,
            property.name_span,
            format!(
                "log.kafka.properties: '{}' is no property name",
                printable_key(&property.name)
            ),
            "names are lower-case words joined by dots, as in 'security.protocol'",
        )
    })
}

/// What the client library does not know, or was not built with.
fn refuse_unusable(block: &Block<'_>, named: &[Named]) -> Option<Reported> {
    let pairs = named
        .iter()
        .map(|property| (&*property.name, &*property.text.value));
    let mut refused = None;
    for fault in property_faults(pairs) {
        let code = match fault.kind {
            PropertyFaultKind::Unknown => Code::BadName,
            PropertyFaultKind::BadValue => Code::BadValue,
            PropertyFaultKind::NotBuilt => Code::NotBuilt,
        };
        let written = named.iter().find(|property| property.name == fault.name);
        let message = format!("log.kafka.properties: '{}' {}", fault.name, fault.fault);
        let span = written.map_or(block.span, |property| property.name_span);
        refused = Some(block.report(code, span, message, &fault.remedy));
    }
    refused
}

fn is_property_name(name: &str) -> bool {
    let legal =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.chars().all(legal)
}

fn bootstrap(block: &Block<'_>) -> Read<Vec<String>> {
    let written = block.entry("bootstrap").map(|entry| &entry.node);
    let texts = match written {
        Some(node) if matches!(node.value, Value::List(_)) => block.texts_of("bootstrap", node)?,
        Some(_) | None => vec![block.text("bootstrap")?],
    };
    let mut brokers = Vec::new();
    for text in &texts {
        for broker in text.value.split(',').map(str::trim) {
            check_broker(block, text, broker)?;
            brokers.push(broker.to_owned());
        }
    }
    if brokers.is_empty() {
        return Err(block.missing("bootstrap"));
    }
    Ok(brokers)
}

fn check_broker(block: &Block<'_>, text: &Text, broker: &str) -> Read<()> {
    let bad = |fault: &str| Err(block.bad(Code::BadValue, "bootstrap", text, fault));
    if broker.contains("://") {
        return bad("holds a URL; brokers are HOST:PORT, and security goes into 'properties'");
    }
    match broker.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains(char::is_whitespace) => {
            match port.parse::<u16>() {
                Ok(port) if port > 0 => Ok(()),
                Ok(_) | Err(_) => bad("has a port that is not a number from 1 to 65535"),
            }
        }
        Some(_) | None => bad("holds a broker without HOST:PORT"),
    }
}

/// Properties that Keylane sets, with what depends on them.
const OWNED: &[(&str, &str)] = &[
    (
        "bootstrap.servers",
        "write the brokers under log.kafka.bootstrap",
    ),
    (
        "metadata.broker.list",
        "write the brokers under log.kafka.bootstrap",
    ),
    (
        "enable.idempotence",
        "without it a retried send could write a change twice or out of order",
    ),
    (
        "acks",
        "the origin's position may only move past changes that all in-sync replicas hold",
    ),
    (
        "request.required.acks",
        "the origin's position may only move past changes that all in-sync replicas hold",
    ),
    (
        "max.in.flight",
        "order per partition needs the limit that idempotence sets",
    ),
    (
        "max.in.flight.requests.per.connection",
        "order per partition needs the limit that idempotence sets",
    ),
    ("retries", "a send is retried until its fate is known"),
    (
        "message.send.max.retries",
        "a send is retried until its fate is known",
    ),
    (
        "partitioner",
        "a change's partition follows from its order key",
    ),
    (
        "transactional.id",
        "exactly-once comes from positions and epochs, not from Kafka transactions",
    ),
    (
        "enable.gapless.guarantee",
        "Keylane finds out itself what was published when a session ends",
    ),
    (
        "enable.auto.commit",
        "offsets are committed after the replica's own progress, never by a timer",
    ),
    (
        "enable.auto.offset.store",
        "offsets are committed after the replica's own progress, never by a timer",
    ),
    (
        "auto.offset.reset",
        "where reading begins follows from the replica's own progress; a gap is an error, not a jump",
    ),
    ("group.id", "the group is named after the pipeline"),
    ("group.instance.id", "members are named by Keylane"),
    (
        "partition.assignment.strategy",
        "partitions are handed over under a fence that needs the cooperative strategy",
    ),
    (
        "isolation.level",
        "the log's readers decide by epochs what counts",
    ),
    (
        "enable.partition.eof",
        "the end of a partition is asked for explicitly",
    ),
];
