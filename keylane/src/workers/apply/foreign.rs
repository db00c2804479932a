//! Topics that Debezium writes: taken in by Debezium's own positions, read by the schemas they carry or by the replica's tables.
//!
//! Such records carry no stamps, and their positions say nothing across partitions: each key keeps its order, and a constraint violation is tried again for a
//! while. What is written again after a connector's restart is known by its place and skipped, where the records carry `source.sequence`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use keylane_core::apply::{ApplyError, Replica};
use keylane_core::consume::{Item, RawPayload, Taken};
use keylane_core::model::{Change, OrderHash, Position, TableName, TopicPartition};
use keylane_core::publish::{Acceptance, RawRecord, Stamp, Verdict};
use tracing::info;

use crate::envelope::{
    DebeziumDecoder, DebeziumSettings, ForeignChange, Guarantee, KnownTables, Told, schema_of,
};

/// What is known of another tool's topics.
pub(super) struct Foreign {
    decoder: DebeziumDecoder,
    tables: RwLock<KnownTables>,
    told: Mutex<BTreeSet<TableName>>,
}

impl Foreign {
    /// Nothing known yet.
    pub(super) fn new() -> Self {
        Foreign {
            decoder: DebeziumDecoder::new(DebeziumSettings::default()),
            tables: RwLock::default(),
            told: Mutex::default(),
        }
    }

    /// Takes a record in. What cannot be read is given to its key's lane all the same, which parks it.
    pub(super) fn take(
        partition: &TopicPartition,
        reached: &mut Acceptance,
        record: RawRecord,
    ) -> Taken {
        let size_bytes = record.size_bytes();
        let Some(value) = record.value else {
            return Taken::Skipped(Verdict::Take);
        };
        if let Some(position) = DebeziumDecoder::position(&value)
            && !position.snapshot
        {
            let place = position.place();
            if place < reached.reached {
                return Taken::Skipped(Verdict::Replay);
            }
            reached.reached = place;
        }
        let key = record.key.unwrap_or_default();
        let order = if key.is_empty() {
            OrderHash::of(partition.topic.as_bytes())
        } else {
            OrderHash::of(&key)
        };
        Taken::Item(Arc::new(Item {
            offset: record.offset,
            position: Position::new(record.offset.0 + 1, 0),
            order,
            stamp: Stamp::default(),
            key,
            size_bytes,
            payload: RawPayload {
                value,
                header: None,
                timestamp_ms: record.timestamp_ms,
            },
        }))
    }

    /// Reads the change, by the replica's table if the record does not explain itself.
    pub(super) async fn change(
        &self,
        key: &Bytes,
        value: &Bytes,
        replica: &dyn Replica,
    ) -> Result<Change, ApplyError> {
        loop {
            let told = {
                let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
                self.decoder.change(key, value, &tables)?
            };
            match told {
                Told::Change(ForeignChange { change, position }) => {
                    self.tell(&change, position.guarantee(change.schema.has_key()));
                    return Ok(change);
                }
                Told::NeedsTable(table) => {
                    let found = replica.describe(&table).await?;
                    let schema = found.map(|found| Arc::new(schema_of(&found)));
                    self.tables
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(table, schema);
                }
            }
        }
    }

    /// The replica's tables may have changed.
    pub(super) fn forget(&self) {
        self.tables
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Says once of each table which guarantee holds.
    fn tell(&self, change: &Change, guarantee: Guarantee) {
        let table = &change.schema.table;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(table) {
            return;
        }
        told.insert(table.clone());
        let words = match guarantee {
            Guarantee::EffectivelyOnce => "each change takes effect once",
            Guarantee::IdempotentByKey => {
                "what the connector writes again is applied again, by key: the end is right"
            }
            Guarantee::AtLeastOnce => {
                "what the connector writes again is there twice: the table has no key"
            }
        };
        info!(%table, "applying what Debezium wrote: {words}");
    }
}
