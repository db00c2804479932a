//! The rest of a transaction: what is done when a change violates a constraint though everything before it is applied.
//!
//! The origin's own transactions may pass through states that the replica's immediate constraints forbid: a parent's delete stands before those of the children
//! that went with it (`ON DELETE CASCADE`), a child's insert before its parent's where the origin checks at commit. So before such a change is parked, what its
//! transaction did besides is waited for, and then all of it that is not applied yet goes together, in whatever order the constraints allow
//! (see [`crate::apply::Reordering`]).
//!
//! A change that violates in order is the lowest that is not applied anywhere, so one transaction at a time is waited for, and what is left of it stands at the
//! front of its lanes. Waiting ends after a bounded time: where a transaction does not fit the buffers, or a part of it cannot be read, the change is parked.

use crate::model::{Lane, Position};

use super::settle::FailurePolicy;
use super::state::{LaneKey, Lanes, Standing};
use super::take::{Batch, BatchId, BatchKind, TakenLane};

/// The transaction that is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Together {
    commit: u64,
    head: LaneKey,
}

impl<P> Lanes<P> {
    /// Everything that is left of the transaction, if all of it is there and none of it is in work.
    pub(super) fn take_together(&mut self, id: BatchId) -> Option<Batch<P>> {
        let Together { commit, .. } = self.together.filter(|_| self.together_is_ready())?;
        self.together = None;
        let mut taken = Vec::new();
        for (key, count) in self.fronts_of(commit) {
            taken.extend(self.take_front(key, count));
        }
        self.ready.retain(|key| {
            let lane = self.slots.get(key.slot).and_then(Option::as_ref);
            let lane = lane.and_then(|part| part.lanes.get(usize::from(key.lane.0)));
            lane.is_some_and(|lane| lane.standing == Standing::Ready)
        });
        Some(self.hand_out(id, taken, BatchKind::Together))
    }

    /// So many items of the lane's front.
    pub(super) fn take_front(&mut self, key: LaneKey, count: usize) -> Option<TakenLane<P>> {
        let lane = self.lane_mut(key)?;
        let entries: Vec<_> = lane.queue.drain(..count).collect();
        let last = entries.last()?;
        let (next, position) = (last.item.offset.next(), last.item.position);
        self.stand(key, Standing::Busy);
        Some(TakenLane {
            key,
            entries,
            redrives: Vec::new(),
            next,
            position,
        })
    }

    /// Whether the lane's head now waits for the rest of its transaction. Not if that was tried already.
    pub(super) fn await_rest(
        &mut self,
        head: LaneKey,
        position: Position,
        policy: &FailurePolicy,
        now_ms: u64,
    ) -> bool {
        let commit = position.commit;
        let waited = self.together.take();
        if waited.is_some_and(|it| it.commit == commit) {
            self.not_together = Some(commit);
        }
        if self.foreign || self.not_together == Some(commit) {
            return false;
        }
        self.together = Some(Together { commit, head });
        self.pause_until(head, now_ms.saturating_add(policy.rest_ms_max));
        true
    }

    /// Partitions came or went: the head is tried by itself again.
    pub(super) fn no_longer_together(&mut self) {
        if let Some(Together { head, .. }) = self.together.take()
            && self
                .lane(head)
                .is_some_and(|lane| lane.standing == Standing::Pausing)
        {
            self.consider(head);
        }
    }

    /// Whether everything that is left of the transaction that is waited for can be taken.
    pub(super) fn together_is_ready(&self) -> bool {
        let Some(Together { commit, head }) = self.together else {
            return false;
        };
        let end = Position::end_of(commit);
        let has = |of: &Position| of.commit == commit;
        let head_is_there = self.lane(head).is_some_and(|lane| {
            lane.standing == Standing::Pausing
                && lane
                    .queue
                    .front()
                    .is_some_and(|entry| has(&entry.item.position))
        });
        let in_work = || {
            let lanes = self.in_flight.values().flat_map(|batch| &batch.lanes);
            let mut entries = lanes.flat_map(|lane| &lane.entries);
            entries.any(|entry| has(&entry.item.position))
        };
        let mut parts = self.slots.iter().flatten();
        head_is_there
            && self.external > end
            && parts.all(|part| part.frontier.seen() >= end)
            && !in_work()
    }

    /// The lanes at whose front changes of this commit stand, and how many.
    fn fronts_of(&self, commit: u64) -> Vec<(LaneKey, usize)> {
        let mut fronts = Vec::new();
        for (slot, part) in self.slots.iter().enumerate() {
            for (number, lane) in part.iter().flat_map(|part| part.lanes.iter().enumerate()) {
                let of_commit = lane
                    .queue
                    .iter()
                    .take_while(|entry| entry.item.position.commit == commit);
                let count = of_commit.count();
                if count > 0 {
                    let lane = Lane(number as u16);
                    fronts.push((LaneKey { slot, lane }, count));
                }
            }
        }
        fronts
    }
}
