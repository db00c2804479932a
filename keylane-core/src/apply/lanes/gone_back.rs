//! A replica that was restored from an older backup, or whose standby took over without the last transactions, stands behind what this process has written there.
//!
//! Its own writes tell: a lane's step finds another offset than it left, and a partition's low mark is saved only where the replica still holds all that it stands
//! for ([`PartitionLow::held`]). Then nothing that was believed of the replica counts any more, of any partition: a change could go ahead of what it depends on, since that
//! is applied no longer. All partitions are let go and taken over again, from what the replica says now. Whoever lost its connection looks before it goes on.

use crate::apply::{Held, PartitionLow, PartitionProgress};
use crate::model::{Lane, Offset, Position, TopicPartition};

use super::state::{Lanes, Part};

impl<P> Part<P> {
    /// What the replica held of it when it was last written to by this process.
    pub(super) fn held(&self) -> Held {
        let lanes = (0..).map(Lane).zip(&self.lanes);
        let ahead = lanes.filter(|(_, lane)| lane.stored > self.saved);
        Held {
            low: self.saved,
            ahead: ahead.map(|(lane, state)| (lane, state.stored)).collect(),
        }
    }
}

impl Held {
    /// Whether the replica holds it still.
    fn is_in(&self, stored: &PartitionProgress) -> bool {
        let reached = |lane: &Lane| {
            let own = stored.lanes.get(lane).map_or(Offset(0), |(next, _)| *next);
            own.max(stored.low)
        };
        let holds = |(lane, next): &(Lane, Offset)| reached(lane) >= *next;
        stored.low >= self.low && self.ahead.iter().all(holds)
    }
}

impl<P> Lanes<P> {
    /// How far each owned partition is, to be saved now and then; [`Lanes::saved`] tells that it was.
    pub fn lows(&self) -> Vec<PartitionLow> {
        let low = |part: &Part<P>| {
            let (low, acceptance) = part.frontier.low();
            PartitionLow {
                partition: part.partition.clone(),
                owner_epoch: part.owner_epoch,
                low,
                low_position: part.frontier.unapplied_from().predecessor(),
                acceptance,
                held: part.held(),
            }
        };
        self.slots.iter().flatten().map(low).collect()
    }

    /// These are saved.
    pub fn saved(&mut self, lows: &[PartitionLow]) {
        for low in lows {
            if let Some(part) = self.part_mut(&low.partition)
                && part.owner_epoch == low.owner_epoch
            {
                part.saved = part.saved.max(low.low);
            }
        }
    }

    /// Whether the replica holds less of a partition than it did when this process last wrote there. Its lanes must have been read.
    pub fn has_gone_back(&self, stored: &PartitionProgress) -> bool {
        let owned = self.by_name.get(&stored.partition);
        let held = match owned.and_then(|slot| self.slots.get(*slot)?.as_ref()) {
            Some(part) => part.held(),
            None => match self.left.get(&stored.partition) {
                Some(held) => held.clone(),
                None => return false,
            },
        };
        !held.is_in(stored)
    }

    /// Lets go of every partition, and of what others were believed to have applied: the replica has gone back. Returns what was owned, to be taken over again.
    pub fn doubt_all(&mut self) -> Vec<TopicPartition> {
        let owned: Vec<TopicPartition> = self.by_name.keys().cloned().collect();
        for partition in &owned {
            self.revoke(partition);
        }
        self.left.clear();
        self.external = Position::ZERO;
        let unknown = |position: &mut Position| *position = Position::ZERO;
        self.elsewhere.values_mut().for_each(unknown);
        self.refresh_low();
        owned
    }

    /// Hands out no work until [`Lanes::go_on`]: the connection to the replica was lost, and what stands behind the next one may have gone back.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// The replica was looked at: work goes on.
    pub fn go_on(&mut self) {
        self.held = false;
    }

    /// Whether work is held.
    pub fn is_held(&self) -> bool {
        self.held
    }
}
