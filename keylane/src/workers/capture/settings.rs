//! What the capture worker is told.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::capture::{Guest, Origin, OriginError};
use keylane_core::model::{TableName, TableSchema};
use keylane_core::outbox::Rules;
use keylane_core::publish::{Log, LogError, TopicSpec};

use super::layout::{Layout, Named};
use crate::envelope::Connector;

/// What the road already knows of the origin when a session opens it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginHints {
    /// The origin's identity as stored by earlier sessions; another one is refused.
    pub identity: Option<String>,
    /// The commit place up to which the origin may have forgotten; a source that stands beyond it has lost changes.
    pub published_up_to: u64,
    /// Tables' shapes as last published.
    pub known_schemas: Vec<Arc<TableSchema>>,
}

/// Opens what a session needs: each session gets a fresh origin, and a fresh writer to the log, because a writer whose send has an unknown fate must never
/// write again.
#[async_trait]
pub trait SessionSource: Send + Sync {
    /// A fresh origin.
    ///
    /// # Errors
    /// If it is not reachable, or its settings cannot be used.
    async fn origin(&self, hints: OriginHints) -> Result<Box<dyn Origin>, OriginError>;

    /// A writer to the log.
    ///
    /// # Errors
    /// If its settings cannot be used.
    async fn log(&self) -> Result<Arc<dyn Log>, LogError>;
}

/// The outbox tables of a pipeline.
#[derive(Clone, Debug)]
pub struct OutboxSettings {
    /// Which they are.
    pub tables: Vec<Named>,
    /// What their rows may name.
    pub rules: Rules,
}

/// What the capture worker is told.
#[derive(Clone, Debug)]
pub struct CaptureSettings {
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// The topics' prefix.
    pub prefix: Arc<str>,
    /// The kind of origin, for the envelope.
    pub connector: Connector,
    /// The origin database's name, for the envelope.
    pub database: Arc<str>,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Which tables share a topic, and which topics have another number of partitions.
    pub layout: Layout,
    /// Copies of each topic.
    pub replication_factor: i32,
    /// Further topic settings.
    pub topic_settings: Vec<(String, String)>,
    /// The tables whose rows are events, if there are any.
    pub outbox: Option<OutboxSettings>,
    /// Whether existing rows are copied first.
    pub snapshot: bool,
    /// Rows of a snapshot chunk.
    pub chunk_rows: u32,
    /// Bytes read from the origin before they are handed to the log.
    pub batch_bytes: usize,
    /// Batches handed to the log and not yet durable.
    pub batches_in_flight_max: usize,
    /// How often every partition is told how far the origin is, while it moves.
    pub marker_interval: Duration,
    /// How often a checkpoint is stored, and so how often the origin may forget.
    pub checkpoint_interval: Duration,
    /// Values the write set holds.
    pub write_set_entries_max: usize,
    /// Whether a tombstone follows each delete.
    pub tombstones: bool,
    /// The shortest and the longest pause between sessions.
    pub backoff: (Duration, Duration),
}

/// Batches that are read and not yet in the log's hands, at most: two that wait for their turn, and the one that waits for room.
const BATCHES_AHEAD: usize = 3;

/// How a bound on what is read and not yet durable is shared out: the size of a batch, and what the log may hold of them. A piece of a table that is being
/// copied is one batch, whatever its size.
pub fn share_in_flight(in_flight_bytes: usize, batch_bytes: usize) -> (usize, usize) {
    let batch_bytes = batch_bytes
        .min(in_flight_bytes / (BATCHES_AHEAD + 1))
        .max(1);
    let log_bytes = in_flight_bytes.saturating_sub(batch_bytes * BATCHES_AHEAD);
    (batch_bytes, log_bytes.max(1))
}

impl CaptureSettings {
    /// The topic of a table.
    pub fn topic_of(&self, table: &TableName) -> Arc<str> {
        topic_name(&self.prefix, &self.layout.host(table))
    }

    /// Whether a table's rows are events.
    pub fn is_outbox(&self, table: &TableName) -> bool {
        let mut tables = self.outbox.iter().flat_map(|outbox| &outbox.tables);
        tables.any(|named| named.means(table))
    }

    /// A topic of events as it is made where it is missing: with the partitions and settings of the pipeline's topics.
    pub fn event_topic_spec(&self, name: &Arc<str>) -> TopicSpec {
        TopicSpec {
            name: name.clone(),
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            settings: self.topic_settings.clone(),
        }
    }

    /// The topic of a table as it should be.
    pub fn topic_spec(&self, table: &TableName) -> TopicSpec {
        let host = self.layout.host(table);
        TopicSpec {
            name: topic_name(&self.prefix, &host),
            partitions: self.layout.partitions(&host).unwrap_or(self.partitions),
            replication_factor: self.replication_factor,
            settings: self.topic_settings.clone(),
        }
    }

    /// What is told of a table whose topic is another's; `schemas` are those of all captured tables.
    pub fn guest(&self, table: &TableName, schemas: &[Arc<TableSchema>]) -> Option<Guest> {
        let host = self.layout.host(table);
        if host == *table {
            return None;
        }
        let host = schemas.iter().find(|schema| schema.table == host);
        let names = host.map(|schema| {
            let columns = schema.order_key.iter();
            let names = columns.filter_map(|place| Some(schema.columns.get(*place)?.name.clone()));
            names.collect()
        });
        Some(Guest {
            identifier: topic_name(&self.prefix, table),
            order_names: names.unwrap_or_default(),
        })
    }
}

/// The name of a table's own topic: `PREFIX.SCHEMA.TABLE`.
pub fn topic_name(prefix: &str, table: &TableName) -> Arc<str> {
    format!("{prefix}.{}.{}", legal(&table.schema), legal(&table.name)).into()
}

/// Kafka allows letters, digits, `.`, `_` and `-`; anything else is written as `_` and its code, so that two tables never share a topic by accident.
fn legal(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_alphanumeric() || character == '-' || character == '_' {
            text.push(character);
        } else {
            text.push_str(&format!("_{:x}_", character as u32));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{legal, share_in_flight};

    #[test]
    fn what_is_read_ahead_and_what_the_log_holds_stay_within_the_bound() {
        const MIB: usize = 1 << 20;
        assert_eq!(share_in_flight(32 * MIB, MIB), (MIB, 29 * MIB));
        // A batch that is too large for the bound is made smaller.
        assert_eq!(share_in_flight(MIB, MIB), (MIB / 4, MIB / 4));
        assert_eq!(share_in_flight(0, 0), (1, 1));
    }

    #[test]
    fn two_tables_never_share_a_topic_by_accident() {
        assert_eq!(legal("orders"), "orders");
        assert_eq!(legal("order_items"), "order_items");
        assert_ne!(legal("a.b"), legal("a_b"));
        assert_ne!(legal("é"), legal("e"));
    }
}
