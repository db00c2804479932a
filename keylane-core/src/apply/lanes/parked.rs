//! Parked keys: their later changes are parked behind them, and a redrive applies all of a key's changes in order.
//!
//! Where the order key is not the row key, a row's changes may be in several lanes, and in several partitions of their topic. They are parked in the order of their
//! positions all the same, because each change depends on its row's last one; so a key's queue is one, whatever lanes it came by. A redrive takes all of these lanes,
//! so that nothing is put behind the queue while it is emptied.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::model::{Lane, TopicPartition};

use super::state::{Entry, LaneKey, Lanes, Part, Standing};
use super::take::TakenLane;

/// A parked key, as far as a partition knows.
#[derive(Clone, Debug, Default)]
pub(super) struct ParkedKey {
    /// The lanes by which its changes came.
    pub lanes: BTreeSet<Lane>,
    /// How many changes were parked since the partition was taken over.
    changes: u64,
}

impl ParkedKey {
    pub(super) fn of(lane: Lane) -> Self {
        ParkedKey {
            lanes: BTreeSet::from([lane]),
            changes: 0,
        }
    }
}

/// A parked key at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedMark {
    /// The partition.
    pub partition: TopicPartition,
    /// The record key.
    pub key: Bytes,
    changes: u64,
}

impl<P> Part<P> {
    pub(super) fn note_parked(&mut self, key: Bytes, lane: Lane) {
        let parked = self.parked.entry(key).or_default();
        parked.lanes.insert(lane);
        parked.changes += 1;
    }
}

impl<P> Lanes<P> {
    /// A person asked for the redrive of a parked key.
    pub fn redrive(&mut self, partition: &TopicPartition, key: &Bytes) {
        let Some(slot) = self.by_name.get(partition).copied() else {
            return;
        };
        let Some(part) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let lane = part.parked.get(key).and_then(|parked| parked.lanes.first());
        let Some(lane) = lane.copied() else {
            return;
        };
        let Some(state) = part.lanes.get_mut(usize::from(lane.0)) else {
            return;
        };
        if !state.redrives.contains(key) {
            state.redrives.push_back(key.clone());
        }
        if matches!(state.standing, Standing::Idle | Standing::Waiting) {
            self.make_ready(LaneKey { slot, lane });
        }
    }

    /// All parked keys.
    pub fn parked(&self) -> Vec<ParkedMark> {
        let marks = |part: &Part<P>| {
            let mark = |(key, parked): (&Bytes, &ParkedKey)| ParkedMark {
                partition: part.partition.clone(),
                key: key.clone(),
                changes: parked.changes,
            };
            part.parked.iter().map(mark).collect::<Vec<_>>()
        };
        self.slots.iter().flatten().flat_map(marks).collect()
    }

    /// The replica was seen, after the mark was made, to hold nothing of this key any more: its later changes are applied again. Not if one was parked since.
    pub fn unpark(&mut self, mark: &ParkedMark) {
        if let Some(part) = self.part_mut(&mark.partition)
            && part
                .parked
                .get(&mark.key)
                .is_some_and(|parked| parked.changes == mark.changes)
        {
            part.parked.remove(&mark.key);
        }
    }

    /// Marks what is to be parked behind earlier changes of its key. Entries come by lanes; what counts is their order by position.
    pub(super) fn mark_behind(&self, taken: &mut [TakenLane<P>]) {
        let topic_of = |slot: usize| {
            let part = self.slots.get(slot).and_then(Option::as_ref);
            part.map(|part| &part.partition.topic)
        };
        let holding: Vec<&Part<P>> = self.slots.iter().flatten().collect();
        let holding: Vec<&&Part<P>> = holding.iter().filter(|it| !it.parked.is_empty()).collect();
        let is_parking = |entry: &Entry<P>| entry.park.is_some();
        if holding.is_empty()
            && self.parked_elsewhere.is_empty()
            && !taken.iter().flat_map(|lane| &lane.entries).any(is_parking)
        {
            return;
        }
        let mut order: Vec<(usize, usize)> = Vec::new();
        for (lane, it) in taken.iter().enumerate() {
            order.extend((0..it.entries.len()).map(|entry| (lane, entry)));
        }
        let entry_of = |taken: &[TakenLane<P>], (lane, entry): (usize, usize)| {
            let lane = taken.get(lane)?;
            let entry = lane.entries.get(entry)?;
            let place = (topic_of(lane.key.slot)?.clone(), entry.item.key.clone());
            Some((entry.item.position, place, entry.park.is_some()))
        };
        order.sort_by_key(|at| entry_of(taken, *at).map(|(position, ..)| position));
        let mut newly_parked = BTreeSet::new();
        for at in order {
            let Some((_, place, parks)) = entry_of(taken, at) else {
                continue;
            };
            let is_parked = |part: &&&Part<P>| {
                part.partition.topic == place.0 && part.parked.contains_key(&place.1)
            };
            let behind = newly_parked.contains(&place)
                || holding.iter().any(is_parked)
                || self.parked_elsewhere.contains(&place);
            if let Some(lane) = taken.get_mut(at.0)
                && let Some(entry) = lane.entries.get_mut(at.1)
            {
                entry.behind = behind && !parks;
            }
            if parks {
                newly_parked.insert(place);
            }
        }
    }

    /// The lanes that a redrive of this key needs; the first holds the redrive. `None` if one of them is in work: then the redrive waits for it.
    pub(super) fn take_redrive(
        &mut self,
        key: LaneKey,
        parked: Bytes,
    ) -> Option<Vec<TakenLane<P>>> {
        let topic = self.slots.get(key.slot)?.as_ref()?.partition.topic.clone();
        let mut needed = vec![key];
        for (slot, part) in self.slots.iter().enumerate() {
            let Some(part) = part.as_ref().filter(|part| part.partition.topic == topic) else {
                continue;
            };
            let lanes = part.parked.get(&parked).map(|parked| &parked.lanes);
            let keys = lanes
                .into_iter()
                .flatten()
                .map(|lane| LaneKey { slot, lane: *lane });
            needed.extend(keys.filter(|other| *other != key));
        }
        let is_busy = |key: &LaneKey| {
            self.lane(*key)
                .is_some_and(|it| it.standing == Standing::Busy)
        };
        if let Some(busy) = needed.iter().copied().find(is_busy) {
            if let Some(lane) = self.lane_mut(key) {
                lane.redrives.push_front(parked);
                lane.standing = Standing::Waiting;
            }
            if let Some(lane) = self.lane_mut(busy) {
                lane.waiters.push(key);
            }
            return None;
        }
        let mut taken = Vec::with_capacity(needed.len());
        for other in needed {
            let Some((next, position)) = self.lane(other).map(|lane| (lane.stored, lane.position))
            else {
                continue;
            };
            self.stand(other, Standing::Busy);
            taken.push(TakenLane {
                key: other,
                entries: Vec::new(),
                redrives: if other == key {
                    vec![parked.clone()]
                } else {
                    Vec::new()
                },
                next,
                position,
            });
        }
        self.ready
            .retain(|ready| !taken.iter().any(|lane| lane.key == *ready));
        Some(taken)
    }

    /// A key's queue is empty, whatever lanes it came by.
    pub(super) fn redriven(&mut self, slot: usize, key: &Bytes) {
        let topic = match self.slots.get(slot) {
            Some(Some(part)) => part.partition.topic.clone(),
            Some(None) | None => return,
        };
        let parts = self.slots.iter_mut().flatten();
        for part in parts.filter(|part| part.partition.topic == topic) {
            part.parked.remove(key);
            for lane in &mut part.lanes {
                lane.redrives.retain(|other| other != key);
            }
        }
    }
}
