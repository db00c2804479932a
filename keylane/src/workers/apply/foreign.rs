//! Topics that Debezium writes: taken in by Debezium's own positions, read by the schemas they carry or by the replica's tables.
//!
//! Such records carry no stamps, and their positions say nothing across partitions: each key keeps its order, and a constraint violation is tried again for a
//! while. What is written again after a connector's restart is known by its place and skipped, where the records carry `source.sequence`.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use keylane_core::apply::{ApplyError, Replica, ReplicaTable};
use keylane_core::consume::{Item, RawPayload, Taken};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{
    Change, Column, OrderHash, Position, TableName, TableSchema, TopicPartition,
};
use keylane_core::publish::{Acceptance, RawRecord, Stamp, Verdict};
use tracing::info;

use crate::envelope::{DebeziumDecoder, DebeziumSettings, EnvelopeError, ForeignChange, Guarantee};

/// What is known of another tool's topics.
pub(super) struct Foreign {
    decoder: DebeziumDecoder,
    /// The replica's tables, `None` for those it lacks.
    targets: RwLock<HashMap<TableName, Option<Arc<TableSchema>>>>,
    told: Mutex<BTreeSet<TableName>>,
}

impl Foreign {
    /// Nothing known yet.
    pub(super) fn new() -> Self {
        Foreign {
            decoder: DebeziumDecoder::new(DebeziumSettings::default()),
            targets: RwLock::default(),
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
        Taken::Item(Box::new(Item {
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
        let key = (!key.is_empty()).then_some(&key[..]);
        let missed: Mutex<Option<TableName>> = Mutex::new(None);
        let lookup = |table: &TableName| {
            if !self
                .targets
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains_key(table)
            {
                *missed.lock().unwrap_or_else(PoisonError::into_inner) = Some(table.clone());
            }
            self.target(table)
        };
        let first = self.decoder.decode(key, Some(value), &lookup);
        let missed = missed.into_inner().unwrap_or_else(PoisonError::into_inner);
        let decoded = match missed {
            None => first,
            Some(table) => {
                self.look_up(&table, replica).await?;
                self.decoder
                    .decode(key, Some(value), &|table| self.target(table))
            }
        };
        match decoded {
            Ok(Some(ForeignChange { change, position })) => {
                self.tell(&change, position.guarantee(change.schema.has_key()));
                Ok(change)
            }
            Ok(None) => Err(ApplyError::new(
                ApplyErrorKind::Corrupt,
                "the record is no change",
            )),
            Err(error @ EnvelopeError::UnknownTable { .. }) => Err(ApplyError::new(
                ApplyErrorKind::MissingObject,
                error.to_string(),
            )),
            Err(error) => Err(ApplyError::new(ApplyErrorKind::Corrupt, error.to_string())),
        }
    }

    /// The replica's tables may have changed.
    pub(super) fn forget(&self) {
        self.targets
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn target(&self, table: &TableName) -> Option<Arc<TableSchema>> {
        self.targets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(table)
            .cloned()
            .flatten()
    }

    async fn look_up(&self, table: &TableName, replica: &dyn Replica) -> Result<(), ApplyError> {
        let found = replica.describe(table).await?;
        let schema = found.map(|found| Arc::new(schema_of(&found)));
        self.targets
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(table.clone(), schema);
        Ok(())
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

fn schema_of(table: &ReplicaTable) -> TableSchema {
    let columns: Vec<Column> = table
        .columns
        .iter()
        .map(|column| Column {
            name: column.name.as_str().into(),
            type_name: column.type_name.as_str().into(),
            nullable: column.nullable,
            generated: column.generated,
        })
        .collect();
    let place = |name: &String| table.columns.iter().position(|column| column.name == *name);
    let key: Vec<usize> = table.key.iter().filter_map(place).collect();
    TableSchema {
        id: Default::default(),
        table: table.table.clone(),
        columns,
        order_key: key.clone(),
        key,
        uniques: Vec::new(),
        references: Vec::new(),
        referenced: Vec::new(),
    }
    .sealed()
}
