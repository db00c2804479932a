//! From configuration to running parts: the only place that knows every adapter.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use keylane::embedded::{EmbeddedLog, EmbeddedOptions};
use keylane::envelope::{Connector, DebeziumDecoder, DebeziumSettings, DecodeParked, SchemaCache};
use keylane::kafka::{KafkaLog, KafkaSettings};
use keylane::postgres;
use keylane::sqlite;
use keylane::workers::apply::ApplySettings;
use keylane::workers::capture::{
    CaptureSettings, Layout, Named, OriginHints, SessionSource, share_in_flight,
};
use keylane::workers::control::ControlReader;
use keylane_core::apply::{FailurePolicy, Limits, Replica, WhenExhausted};
use keylane_core::capture::{Origin, OriginError, OriginErrorKind};
use keylane_core::model::{LaneCount, TableName};
use keylane_core::publish::{Log, LogError, LogErrorKind};
use tokio::sync::Mutex;

use crate::config::{self, Config, ExhaustedAction, ForeignKeys, Pipeline, PipelineName, Snapshot};
use crate::exit_code::{Exit, Failure};

use super::outbox::{acceptor, is_made_here, outbox, outbox_tables};
use super::road::Road;

/// The pauses between attempts while a system is away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a capturer stores how far it is.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a change that violates a constraint waits for the rest of its transaction: a capturer that died in the middle of it comes back meanwhile.
const REST_MS_MAX: u64 = 60_000;
/// How often an applier saves how far partitions are as a whole.
const SAVE_INTERVAL: Duration = Duration::from_millis(100);
/// A record whose fate is unknown for this long ends the session; the next one reads the tails and goes on.
const DELIVERY_MAX: Duration = Duration::from_secs(30);
/// How long an embedded log that has no room is waited for before the pipeline says so and tries again.
const FULL_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a drain may take.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// Values that the write set holds (about 64 bytes each).
const WRITE_SET_ENTRIES_MAX: usize = 200_000;

/// The pipelines of a configuration, or those named.
///
/// # Errors
/// If one is named that is not there, or a part's settings cannot be used.
pub async fn roads(config: &Config, named: &[String]) -> Result<Vec<Road>, Failure> {
    for name in named {
        if !config.pipelines.keys().any(|known| known.as_str() == name) {
            let known: Vec<&str> = config.pipelines.keys().map(PipelineName::as_str).collect();
            let message = format!(
                "there is no pipeline {name}; the configuration has {}",
                known.join(", ")
            );
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    let logs = Logs::unopened(&config.log);
    let mut roads = Vec::new();
    for (name, pipeline) in &config.pipelines {
        if named.is_empty() || named.iter().any(|one| one == name.as_str()) {
            roads.push(road(name, pipeline, &logs).await?);
        }
    }
    Ok(roads)
}

async fn road(name: &PipelineName, pipeline: &Pipeline, logs: &Arc<Logs>) -> Result<Road, Failure> {
    let name: Arc<str> = name.as_str().into();
    let prefix: Arc<str> = pipeline.topics.prefix.as_str().into();
    let log = logs.open(None).await.map_err(|error| {
        // What comes right without a change of the configuration is worth another start.
        let exit = error.kind.away().map_or(Exit::Error, |_| Exit::Unreachable);
        Failure::new(exit, format!("KL-PUBLISH-001: {error}"))
    })?;
    let schemas = Arc::new(SchemaCache::default());
    let replica = match &pipeline.replica {
        Some(_) => replica(pipeline, &schemas).await?,
        None => None,
    };
    let capture = capture(&name, pipeline, logs);
    let apply = apply_settings(&name, &prefix, pipeline);
    let control = Mutex::new(ControlReader::new(&prefix, schemas.clone()));
    Ok(Road {
        control,
        schemas,
        name,
        prefix,
        log,
        replica,
        capture,
        apply,
        origin: pipeline.origin.clone(),
    })
}

/// What captures a pipeline, and how. Opens nothing.
pub(super) fn capture(
    name: &Arc<str>,
    pipeline: &Pipeline,
    logs: &Arc<Logs>,
) -> Option<(Arc<dyn SessionSource>, CaptureSettings)> {
    let origin = pipeline
        .origin
        .clone()
        .filter(|_| pipeline.from_topics.is_none())?;
    let prefix: Arc<str> = pipeline.topics.prefix.as_str().into();
    let (settings, log_bytes) = capture_settings(name, &prefix, pipeline, &origin);
    let source = Source {
        origin,
        pipeline: pipeline.clone(),
        logs: logs.clone(),
        log_bytes,
        // No place in a log.
        doubted_place: Arc::new(AtomicU64::new(u64::MAX)),
    };
    Some((Arc::new(source), settings))
}

/// A pipeline's replica, if it has one. A SQLite file is created if it is not there.
pub(super) async fn replica(
    pipeline: &Pipeline,
    schemas: &Arc<SchemaCache>,
) -> Result<Option<Arc<dyn Replica>>, Failure> {
    let foreign_keys = pipeline.apply.foreign_keys == ForeignKeys::Enforce;
    let decoder: Arc<dyn DecodeParked> = match pipeline.from_topics {
        Some(_) => Arc::new(DebeziumDecoder::new(DebeziumSettings::default())),
        None => schemas.clone(),
    };
    let Some(replica) = &pipeline.replica else {
        return Ok(None);
    };
    match replica {
        config::Replica::Sqlite { path } => {
            let options = sqlite::apply::SqliteReplicaOptions {
                path: path.clone(),
                decoder,
                foreign_keys,
            };
            let replica = sqlite::apply::SqliteReplica::connect(options).await;
            let replica = replica.map_err(|error| {
                Failure::new(Exit::Unreachable, format!("{}: {error}", error.kind.code()))
            })?;
            Ok(Some(Arc::new(replica)))
        }
        config::Replica::Postgres { url } => {
            let config = postgres::apply::PostgresReplicaConfig {
                foreign_keys,
                ..postgres::apply::PostgresReplicaConfig::new(url.expose())
            };
            Ok(Some(Arc::new(postgres::apply::PostgresReplica::new(
                config, decoder,
            ))))
        }
    }
}

/// What the capturer is told, and the bytes that the log may hold of what it hands over.
fn capture_settings(
    name: &Arc<str>,
    prefix: &Arc<str>,
    pipeline: &Pipeline,
    origin: &config::Origin,
) -> (CaptureSettings, usize) {
    let Pipeline {
        topics, capture, ..
    } = pipeline;
    let (connector, database) = match origin {
        config::Origin::Sqlite { path } => (
            Connector::Sqlite,
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        ),
        config::Origin::Postgres(origin) => (Connector::Postgres, origin.url.database().to_owned()),
    };
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (batch_bytes, log_bytes) = share_in_flight(
        bytes(capture.in_flight_bytes),
        bytes(capture.publish_batch_bytes),
    );
    let settings = CaptureSettings {
        pipeline: name.clone(),
        prefix: prefix.clone(),
        connector,
        database: database.into(),
        partitions: topics.partitions,
        layout: layout(topics),
        replication_factor: i32::from(topics.replication_factor),
        topic_settings: topics
            .properties
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        outbox: pipeline.outbox.as_ref().map(|it| outbox(it, origin)),
        snapshot: capture.snapshot == Snapshot::Initial,
        chunk_rows: capture.chunk_rows,
        batch_bytes,
        batches_in_flight_max: 4096,
        marker_interval: capture.marker_interval,
        checkpoint_interval: CHECKPOINT_INTERVAL,
        write_set_entries_max: WRITE_SET_ENTRIES_MAX,
        tombstones: topics.tombstones,
        backoff: BACKOFF,
    };
    (settings, log_bytes)
}

/// Which tables share a topic.
fn layout(topics: &config::Topics) -> Layout {
    let named = |name: &config::TableName| Named {
        schema: name.schema.as_deref().map(Into::into),
        table: name.table.as_str().into(),
    };
    let hosts = topics.topic_of.iter();
    let partitions = topics.partitions_of.iter();
    Layout {
        hosts: hosts
            .map(|(guest, host)| (named(guest), named(host)))
            .collect(),
        partitions: partitions
            .map(|(table, partitions)| (named(table), *partitions))
            .collect(),
    }
}

fn apply_settings(name: &Arc<str>, prefix: &Arc<str>, pipeline: &Pipeline) -> ApplySettings {
    let apply = &pipeline.apply;
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    ApplySettings {
        pipeline: name.clone(),
        prefix: prefix.clone(),
        debezium_topics: pipeline
            .from_topics
            .as_ref()
            .map(|topics| topics.debezium.clone()),
        group: apply.group.clone(),
        threads: apply.threads,
        threads_max: apply.threads_max,
        lanes: LaneCount(apply.lanes),
        consistency: apply.consistency,
        limits: Limits {
            items_max: usize::try_from(apply.batch_rows).unwrap_or(1),
            bytes_max: bytes(apply.batch_bytes),
        },
        buffer_bytes: bytes(apply.buffer_bytes),
        fold: apply.fold,
        create_tables: apply.create_tables,
        stop_at_missing_rows: apply.missing_rows == config::MissingRows::Stop,
        policy: FailurePolicy {
            attempts_max: apply.on_error.retry,
            backoff_ms: millis(apply.on_error.backoff),
            backoff_ms_max: millis(apply.on_error.backoff_max),
            rest_ms_max: REST_MS_MAX,
            then: match apply.on_error.then {
                ExhaustedAction::Park => WhenExhausted::Park,
                ExhaustedAction::Stop => WhenExhausted::Stop,
            },
        },
        parked_keys_max: usize::try_from(apply.parked_keys_max).unwrap_or(usize::MAX),
        save_interval: SAVE_INTERVAL,
        drain_max: DRAIN_MAX,
        backoff: BACKOFF,
    }
}

/// Opens the configured log. The embedded one's file is shared by all pipelines of the process; writers are each their own.
pub(super) struct Logs {
    config: config::Log,
    embedded: tokio::sync::OnceCell<Arc<EmbeddedLog>>,
}

impl Logs {
    /// Nothing is opened yet.
    pub(super) fn unopened(config: &config::Log) -> Arc<Self> {
        Arc::new(Logs {
            config: config.clone(),
            embedded: tokio::sync::OnceCell::new(),
        })
    }

    /// For a capturer with a bound on what is in flight, or for reading.
    async fn open(&self, in_flight_bytes: Option<usize>) -> Result<Arc<dyn Log>, LogError> {
        match &self.config {
            config::Log::Embedded(log) => {
                let open = || async {
                    let options = embedded_options(log)?;
                    EmbeddedLog::open(options).await.map(Arc::new)
                };
                let shared = self.embedded.get_or_try_init(open).await?;
                Ok(match in_flight_bytes {
                    Some(bytes) => Arc::new(shared.writer(bytes)),
                    None => shared.clone(),
                })
            }
            config::Log::Kafka(kafka) => {
                let mut settings = kafka_settings(kafka);
                settings.delivery_timeout = DELIVERY_MAX;
                if let Some(bytes) = in_flight_bytes {
                    settings.in_flight_bytes_max = bytes;
                }
                Ok(Arc::new(KafkaLog::open(settings)?))
            }
        }
    }
}

/// How to open the embedded log. Its folder is made.
pub(super) fn embedded_options(log: &config::EmbeddedLog) -> Result<EmbeddedOptions, LogError> {
    if let Some(folder) = log.path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| {
            let folder = folder.display();
            let message = format!("cannot make the folder {folder}: {error}");
            LogError::new(LogErrorKind::Other, message)
        })?;
    }
    Ok(EmbeddedOptions {
        bytes_max: log.bytes_max,
        retention: log.retention,
        full_wait_max: FULL_WAIT_MAX,
        ..EmbeddedOptions::at(&log.path)
    })
}

/// How to reach the brokers.
pub(super) fn kafka_settings(log: &config::KafkaLog) -> KafkaSettings {
    let mut settings = KafkaSettings::new(log.bootstrap.join(","));
    settings.properties = log
        .properties
        .iter()
        .map(|(name, value)| (name.clone(), value.expose().to_owned()))
        .collect();
    settings
}

/// The tables of a SQLite file that a pipeline carries, and their order keys. Blocks while it reads the file's schema.
pub(super) fn sqlite_origin(
    path: &Path,
    pipeline: &Pipeline,
) -> Result<sqlite::capture::SqliteOriginOptions, OriginError> {
    let mut tables = sqlite::capture::plain_tables(path)?;
    tables.retain(|table| pipeline.carries(Some("main"), table));
    let order_key = |table: &String| {
        let columns = pipeline.topics.order_key_of(Some("main"), table)?;
        Some((table.clone(), columns.to_vec()))
    };
    Ok(sqlite::capture::SqliteOriginOptions {
        order_keys: tables.iter().filter_map(order_key).collect(),
        tables: Some(tables),
        outboxes: pipeline
            .outbox
            .iter()
            .flat_map(|outbox| outbox.tables_in("main"))
            .map(|table| table.name.to_string())
            .collect(),
        ..sqlite::capture::SqliteOriginOptions::at(path)
    })
}

/// What keeps its order together in these tables, where it is not the row key.
pub(super) fn order_keys(
    pipeline: &Pipeline,
    tables: &[TableName],
) -> BTreeMap<TableName, Vec<String>> {
    let order_key = |table: &TableName| {
        let named = pipeline
            .topics
            .order_key_of(Some(&table.schema), &table.name);
        Some((table.clone(), named?.to_vec()))
    };
    tables.iter().filter_map(order_key).collect()
}

/// What a capture session of a pipeline needs.
struct Source {
    origin: config::Origin,
    pipeline: Pipeline,
    logs: Arc<Logs>,
    log_bytes: usize,
    doubted_place: Arc<AtomicU64>,
}

#[async_trait]
impl SessionSource for Source {
    async fn origin(&self, hints: OriginHints) -> Result<Box<dyn Origin>, OriginError> {
        match &self.origin {
            config::Origin::Sqlite { path } => {
                if is_made_here(path, &self.pipeline) {
                    acceptor(path, &self.pipeline).map_err(|error| OriginError {
                        kind: OriginErrorKind::Unreachable,
                        code: "KL-CAPTURE-201",
                        message: error.message,
                    })?;
                }
                let options = sqlite::capture::SqliteOriginOptions {
                    expected_identity: hints.identity,
                    ..sqlite_origin(path, &self.pipeline)?
                };
                Ok(Box::new(
                    sqlite::capture::SqliteOrigin::connect(options).await?,
                ))
            }
            config::Origin::Postgres(origin) => {
                let config = postgres::capture::PostgresOriginConfig {
                    heartbeat: origin.heartbeat,
                    expected_identity: hints.identity,
                    published_up_to: hints.published_up_to,
                    doubted_place: Some(self.doubted_place.clone()),
                    known_schemas: hints.known_schemas,
                    ..postgres::capture::PostgresOriginConfig::new(
                        origin.url.expose(),
                        &origin.slot,
                        &origin.publication,
                    )
                };
                let mut adapter = postgres::capture::PostgresOrigin::new(config);
                let all = adapter.plain_tables().await?;
                let carries =
                    |table: &TableName| self.pipeline.carries(Some(&table.schema), &table.name);
                let mut tables: Vec<TableName> = all.into_iter().filter(carries).collect();
                let outbox = self.pipeline.outbox.iter();
                tables.extend(outbox.flat_map(|outbox| outbox_tables(outbox, &self.origin)));
                if tables.is_empty() {
                    return Err(OriginError {
                        kind: OriginErrorKind::Refused,
                        code: "KL-CAPTURE-108",
                        message: "no table of the origin matches `tables`: create one, or change the patterns".to_owned(),
                    });
                }
                adapter.config_mut().order_keys = order_keys(&self.pipeline, &tables);
                adapter.config_mut().tables = tables;
                Ok(Box::new(adapter))
            }
        }
    }

    async fn log(&self) -> Result<Arc<dyn Log>, LogError> {
        self.logs.open(Some(self.log_bytes)).await
    }
}
