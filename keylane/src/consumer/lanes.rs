//! The lanes of the partitions that this process has, as its database holds them.

use std::collections::{BTreeMap, HashMap};

use keylane_core::model::{LaneCount, Offset, OrderHash, TopicPartition};

use super::record::Record;
use crate::postgres::consume::{LaneMove, PostgresProgress};

/// What is known of lanes.
pub(super) struct Lanes {
    pub store: PostgresProgress,
    count: LaneCount,
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
        Lanes {
            count: LaneCount(store.lanes),
            parts: HashMap::new(),
            suspects: BTreeMap::new(),
            store,
        }
    }

    /// What a record's lane is ordered by; `None` if it was done before.
    pub(super) fn place(&self, partition: &TopicPartition, record: &Record) -> Option<OrderHash> {
        let lane = self.lane_of(record);
        let next = self.parts.get(partition)?.next.get(usize::from(lane))?;
        if u64::try_from(*next).is_ok_and(|next| record.offset.0 < next) {
            return None;
        }
        Some(OrderHash(u32::from(lane)))
    }

    /// Adds the step of this record's lane to those that a transaction makes.
    pub(super) fn add_step(&self, moves: &mut Vec<LaneMove>, record: &Record) {
        let lane = self.lane_of(record);
        if let Some(step) = moves.iter_mut().find(|step| step.lane == lane) {
            step.next = record.offset.next();
            return;
        }
        let partition = TopicPartition::new(record.topic.clone(), record.partition);
        let Some(part) = self.parts.get(&partition) else {
            return;
        };
        let Some(expected) = part.next.get(usize::from(lane)) else {
            return;
        };
        moves.push(LaneMove {
            lane,
            owner_epoch: part.owner_epoch,
            expected: *expected,
            next: record.offset.next(),
            partition,
        });
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

    /// It is no longer this process's, as the group says.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.suspects.remove(partition);
        self.parts.remove(partition);
    }

    /// Another owner was found in it. Returns whether that is news: of one transaction after another it may be told.
    pub(super) fn suspect(&mut self, partition: &TopicPartition, frontier: Offset) -> bool {
        let is_news = self.parts.remove(partition).is_some();
        if is_news {
            self.suspects.insert(partition.clone(), frontier);
        }
        is_news
    }

    /// The owner's number of a partition.
    pub(super) fn owner_epoch(&self, partition: &TopicPartition) -> Option<u64> {
        self.parts.get(partition).map(|part| part.owner_epoch)
    }

    /// What must be stored of a partition's lanes: of each that was ever moved, its next offset.
    pub(super) fn held(&self, partition: &TopicPartition) -> Vec<(u16, i64)> {
        let next = self.parts.get(partition).map(|part| part.next.iter());
        let lanes = (0..).zip(next.into_iter().flatten().copied());
        lanes.filter(|(_, next)| *next >= 0).collect()
    }

    /// Records without a key share one lane.
    fn lane_of(&self, record: &Record) -> u16 {
        let order = record.order.unwrap_or_else(|| OrderHash::of(&[]));
        order.lane(self.count).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_of_which_another_owner_is_told_twice_stays_suspect_until_it_is_taken_again() {
        let mut lanes = Lanes::new(PostgresProgress::new("postgres://nowhere").lanes(2));
        let partition = TopicPartition::new("t", 0);
        let part = || Part {
            owner_epoch: 1,
            next: vec![-1, -1],
        };
        lanes.take(partition.clone(), part());
        assert!(lanes.suspect(&partition, Offset(7)));
        assert!(!lanes.suspect(&partition, Offset(0)));
        assert_eq!(lanes.suspects.get(&partition), Some(&Offset(7)));
        lanes.take(partition.clone(), part());
        assert!(lanes.suspects.is_empty());
        assert!(lanes.suspect(&partition, Offset(8)));
        lanes.forget(&partition);
        assert!(lanes.suspects.is_empty());
    }
}
