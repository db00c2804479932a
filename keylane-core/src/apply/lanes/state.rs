//! A partition's lanes and their queues; taking records in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::apply::{Frontier, Held, PartitionProgress};
use crate::consume::Item;
use crate::model::{Lane, LaneCount, Offset, Position, TopicPartition, murmur2};
use crate::publish::Acceptance;

use super::commit_order::CommitOrder;
use super::parked::ParkedKey;
use super::take::{BatchId, InFlight};
use super::together::Together;

/// A lane of an owned partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey {
    /// The partition's slot.
    pub(super) slot: usize,
    /// The lane.
    pub lane: Lane,
}

/// What became of a record that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceivedAs {
    /// It waits in its lane.
    Queued,
    /// Its lane is past it: a replay without effect.
    Replay,
    /// The partition is not owned (any more).
    NotOwned,
}

/// Why and how an item is to be parked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ParkReason {
    pub code: String,
    pub error: String,
    pub attempts: u32,
}

#[derive(Debug)]
pub(super) struct Entry<P> {
    pub item: Arc<Item<P>>,
    pub park: Option<Box<ParkReason>>,
    /// To be parked behind an earlier change of its key.
    pub behind: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing to do.
    Idle,
    /// In the ready queue.
    Ready,
    /// Its head waits for another lane or for the watermark; somebody will wake it.
    Waiting,
    /// In a batch.
    Busy,
    /// Pausing after a failure.
    Pausing,
}

#[derive(Debug)]
pub(super) struct LaneState<P> {
    pub queue: VecDeque<Entry<P>>,
    pub redrives: VecDeque<Bytes>,
    /// The next offset as the replica stores it: what its next transaction must find there.
    pub stored: Offset,
    /// Everything of this lane below this offset is applied.
    pub next: Offset,
    /// The position reached, as the replica stores it.
    pub position: Position,
    /// In the batch that is being put together: the position it will have reached.
    pub tentative: Option<(BatchId, Position)>,
    pub standing: Standing,
    /// Its changes are applied one by one, to find which one fails.
    pub careful: bool,
    /// Its head failed on a constraint: wait until everything before this position is applied.
    pub wait_before: Option<Position>,
    pub attempts: u32,
    /// Lanes whose head waits for this one.
    pub waiters: Vec<LaneKey>,
}

/// A partition's state, for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Which.
    pub partition: TopicPartition,
    /// Records waiting or in work.
    pub waiting: usize,
    /// Their bytes.
    pub buffered_bytes: usize,
    /// Everything below this offset is applied.
    pub low: Offset,
    /// Keys that have parked changes.
    pub parked_keys: usize,
}

#[derive(Debug)]
pub(super) struct Part<P> {
    pub partition: TopicPartition,
    pub owner_epoch: u64,
    pub frontier: Frontier,
    /// The low mark as the replica stores it.
    pub saved: Offset,
    pub lanes: Vec<LaneState<P>>,
    pub parked: HashMap<Bytes, ParkedKey>,
    pub buffered_bytes: usize,
    pub waiting: usize,
}

/// How records name a partition that they depend on.
fn hashed(partition: &TopicPartition) -> (u32, u32) {
    (murmur2(partition.topic.as_bytes()), partition.partition)
}

/// All lanes of the partitions that this process owns.
#[derive(Debug)]
pub struct Lanes<P> {
    pub(super) lane_count: LaneCount,
    pub(super) slots: Vec<Option<Part<P>>>,
    pub(super) by_name: HashMap<TopicPartition, usize>,
    pub(super) by_hash: HashMap<(u32, u32), usize>,
    pub(super) ready: VecDeque<LaneKey>,
    pub(super) floor_waiters: BTreeSet<(Position, LaneKey)>,
    pub(super) pauses: BTreeMap<(u64, u64), LaneKey>,
    pub(super) pause_number: u64,
    pub(super) in_flight: HashMap<BatchId, InFlight<P>>,
    pub(super) next_batch: u64,
    pub(super) unapplied_from: Position,
    pub(super) external: Position,
    /// The lowest position that may be unapplied in each partition elsewhere of which the replica tells.
    pub(super) elsewhere: HashMap<(u32, u32), Position>,
    /// Lanes whose head waits for one of them.
    pub(super) elsewhere_waiters: Vec<LaneKey>,
    /// Keys that are parked in other processes' partitions, with their topics.
    pub(super) parked_elsewhere: HashSet<(Arc<str>, Bytes)>,
    /// What the replica held of partitions that were given up.
    pub(super) left: HashMap<TopicPartition, Held>,
    /// No work is handed out.
    pub(super) held: bool,
    pub(super) replays: u64,
    pub(super) foreign: bool,
    /// The transaction whose rest is waited for.
    pub(super) together: Option<Together>,
    /// The last commit of which that did not help.
    pub(super) not_together: Option<u64>,
    /// Where transactions are applied whole, in the order of their commits.
    pub(super) commit_order: Option<CommitOrder<P>>,
}

impl<P> Lanes<P> {
    /// No partitions yet.
    pub fn new(lane_count: LaneCount) -> Self {
        Lanes {
            lane_count,
            slots: Vec::new(),
            by_name: HashMap::new(),
            by_hash: HashMap::new(),
            ready: VecDeque::new(),
            floor_waiters: BTreeSet::new(),
            pauses: BTreeMap::new(),
            pause_number: 0,
            in_flight: HashMap::new(),
            next_batch: 0,
            unapplied_from: Position::ZERO,
            external: Position::MAX,
            elsewhere: HashMap::new(),
            elsewhere_waiters: Vec::new(),
            parked_elsewhere: HashSet::new(),
            left: HashMap::new(),
            held: false,
            replays: 0,
            foreign: false,
            together: None,
            not_together: None,
            commit_order: None,
        }
    }

    /// No partitions yet, of topics that another tool wrote: their positions say nothing across partitions and changes carry no stamps, so a constraint
    /// violation is tried again for a while (it may be another partition's turn first) instead of waiting for everything before it.
    pub fn of_foreign_topics(lane_count: LaneCount) -> Self {
        Lanes {
            foreign: true,
            ..Lanes::new(lane_count)
        }
    }

    /// Takes a partition over, from the progress that was read after fencing. Returns the offset to read from.
    pub fn assign(&mut self, progress: &PartitionProgress) -> Offset {
        self.let_go(&progress.partition);
        self.left.remove(&progress.partition);
        let floor_position = progress.low_position;
        let lanes = (0..self.lane_count.0)
            .map(|lane| {
                let (stored, position) =
                    progress.lanes.get(&Lane(lane)).copied().unwrap_or_default();
                LaneState {
                    queue: VecDeque::new(),
                    redrives: VecDeque::new(),
                    stored,
                    next: stored.max(progress.low),
                    position: position.max(floor_position),
                    tentative: None,
                    standing: Standing::Idle,
                    careful: false,
                    wait_before: None,
                    attempts: 0,
                    waiters: Vec::new(),
                }
            })
            .collect();
        let slot = self.slots.len();
        self.slots.push(Some(Part {
            partition: progress.partition.clone(),
            owner_epoch: progress.owner_epoch,
            frontier: Frontier::new(progress.low, floor_position, progress.acceptance),
            saved: progress.low,
            lanes,
            parked: HashMap::new(),
            buffered_bytes: 0,
            waiting: 0,
        }));
        if let Some(Some(part)) = self.slots.get_mut(slot) {
            for (lane, key) in &progress.parked_keys {
                let known = part.parked.entry(key.clone());
                known
                    .and_modify(|parked| {
                        parked.lanes.insert(*lane);
                    })
                    .or_insert_with(|| ParkedKey::of(*lane));
            }
        }
        self.by_name.insert(progress.partition.clone(), slot);
        let hashed = hashed(&progress.partition);
        self.elsewhere.remove(&hashed);
        self.by_hash.insert(hashed, slot);
        self.refresh_low();
        self.recheck_all_waiting();
        self.no_longer_together();
        for key in &progress.redrive_keys {
            self.redrive(&progress.partition, key);
        }
        progress.low
    }

    /// Gives a partition up. Its batches in work are forgotten; their outcome no longer matters here. What is unapplied there, and what is parked, others hold
    /// from now on, until [`Lanes::set_elsewhere`] tells how far they are.
    pub fn revoke(&mut self, partition: &TopicPartition) {
        if let Some(part) = self.let_go(partition) {
            self.left.insert(partition.clone(), part.held());
            let unapplied_from = part.frontier.unapplied_from();
            self.external = self.external.min(unapplied_from);
            self.elsewhere.insert(hashed(partition), unapplied_from);
            let topic = &part.partition.topic;
            let keys = part.parked.into_keys();
            self.parked_elsewhere
                .extend(keys.map(|key| (topic.clone(), key)));
            self.refresh_low();
            self.recheck_all_waiting();
            self.no_longer_together();
        }
    }

    /// Takes a partition out. What waits elsewhere has to look again.
    fn let_go(&mut self, partition: &TopicPartition) -> Option<Part<P>> {
        let slot = self.by_name.remove(partition)?;
        self.by_hash.retain(|_, other| *other != slot);
        self.ready.retain(|key| key.slot != slot);
        if let Some(order) = &mut self.commit_order {
            order.forget(slot);
        }
        self.slots.get_mut(slot)?.take()
    }

    /// A change of an owned partition, in offset order; `after` is the judging's state behind it.
    pub fn offer(
        &mut self,
        partition: &TopicPartition,
        item: impl Into<Arc<Item<P>>>,
        after: Acceptance,
    ) -> ReceivedAs {
        let item: Arc<Item<P>> = item.into();
        let lane = item.order.lane(self.lane_count);
        let Some(slot) = self.by_name.get(partition).copied() else {
            return ReceivedAs::NotOwned;
        };
        let Some(part) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return ReceivedAs::NotOwned;
        };
        let Some(state) = part.lanes.get_mut(usize::from(lane.0)) else {
            return ReceivedAs::NotOwned;
        };
        if item.offset < state.next || item.position <= state.position {
            part.frontier
                .passed(item.offset, Some(item.position), after);
            self.replays += 1;
            return ReceivedAs::Replay;
        }
        part.frontier.pending(item.offset, item.position, after);
        part.buffered_bytes += item.size_bytes;
        part.waiting += 1;
        let key = LaneKey { slot, lane };
        if let Some(order) = &mut self.commit_order {
            order.queue(item.position, key);
        }
        state.queue.push_back(Entry {
            item,
            park: None,
            behind: false,
        });
        if state.standing == Standing::Idle {
            self.consider(key);
        }
        ReceivedAs::Queued
    }

    /// A record that needs nothing; `position`: everything up to it is in the partition, if the record tells.
    pub fn passed(
        &mut self,
        partition: &TopicPartition,
        offset: Offset,
        position: Option<Position>,
        after: Acceptance,
    ) {
        if let Some(part) = self.part_mut(partition) {
            part.frontier.passed(offset, position, after);
        }
    }

    /// To be called after a run of [`Lanes::offer`] and [`Lanes::passed`]: the watermark may have moved.
    pub fn received(&mut self) {
        self.refresh_low();
    }

    /// The lowest position that may be unapplied anywhere: everything below it is applied.
    pub fn unapplied_from(&self) -> Position {
        self.unapplied_from
    }

    /// What the replica tells of partitions that other processes hold, or nobody, or that this one holds meanwhile (these are passed over). `unknown`: of some
    /// it tells nothing yet, so anything may be unapplied there. What is stored is behind what is so, never ahead.
    ///
    /// Progress must have been read no later than parked keys: then who depends on a change that was parked elsewhere learns of that before it may go.
    pub fn set_elsewhere(&mut self, stored: &[PartitionProgress], unknown: bool) {
        let elsewhere = stored
            .iter()
            .filter(|progress| !self.owns(&progress.partition));
        let mut external = if unknown {
            Position::ZERO
        } else {
            Position::MAX
        };
        let (mut unapplied, mut parked) = (HashMap::new(), HashSet::new());
        for progress in elsewhere {
            let unapplied_from = progress.low_position.successor();
            external = external.min(unapplied_from);
            unapplied.insert(hashed(&progress.partition), unapplied_from);
            let topic = &progress.partition.topic;
            let keys = progress.parked_keys.iter();
            parked.extend(keys.map(|(_, key)| (topic.clone(), key.clone())));
        }
        self.external = external;
        self.elsewhere = unapplied;
        self.parked_elsewhere = parked;
        for waiter in std::mem::take(&mut self.elsewhere_waiters) {
            self.wake(waiter);
        }
        self.refresh_low();
    }

    /// Whether this process has this partition.
    pub fn owns(&self, partition: &TopicPartition) -> bool {
        self.by_name.contains_key(partition)
    }

    /// The batches in work that hold lanes of this partition.
    pub fn in_work(&self, partition: &TopicPartition) -> Vec<BatchId> {
        let Some(slot) = self.by_name.get(partition) else {
            return Vec::new();
        };
        let holds = |batch: &InFlight<P>| batch.lanes.iter().any(|lane| lane.key.slot == *slot);
        let batches = self.in_flight.iter().filter(|(_, batch)| holds(batch));
        batches.map(|(id, _)| *id).collect()
    }

    /// Whether this batch is in work.
    pub fn is_in_work(&self, id: BatchId) -> bool {
        self.in_flight.contains_key(&id)
    }

    /// Each owned partition's state.
    pub fn partitions(&self) -> Vec<PartitionState> {
        let state = |part: &Part<P>| PartitionState {
            partition: part.partition.clone(),
            waiting: part.waiting,
            buffered_bytes: part.buffered_bytes,
            low: part.frontier.low().0,
            parked_keys: part.parked.len(),
        };
        self.slots.iter().flatten().map(state).collect()
    }

    /// Replays that lanes skipped.
    pub fn replays(&self) -> u64 {
        self.replays
    }

    /// Batches being worked on.
    pub fn batches_in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether nothing waits and nothing is being worked on.
    pub fn is_drained(&self) -> bool {
        self.in_flight.is_empty() && self.slots.iter().flatten().all(|part| part.waiting == 0)
    }

    pub(super) fn part_mut(&mut self, partition: &TopicPartition) -> Option<&mut Part<P>> {
        let slot = *self.by_name.get(partition)?;
        self.slots.get_mut(slot)?.as_mut()
    }

    pub(super) fn lane(&self, key: LaneKey) -> Option<&LaneState<P>> {
        self.slots
            .get(key.slot)?
            .as_ref()?
            .lanes
            .get(usize::from(key.lane.0))
    }

    pub(super) fn lane_mut(&mut self, key: LaneKey) -> Option<&mut LaneState<P>> {
        self.slots
            .get_mut(key.slot)?
            .as_mut()?
            .lanes
            .get_mut(usize::from(key.lane.0))
    }
}
