//! Where changes go, and what their records hold: the change's number instead of an envelope.

use std::sync::Arc;

use bytes::Bytes;
use keylane_core::capture::{Place, split_key_change};
use keylane_core::model::{Change, Epoch, Offset, OrderHash, Position, TopicPartition, murmur2};
use keylane_core::publish::{Header, RawRecord, RecordKind, Stamp};

use super::Transaction;

/// How many partitions each table's topic has.
#[derive(Clone, Copy, Debug)]
pub struct Routes {
    /// Partitions of every topic.
    pub partitions: u32,
}

impl Routes {
    /// A change's partition and place.
    pub fn place(self, change: &Change) -> (TopicPartition, Place) {
        let topic = topic_of(change);
        let key = change.order_key().unwrap_or_else(|| topic.clone());
        let order = OrderHash::of(key.as_bytes());
        let partition = order.partition(self.partitions);
        let place = Place {
            topic_hash: murmur2(topic.as_bytes()),
            partition,
            order,
        };
        (TopicPartition::new(topic, partition), place)
    }

    /// Every partition of these tables' topics.
    pub fn all(self, tables: &[Arc<keylane_core::model::TableSchema>]) -> Vec<TopicPartition> {
        let of = |table: &Arc<keylane_core::model::TableSchema>| {
            let topic: Arc<str> = format!("shop.{}", table.table.name).into();
            (0..self.partitions).map(move |number| TopicPartition::new(topic.clone(), number))
        };
        tables.iter().flat_map(of).collect()
    }

    /// A change's record: its value is the change's number.
    pub fn record(self, number: u32, change: &Change, stamp: Stamp, epoch: Epoch) -> RawRecord {
        let mut header = Header::plain(RecordKind::Change, epoch, change.position);
        header.stamp = stamp;
        header.order = Some(self.place(change).1.order);
        let key = change.row_key().unwrap_or_else(|| topic_of(change));
        RawRecord {
            headers: Vec::new(),
            offset: Offset(0),
            key: Some(Bytes::from(key)),
            value: Some(value_of(number)),
            keylane: Some(Bytes::from(header.encode())),
            timestamp_ms: 0,
        }
    }
}

/// A change's number as a record's value.
pub fn value_of(number: u32) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// A transaction's changes with row-key changes split, and their positions.
pub fn ordered(transaction: &Transaction) -> Vec<Change> {
    let mut ordinal = 0;
    let mut changes = Vec::new();
    for change in &transaction.changes {
        let mut change = change.clone();
        change.position = Position::new(transaction.commit, ordinal);
        for part in split_key_change(change) {
            ordinal += 1;
            changes.push(part);
        }
    }
    changes
}

fn topic_of(change: &Change) -> String {
    format!("shop.{}", change.schema.table.name)
}
