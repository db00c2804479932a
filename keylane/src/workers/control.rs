//! The control topic: one compacted partition beside a pipeline's data, in which a capturer keeps what it must find again after a crash (checkpoints, how
//! far the snapshot is) and what an applier must know (topics, schemas). No machine's disk holds state that the road could not do without.
//!
//! Keys hold the epoch, so that compaction never replaces a record by what a former capturer flushed late. Schemas are keyed by their fingerprint and count
//! whoever wrote them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use keylane_core::capture::{TablePhase, TableProgress};
use keylane_core::model::{Epoch, Offset, Position, TableName, TopicPartition, Value};
use keylane_core::publish::{
    Acceptance, Checkpoint, Header, Log, LogError, LogErrorKind, NewRecord, RawRecord, RecordKind,
    TopicSpec, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::envelope::{SchemaCache, decode_schema, encode_schema};

/// How much of the control topic is read at a time.
const READ_BYTES: usize = 1 << 20;

/// A captured table's topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableTopic {
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Its topic.
    pub topic: String,
    /// The topic's number of partitions.
    pub partitions: u32,
}

/// What the control topic says.
#[derive(Clone, Debug, Default)]
pub struct ControlState {
    /// What tells the origin from another or from its earlier self.
    pub identity: Option<String>,
    /// The origin may have forgotten everything up to this commit place.
    pub confirmed: u64,
    /// True statements about prefixes of partitions.
    pub checkpoints: BTreeMap<TopicPartition, Checkpoint>,
    /// How far the copy of each table is.
    pub tables: Vec<TableProgress>,
    /// The captured tables and their topics.
    pub topics: Vec<TableTopic>,
    /// Whether the initial snapshot is complete.
    pub snapshot_done: bool,
}

/// The control topic's name.
pub fn control_topic(prefix: &str) -> Arc<str> {
    format!("{prefix}.keylane").into()
}

/// The control topic as it should be.
pub fn control_spec(prefix: &str, replication_factor: i32) -> TopicSpec {
    TopicSpec {
        name: control_topic(prefix),
        partitions: 1,
        replication_factor,
        settings: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
    }
}

/// A piece of state on its way into the control topic.
#[derive(Clone, Debug)]
pub enum ControlRecord<'a> {
    /// The epoch is opened.
    Open,
    /// Which origin.
    Identity(&'a str),
    /// How far partitions and the origin's log are.
    Checkpoint {
        /// The origin may forget up to here.
        confirmed: u64,
        /// The partitions.
        partitions: &'a BTreeMap<TopicPartition, Checkpoint>,
    },
    /// How far a table's copy is.
    Table(&'a TableProgress),
    /// The captured tables and their topics.
    Topics(&'a [TableTopic]),
    /// A schema.
    Schema(&'a keylane_core::model::TableSchema),
}

impl ControlRecord<'_> {
    /// The record as it is appended.
    pub fn record(&self, prefix: &str, epoch: Epoch, now_ms: i64) -> NewRecord {
        let epoch_text = format!("{:016x}", epoch.0);
        let (kind, key, value) = match self {
            ControlRecord::Open => (
                RecordKind::Open,
                format!("open:{epoch_text}"),
                Bytes::from_static(b"{}"),
            ),
            ControlRecord::Identity(identity) => (
                RecordKind::State,
                format!("identity:{epoch_text}"),
                json(identity),
            ),
            ControlRecord::Checkpoint {
                confirmed,
                partitions,
            } => (
                RecordKind::State,
                format!("checkpoint:{epoch_text}"),
                json(&StoredCheckpoint::of(*confirmed, partitions)),
            ),
            ControlRecord::Table(progress) => (
                RecordKind::State,
                format!("table:{}:{epoch_text}", progress.table),
                json(&StoredTable::of(progress)),
            ),
            ControlRecord::Topics(topics) => (
                RecordKind::State,
                format!("topics:{epoch_text}"),
                json(topics),
            ),
            ControlRecord::Schema(schema) => (
                RecordKind::Schema,
                format!("schema:{:016x}", schema.id.0),
                encode_schema(schema),
            ),
        };
        NewRecord {
            partition: TopicPartition::new(control_topic(prefix), 0),
            key: Some(Bytes::from(key)),
            value: Some(value),
            headers: Vec::new(),
            keylane: Header::plain(kind, epoch, Position::ZERO).encode(),
            timestamp_ms: now_ms,
        }
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Bytes {
    Bytes::from(
        serde_json::to_vec(value).expect("these structures have string keys and finite numbers"),
    )
}

/// Reads the control topic from its start, and goes on from where it stood.
pub struct ControlReader {
    partition: TopicPartition,
    next: Offset,
    acceptance: Acceptance,
    state: ControlState,
    schemas: Arc<SchemaCache>,
}

impl ControlReader {
    /// At the start.
    pub fn new(prefix: &str, schemas: Arc<SchemaCache>) -> Self {
        ControlReader {
            partition: TopicPartition::new(control_topic(prefix), 0),
            next: Offset(0),
            acceptance: Acceptance::default(),
            state: ControlState::default(),
            schemas,
        }
    }

    /// What was read so far.
    pub fn state(&self) -> &ControlState {
        &self.state
    }

    /// Reads on up to the end, or up to (not including) an offset below it. Says whether anything was new.
    ///
    /// # Errors
    /// If the log cannot be read, or does not tell what stands before the offset.
    pub async fn poll(&mut self, log: &dyn Log, up_to: Option<Offset>) -> Result<bool, LogError> {
        let mut news = false;
        loop {
            if up_to.is_some_and(|end| self.next >= end) {
                return Ok(news);
            }
            let records = match log.read(&self.partition, self.next, READ_BYTES).await {
                Err(error) if error.kind == LogErrorKind::OutOfRange => {
                    self.next = log.bounds(&self.partition).await?.start;
                    continue;
                }
                other => other?,
            };
            if records.is_empty() {
                // A new leader takes a moment to tell all of what was written under the one before.
                return match up_to {
                    Some(_) => Err(LogError::new(
                        LogErrorKind::Unreachable,
                        format!("{} gave no records before its end", self.partition),
                    )),
                    None => Ok(news),
                };
            }
            for record in records {
                if up_to.is_some_and(|end| record.offset >= end) {
                    return Ok(news);
                }
                self.next = record.offset.next();
                news = true;
                self.take(&record);
            }
        }
    }

    fn take(&mut self, record: &RawRecord) {
        let (Some(raw), Some(key), Some(value)) = (&record.keylane, &record.key, &record.value)
        else {
            return;
        };
        let Ok(header) = Header::decode(raw) else {
            return;
        };
        if header.kind == RecordKind::Schema {
            if let Ok(schema) = decode_schema(value) {
                self.schemas.insert(Arc::new(schema));
            }
            return;
        }
        if self.acceptance.judge(&header) != Verdict::Take {
            return;
        }
        let Ok(key) = std::str::from_utf8(key) else {
            return;
        };
        match key.split(':').next() {
            Some("identity") => self.state.identity = serde_json::from_slice(value).ok(),
            Some("checkpoint") => {
                if let Ok(stored) = serde_json::from_slice::<StoredCheckpoint>(value) {
                    self.state.confirmed = stored.confirmed;
                    self.state.checkpoints.extend(stored.into_checkpoints());
                }
            }
            Some("table") => {
                if let Some(progress) = serde_json::from_slice::<StoredTable>(value)
                    .ok()
                    .and_then(StoredTable::into_progress)
                {
                    match self
                        .state
                        .tables
                        .iter_mut()
                        .find(|known| known.table == progress.table)
                    {
                        Some(known) => *known = progress,
                        None => self.state.tables.push(progress),
                    }
                }
                self.state.snapshot_done = self
                    .state
                    .tables
                    .iter()
                    .all(|table| matches!(table.phase, TablePhase::Done { .. }));
            }
            Some("topics") => {
                if let Ok(topics) = serde_json::from_slice(value) {
                    self.state.topics = topics;
                }
            }
            _ => {}
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredCheckpoint {
    confirmed: u64,
    partitions: Vec<StoredPartition>,
}

#[derive(Serialize, Deserialize)]
struct StoredPartition {
    topic: String,
    partition: u32,
    offset: u64,
    epoch: u64,
    reached: String,
}

impl StoredCheckpoint {
    fn of(confirmed: u64, partitions: &BTreeMap<TopicPartition, Checkpoint>) -> Self {
        let stored = |(partition, checkpoint): (&TopicPartition, &Checkpoint)| StoredPartition {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            offset: checkpoint.offset.0,
            epoch: checkpoint.acceptance.epoch.0,
            reached: checkpoint.acceptance.reached.to_string(),
        };
        StoredCheckpoint {
            confirmed,
            partitions: partitions.iter().map(stored).collect(),
        }
    }

    fn into_checkpoints(self) -> impl Iterator<Item = (TopicPartition, Checkpoint)> {
        self.partitions.into_iter().filter_map(|stored| {
            let acceptance = Acceptance {
                epoch: Epoch(stored.epoch),
                reached: stored.reached.parse().ok()?,
            };
            let partition = TopicPartition::new(stored.topic, stored.partition);
            Some((
                partition,
                Checkpoint {
                    offset: Offset(stored.offset),
                    acceptance,
                },
            ))
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredTable {
    schema: String,
    table: String,
    phase: String,
    since: Option<String>,
    after: Option<Vec<StoredValue>>,
    rows: u64,
}

/// A key column's value. NULL cannot stand in a key.
#[derive(Serialize, Deserialize)]
enum StoredValue {
    Bool(bool),
    Number(String),
    Text(String),
    Bytes(Vec<u8>),
}

impl StoredTable {
    fn of(progress: &TableProgress) -> Self {
        let (phase, since, after) = match &progress.phase {
            TablePhase::Waiting => ("waiting", None, None),
            TablePhase::Copying { since, after } => {
                ("copying", Some(since.to_string()), after.as_ref())
            }
            TablePhase::Done { since } => ("done", Some(since.to_string()), None),
        };
        let stored = |value: &Value| match value {
            Value::Bool(value) => Some(StoredValue::Bool(*value)),
            Value::Number(digits) => Some(StoredValue::Number(digits.to_string())),
            Value::Text(text) => Some(StoredValue::Text(text.to_string())),
            Value::Bytes(bytes) => Some(StoredValue::Bytes(bytes.to_vec())),
            Value::Null | Value::Absent => None,
        };
        StoredTable {
            schema: progress.table.schema.to_string(),
            table: progress.table.name.to_string(),
            phase: phase.to_owned(),
            since,
            after: after.map(|key| key.iter().filter_map(stored).collect()),
            rows: progress.rows,
        }
    }

    fn into_progress(self) -> Option<TableProgress> {
        let since = self
            .since
            .map(|text| text.parse::<Position>())
            .transpose()
            .ok()?;
        let value = |stored| match stored {
            StoredValue::Bool(value) => Value::Bool(value),
            StoredValue::Number(digits) => Value::number(digits),
            StoredValue::Text(text) => Value::text(text),
            StoredValue::Bytes(bytes) => Value::Bytes(bytes.into()),
        };
        let phase = match (self.phase.as_str(), since) {
            ("waiting", _) => TablePhase::Waiting,
            ("copying", Some(since)) => TablePhase::Copying {
                since,
                after: self.after.map(|key| key.into_iter().map(value).collect()),
            },
            ("done", Some(since)) => TablePhase::Done { since },
            _ => return None,
        };
        Some(TableProgress {
            table: TableName::new(self.schema, self.table),
            phase,
            rows: self.rows,
        })
    }
}
