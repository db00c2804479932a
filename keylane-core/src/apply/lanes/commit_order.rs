//! Commit order: whole transactions of the origin, side by side where they are independent, committed one after another as the origin committed them. A reader of
//! the replica then only sees states that the origin had.
//!
//! A batch is a run of consecutive transactions, each whole: one is taken once every partition is known to hold all of it. Batches are worked on at the same
//! time, and commit in turn. A batch that holds a key, or depends on a change, of a batch before it begins when that one is committed. What is not stamped (changes
//! of different keys in one lane) is not foreseen: such a batch began out of turn, finds a row locked or missing or violates a constraint, gives way, and is done
//! again in its turn. With a batch that does not commit, all behind it give way, because they are to be committed on top of it.
//!
//! A transaction that fails by itself is tried alone, with all its changes in whatever order the replica's constraints allow. If that fails too, the pipeline stops:
//! a state without it is none that the origin had. So nothing is parked here.
//!
//! The idea of committing in the origin's order what was executed side by side is that of MySQL's `replica_preserve_commit_order`, and so is the remedy when the
//! earlier waits for a row that the later has locked: the later one rolls back.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use crate::apply::ApplyError;
use crate::error::Remedy;
use crate::model::{LaneCount, Offset, Position, TopicPartition};
use crate::publish::Stamp;

use super::settle::{FailurePolicy, Notice, Outcome};
use super::state::{LaneKey, Lanes};
use super::take::{Batch, BatchId, BatchKind, InFlight, Limits, TakenLane};

/// Whether a batch may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearance {
    /// Yes.
    Now,
    /// Not yet.
    Later,
    /// No: one before it was not committed.
    Never,
}

/// A batch that is worked on.
#[derive(Clone, Copy, Debug)]
struct Running {
    id: BatchId,
    first: Position,
    last: Position,
    /// It begins when this one is committed.
    after: Option<BatchId>,
}

/// What commit order has to know. Bounded by what is queued.
#[derive(Debug)]
pub(super) struct CommitOrder<P> {
    /// The changes that are in no batch.
    queued: BTreeSet<(Position, LaneKey)>,
    /// In the order of their turns.
    running: VecDeque<Running>,
    /// The last batch that holds each key.
    keys: HashMap<(usize, Bytes), BatchId>,
    /// Where each lane will stand after the last batch that holds it.
    reached: HashMap<LaneKey, Offset>,
    /// Batches that were not committed, until those behind them have given way too.
    returned: BTreeMap<BatchId, InFlight<P>>,
    /// Transactions up to here begin when everything before them is committed.
    in_turn_up_to: Position,
    /// Transactions up to here go alone.
    alone_up_to: Position,
    attempts: u32,
    paused_until_ms: Option<u64>,
}

impl<P> Default for CommitOrder<P> {
    fn default() -> Self {
        CommitOrder {
            queued: BTreeSet::new(),
            running: VecDeque::new(),
            keys: HashMap::new(),
            reached: HashMap::new(),
            returned: BTreeMap::new(),
            in_turn_up_to: Position::ZERO,
            alone_up_to: Position::ZERO,
            attempts: 0,
            paused_until_ms: None,
        }
    }
}

impl<P> CommitOrder<P> {
    pub(super) fn queue(&mut self, position: Position, key: LaneKey) {
        self.queued.insert((position, key));
    }

    pub(super) fn forget(&mut self, slot: usize) {
        self.queued.retain(|(_, key)| key.slot != slot);
    }

    /// Where the lane will stand when all batches that hold it are committed, if any does.
    pub(super) fn reached(&self, key: LaneKey) -> Option<Offset> {
        self.reached.get(&key).copied()
    }

    /// The commit of the next transaction.
    fn next_commit(&self) -> Option<u64> {
        self.commit_after(None)
    }

    /// The commit of the next transaction behind this place.
    fn commit_after(&self, place: Option<&(Position, LaneKey)>) -> Option<u64> {
        let next = self.behind(place).next();
        next.map(|(position, _)| position.commit)
    }

    /// The changes of that transaction which are queued.
    fn transaction_after(
        &self,
        place: Option<&(Position, LaneKey)>,
    ) -> impl Iterator<Item = (Position, LaneKey)> {
        let commit = self.commit_after(place);
        let behind = self.behind(place);
        behind.take_while(move |(position, _)| Some(position.commit) == commit)
    }

    fn behind(
        &self,
        place: Option<&(Position, LaneKey)>,
    ) -> impl Iterator<Item = (Position, LaneKey)> {
        let from = place.map_or(Bound::Unbounded, |place| Bound::Excluded(*place));
        self.queued.range((from, Bound::Unbounded)).copied()
    }

    fn is_alone(&self, commit: u64) -> bool {
        Position::new(commit, 0) <= self.alone_up_to
    }

    /// The last running batch on whose commit a change with this key and stamp depends.
    fn depends_on(&self, key: (usize, Bytes), stamp: &Stamp) -> Option<BatchId> {
        let of_key = self.keys.get(&key).copied();
        let named = stamp.dependencies.iter().map(|it| it.position);
        let named = named.filter_map(|position| {
            let holds = |it: &&Running| it.first <= position && position <= it.last;
            self.running.iter().find(holds)
        });
        let before = |it: &&Running| it.first <= stamp.floor;
        let floor = self.running.iter().rev().find(before);
        of_key.max(named.chain(floor).map(|it| it.id).max())
    }
}

impl<P> Lanes<P> {
    /// The next run of whole transactions.
    pub(super) fn take_in_commit_order(&mut self, id: BatchId, limits: Limits) -> Option<Batch<P>> {
        if !self.is_ready_in_commit_order() {
            return None;
        }
        let order = self.commit_order.as_ref()?;
        let alone = order.is_alone(order.next_commit()?);
        let mut places: Vec<(Position, LaneKey)> = Vec::new();
        let (mut bytes, mut after) = (0, None);
        while let Some(commit) = order.commit_after(places.last()) {
            let other = !places.is_empty() && order.is_alone(commit) != alone;
            if other || !self.is_complete(commit) {
                break;
            }
            let of_commit: Vec<_> = order.transaction_after(places.last()).collect();
            let (size, depends_on) = self.weigh(&of_commit);
            let too_large = places.len() + of_commit.len() > limits.items_max
                || bytes + size > limits.bytes_max;
            if !places.is_empty() && too_large {
                break;
            }
            bytes += size;
            after = after.max(depends_on);
            places.extend(of_commit);
            if alone {
                break;
            }
        }
        let kind = match alone {
            true => BatchKind::Together,
            false => BatchKind::Plain,
        };
        self.begin(id, &places, after, kind)
    }

    /// The bytes of these changes, which stand at consecutive places, and the last running batch that any of them depends on.
    fn weigh(&self, places: &[(Position, LaneKey)]) -> (usize, Option<BatchId>) {
        let (mut bytes, mut after) = (0, None);
        let Some(order) = &self.commit_order else {
            return (bytes, after);
        };
        for (position, key) in places {
            let lane = self.lane(*key);
            let at = lane.and_then(|lane| {
                let found = lane
                    .queue
                    .binary_search_by_key(position, |entry| entry.item.position);
                lane.queue.get(found.ok()?)
            });
            let Some(entry) = at else { continue };
            bytes += entry.item.size_bytes;
            let of = (key.slot, entry.item.key.clone());
            after = after.max(order.depends_on(of, &entry.item.stamp));
        }
        (bytes, after)
    }

    /// Takes the changes at these places, which are the first in their lanes.
    fn begin(
        &mut self,
        id: BatchId,
        places: &[(Position, LaneKey)],
        after: Option<BatchId>,
        kind: BatchKind,
    ) -> Option<Batch<P>> {
        let (first, last) = (places.first()?.0, places.last()?.0);
        let mut counts: BTreeMap<LaneKey, usize> = BTreeMap::new();
        for (_, key) in places {
            *counts.entry(*key).or_default() += 1;
        }
        let mut taken: Vec<TakenLane<P>> = Vec::with_capacity(counts.len());
        for (key, count) in counts {
            taken.extend(self.take_front(key, count));
        }
        let order = self.commit_order.as_mut()?;
        for place in places {
            order.queued.remove(place);
        }
        for lane in &taken {
            for entry in &lane.entries {
                order
                    .keys
                    .insert((lane.key.slot, entry.item.key.clone()), id);
            }
        }
        let in_turn = first <= order.in_turn_up_to;
        let before = order.running.back().map(|it| it.id);
        order.running.push_back(Running {
            id,
            first,
            last,
            after: if in_turn { before } else { after },
        });
        let nexts: Vec<_> = taken.iter().map(|lane| (lane.key, lane.next)).collect();
        let batch = self.hand_out(id, taken, kind);
        // Only now: the batch was put together with where the lanes stood before it.
        self.commit_order.as_mut()?.reached.extend(nexts);
        Some(batch)
    }

    /// No partitions yet; transactions will be applied whole, in the order in which the origin committed them. All partitions of the pipeline must be assigned.
    pub fn in_commit_order(lane_count: LaneCount) -> Self {
        Lanes {
            commit_order: Some(CommitOrder::default()),
            ..Lanes::new(lane_count)
        }
    }

    /// Whether a batch may begin its transaction: in commit order, everything that it is known to depend on is committed.
    pub fn may_begin(&self, id: BatchId) -> Clearance {
        self.turn(id, |order, batch| {
            let mut running = order.running.iter();
            batch
                .after
                .is_none_or(|after| running.all(|it| it.id > after))
        })
    }

    /// Whether a batch may commit: in commit order, everything before it is committed.
    pub fn may_commit(&self, id: BatchId) -> Clearance {
        self.turn(id, |order, batch| {
            order.running.front().is_some_and(|it| it.id == batch.id)
        })
    }

    fn turn(&self, id: BatchId, may: impl Fn(&CommitOrder<P>, &Running) -> bool) -> Clearance {
        let Some(order) = &self.commit_order else {
            return Clearance::Now;
        };
        let Some(batch) = order.running.iter().find(|it| it.id == id) else {
            return Clearance::Never;
        };
        if order
            .returned
            .keys()
            .next()
            .is_some_and(|first| *first < id)
        {
            Clearance::Never
        } else if may(order, batch) {
            Clearance::Now
        } else {
            Clearance::Later
        }
    }

    /// In commit order: the partitions that must tell more before the next transaction can be taken, and its commit; nothing is being worked on.
    pub fn incomplete(&self) -> Option<(u64, Vec<TopicPartition>)> {
        let order = self.commit_order.as_ref()?;
        let commit = order.next_commit().filter(|_| self.in_flight.is_empty())?;
        let parts = self.slots.iter().flatten();
        let lacking = parts.filter(|part| part.frontier.seen() < Position::end_of(commit));
        let lacking: Vec<_> = lacking.map(|part| part.partition.clone()).collect();
        (!lacking.is_empty()).then_some((commit, lacking))
    }

    pub(super) fn is_ready_in_commit_order(&self) -> bool {
        let Some(order) = &self.commit_order else {
            return false;
        };
        let Some(commit) = order.next_commit() else {
            return false;
        };
        order.returned.is_empty()
            && order.paused_until_ms.is_none()
            && (order.running.is_empty() || !order.is_alone(commit))
            && self.is_complete(commit)
    }

    /// Whether every partition of the pipeline is known to hold all of this transaction that is for it.
    fn is_complete(&self, commit: u64) -> bool {
        let end = Position::end_of(commit);
        let mut parts = self.slots.iter().flatten();
        self.external > end && parts.all(|part| part.frontier.seen() >= end)
    }

    /// Takes a batch's outcome.
    pub(super) fn settle_in_commit_order(
        &mut self,
        id: BatchId,
        batch: InFlight<P>,
        outcome: Outcome,
        (policy, now_ms, jitter): (&FailurePolicy, u64, f64),
    ) -> Vec<Notice> {
        let mut notices = Vec::new();
        match outcome {
            Outcome::Committed => self.committed_in_turn(id, batch),
            Outcome::OutOfTurn => self.gave_way(id, batch),
            Outcome::Partly(_, error) | Outcome::RolledBack(error) => {
                let alone = batch.kind == BatchKind::Together;
                let last = last_of(&batch);
                self.gave_way(id, batch);
                notices = self.judge_in_turn(&error, alone, last, policy);
                if notices.is_empty() {
                    self.pause_in_turn(&error, policy, now_ms, jitter);
                }
            }
        }
        self.give_back_all();
        notices
    }

    fn committed_in_turn(&mut self, id: BatchId, batch: InFlight<P>) {
        if let Some(order) = self.commit_order.as_mut() {
            order.running.retain(|it| it.id != id);
            order.attempts = 0;
            for lane in &batch.lanes {
                for entry in &lane.entries {
                    let key = (lane.key.slot, entry.item.key.clone());
                    if order.keys.get(&key) == Some(&id) {
                        order.keys.remove(&key);
                    }
                }
                if order.reached.get(&lane.key) == Some(&lane.next) {
                    order.reached.remove(&lane.key);
                }
            }
        }
        self.committed(batch);
    }

    /// It is kept until all behind it have given way.
    fn gave_way(&mut self, id: BatchId, batch: InFlight<P>) {
        let last = last_of(&batch);
        if let Some(order) = self.commit_order.as_mut() {
            order.running.retain(|it| it.id != id);
            order.in_turn_up_to = order.in_turn_up_to.max(last);
            order.returned.insert(id, batch);
        }
    }

    fn judge_in_turn(
        &mut self,
        error: &ApplyError,
        alone: bool,
        last: Position,
        policy: &FailurePolicy,
    ) -> Vec<Notice> {
        let parts = self.slots.iter().flatten();
        let owned = parts.map(|part| part.partition.clone()).collect();
        let Some(order) = self.commit_order.as_mut() else {
            return Vec::new();
        };
        match error.kind.remedy() {
            Remedy::RetryForever => Vec::new(),
            Remedy::Retry if order.attempts < policy.attempts_max => Vec::new(),
            Remedy::Yield => vec![Notice::Fenced(owned)],
            Remedy::Retry | Remedy::AwaitOrder | Remedy::Park if !alone => {
                order.alone_up_to = order.alone_up_to.max(last);
                order.attempts = 0;
                Vec::new()
            }
            Remedy::Retry | Remedy::AwaitOrder | Remedy::Park | Remedy::Stop => {
                vec![Notice::Stop(error.clone())]
            }
        }
    }

    fn pause_in_turn(
        &mut self,
        error: &ApplyError,
        policy: &FailurePolicy,
        now_ms: u64,
        jitter: f64,
    ) {
        let Some(order) = self.commit_order.as_mut() else {
            return;
        };
        match error.kind.remedy() {
            Remedy::RetryForever | Remedy::Retry => {
                order.attempts = order.attempts.saturating_add(1);
                let pause_ms = policy.pause_ms(order.attempts, jitter);
                order.paused_until_ms = Some(now_ms.saturating_add(pause_ms));
            }
            Remedy::AwaitOrder | Remedy::Park | Remedy::Yield | Remedy::Stop => {}
        }
    }

    /// Puts what was not committed back where it stood, the last first, once none behind it is being worked on.
    fn give_back_all(&mut self) {
        let Some(order) = self.commit_order.as_mut() else {
            return;
        };
        let Some(first) = order.returned.keys().next().copied() else {
            return;
        };
        if order.running.back().is_some_and(|it| it.id > first) {
            return;
        }
        for (_, batch) in std::mem::take(&mut order.returned).into_iter().rev() {
            for lane in batch.lanes {
                let key = lane.key;
                let positions: Vec<_> = lane.entries.iter().map(|it| it.item.position).collect();
                if self.lane(key).is_none() {
                    continue;
                }
                self.give_back(lane);
                self.consider(key);
                if let Some(order) = self.commit_order.as_mut() {
                    order
                        .queued
                        .extend(positions.into_iter().map(|it| (it, key)));
                }
            }
        }
        let Some(order) = self.commit_order.as_mut() else {
            return;
        };
        order.keys.clear();
        order.reached.clear();
        // What is still worked on stands before it.
        for running in &order.running {
            let batch = self.in_flight.get(&running.id);
            for lane in batch.iter().flat_map(|batch| &batch.lanes) {
                order.reached.insert(lane.key, lane.next);
                let keys = lane.entries.iter().map(|entry| entry.item.key.clone());
                order
                    .keys
                    .extend(keys.map(|key| ((lane.key.slot, key), running.id)));
            }
        }
    }

    /// Ends a pause that is over; how long it lasts otherwise.
    pub(super) fn tick_in_commit_order(&mut self, now_ms: u64) -> Option<u64> {
        let order = self.commit_order.as_mut()?;
        let until = order.paused_until_ms?;
        if until > now_ms {
            return Some(until - now_ms);
        }
        order.paused_until_ms = None;
        None
    }
}

fn last_of<P>(batch: &InFlight<P>) -> Position {
    let entries = batch.lanes.iter().flat_map(|lane| &lane.entries);
    let positions = entries.map(|entry| entry.item.position);
    positions.max().unwrap_or(Position::ZERO)
}
