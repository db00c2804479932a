//! The lanes of the partitions that this process has, as its database holds them.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use keylane_core::model::{LaneCount, Offset, OrderHash, TopicPartition};

use super::record::Record;
use crate::postgres::consume::{LaneMove, PostgresProgress};

/// What is known of lanes.
pub(super) struct Lanes {
    pub store: PostgresProgress,
    count: LaneCount,
    /// What a lane is called where records are ordered by name.
    names: Vec<Bytes>,
    parts: HashMap<TopicPartition, Part>,
    /// Partitions that another process took over, though the group names this one; and how far they were.
    pub suspects: BTreeMap<TopicPartition, Offset>,
}

/// A partition that was taken over.
pub(super) struct Part {
    /// What every transaction must find.
    pub owner_epoch: u64,
    /// What is stored of each lane: its next offset, or −1.
    pub next: Vec<i64>,
}

impl Lanes {
    pub(super) fn new(store: PostgresProgress) -> Self {
        let names = (0..store.lanes).map(|lane| Bytes::copy_from_slice(&lane.to_be_bytes()));
        Lanes {
            count: LaneCount(store.lanes),
            names: names.collect(),
            parts: HashMap::new(),
            suspects: BTreeMap::new(),
            store,
        }
    }

    /// The lane of a record, by the name that its order goes by; `None` if it was done before.
    pub(super) fn place(&self, partition: &TopicPartition, record: &Record) -> Option<Bytes> {
        let lane = self.lane_of(record);
        let next = self.parts.get(partition)?.next.get(usize::from(lane))?;
        if u64::try_from(*next).is_ok_and(|next| record.offset.0 < next) {
            return None;
        }
        self.names.get(usize::from(lane)).cloned()
    }

    /// The step that a transaction makes which handles this record.
    pub(super) fn step(&self, partition: &TopicPartition, record: &Record) -> Option<LaneMove> {
        let part = self.parts.get(partition)?;
        let lane = self.lane_of(record);
        Some(LaneMove {
            partition: partition.clone(),
            lane,
            owner_epoch: part.owner_epoch,
            expected: *part.next.get(usize::from(lane))?,
            next: record.offset.next(),
        })
    }

    /// Steps are committed.
    pub(super) fn moved(&mut self, moves: &[LaneMove]) {
        for step in moves {
            let Some(part) = self.parts.get_mut(&step.partition) else {
                continue;
            };
            if part.owner_epoch == step.owner_epoch
                && let Some(next) = part.next.get_mut(usize::from(step.lane))
            {
                *next = (*next).max(i64::try_from(step.next.0).unwrap_or(i64::MAX));
            }
        }
    }

    pub(super) fn take(&mut self, partition: TopicPartition, part: Part) {
        self.suspects.remove(&partition);
        self.parts.insert(partition, part);
    }

    /// Returns whether it was there.
    pub(super) fn forget(&mut self, partition: &TopicPartition) -> bool {
        self.suspects.remove(partition);
        self.parts.remove(partition).is_some()
    }

    /// The owner's number of a partition.
    pub(super) fn owner_epoch(&self, partition: &TopicPartition) -> Option<u64> {
        self.parts.get(partition).map(|part| part.owner_epoch)
    }

    /// Records without a key share one lane.
    fn lane_of(&self, record: &Record) -> u16 {
        let key = record.key.as_deref().unwrap_or_default();
        OrderHash::of(key).lane(self.count).0
    }
}
