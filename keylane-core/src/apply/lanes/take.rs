//! A batch for a worker: items of ready lanes that may go together in one transaction.

use std::sync::Arc;

use bytes::Bytes;

use crate::apply::LaneStep;
use crate::consume::Item;
use crate::model::{Offset, Position};

use super::state::{Entry, LaneKey, Lanes, ParkReason, Standing};
use super::wait::Wait;

/// A batch's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// How large a batch may be. At least one item is always given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At most so many items.
    pub items_max: usize,
    /// About so many bytes.
    pub bytes_max: usize,
}

/// What is to be done with an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Disposition {
    /// Write it.
    Apply,
    /// Park it for a reason of its own.
    Park {
        /// The error's code.
        code: String,
        /// The error, without row values.
        error: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// Park it behind an earlier change of its key.
    ParkBehind,
}

/// A batch's lane.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchLane {
    /// Which.
    pub key: LaneKey,
    /// Its step in the transaction.
    pub step: LaneStep,
    /// A parked key whose redrive was asked for. A redrive goes alone: one key, no items, and no other lanes but those by which the key's changes came.
    pub redrives: Vec<Bytes>,
}

/// An item of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchItem<P> {
    /// Index of its lane in [`Batch::lanes`].
    pub lane: usize,
    /// The item.
    pub item: Arc<Item<P>>,
    /// What is to be done with it.
    pub disposition: Disposition,
}

/// How a batch's changes are to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchKind {
    /// As is cheapest.
    Plain,
    /// One by one, to find which one fails; what stands before it is kept. One lane.
    Careful,
    /// All or nothing, in whatever order the replica's constraints allow: what is left of one transaction of the origin, everything before which is applied.
    Together,
}

/// Work for one transaction.
#[derive(Clone, Debug)]
pub struct Batch<P> {
    /// Its number.
    pub id: BatchId,
    /// The lanes.
    pub lanes: Vec<BatchLane>,
    /// The items, in position order.
    pub items: Vec<BatchItem<P>>,
    /// How they are to be applied.
    pub kind: BatchKind,
}

/// What the lanes remember of a batch.
#[derive(Debug)]
pub(super) struct InFlight<P> {
    pub lanes: Vec<TakenLane<P>>,
    pub kind: BatchKind,
    /// The watermark when the batch was taken.
    pub unapplied_from: Position,
}

#[derive(Debug)]
pub(super) struct TakenLane<P> {
    pub key: LaneKey,
    pub entries: Vec<Entry<P>>,
    pub redrives: Vec<Bytes>,
    pub next: Offset,
    pub position: Position,
}

/// How many items of one careful lane are tried at a time.
const CAREFUL_ITEMS_MAX: usize = 64;

impl<P> Lanes<P> {
    /// Work for a worker, or `None` if no lane is ready or work is held. Its lanes are busy until [`Lanes::settle`].
    pub fn take(&mut self, limits: Limits) -> Option<Batch<P>> {
        if self.held {
            return None;
        }
        let id = BatchId(self.next_batch);
        if self.commit_order.is_some() {
            return self.take_in_commit_order(id, limits);
        }
        if let Some(batch) = self.take_together(id) {
            return Some(batch);
        }
        let mut taken: Vec<TakenLane<P>> = Vec::new();
        let mut room = limits;
        let mut careful = false;
        while room.items_max > 0 && room.bytes_max > 0 {
            let Some(key) = self.next_ready(taken.is_empty()) else {
                break;
            };
            let redrive = self
                .lane_mut(key)
                .and_then(|lane| lane.redrives.pop_front());
            if let Some(parked) = redrive {
                careful = false;
                match self.take_redrive(key, parked) {
                    Some(lanes) => taken = lanes,
                    None => continue,
                }
                break;
            }
            careful = self.lane(key).is_some_and(|lane| lane.careful);
            let lane = self.take_lane(id, key, &mut room, careful, taken.is_empty());
            if let Some(lane) = lane {
                taken.push(lane);
                self.promote_waiters_of(id, key);
            }
            if careful && !taken.is_empty() {
                break;
            }
        }
        if taken.is_empty() {
            return None;
        }
        let kind = if careful {
            BatchKind::Careful
        } else {
            BatchKind::Plain
        };
        Some(self.hand_out(id, taken, kind))
    }

    /// The taken lanes as a batch, remembered until it is settled.
    pub(super) fn hand_out(
        &mut self,
        id: BatchId,
        mut taken: Vec<TakenLane<P>>,
        kind: BatchKind,
    ) -> Batch<P> {
        self.next_batch += 1;
        self.mark_behind(&mut taken);
        let batch = self.assemble(id, &taken, kind);
        for lane in &taken {
            if let Some(state) = self.lane_mut(lane.key) {
                state.tentative = None;
            }
        }
        self.in_flight.insert(
            id,
            InFlight {
                lanes: taken,
                kind,
                unapplied_from: self.unapplied_from,
            },
        );
        batch
    }

    /// Whether [`Lanes::take`] would give work.
    pub fn has_ready(&self) -> bool {
        let is_ready = match self.commit_order {
            Some(_) => self.is_ready_in_commit_order(),
            None => !self.ready.is_empty() || self.together_is_ready(),
        };
        is_ready && !self.held
    }

    /// The next ready lane. A careful lane and a redrive go alone, so they are passed over when the batch has others already.
    fn next_ready(&mut self, first: bool) -> Option<LaneKey> {
        let index = if first {
            0
        } else {
            self.ready.iter().position(|key| {
                self.lane(*key)
                    .is_some_and(|lane| !lane.careful && lane.redrives.is_empty())
            })?
        };
        self.ready.remove(index)
    }

    fn take_lane(
        &mut self,
        id: BatchId,
        key: LaneKey,
        room: &mut Limits,
        careful: bool,
        first: bool,
    ) -> Option<TakenLane<P>> {
        let (mut next, mut position) = self.lane(key).map(|lane| (lane.stored, lane.position))?;
        let mut entries = Vec::new();
        let mut too_large = false;
        let items_max = if careful {
            room.items_max.min(CAREFUL_ITEMS_MAX)
        } else {
            room.items_max
        };
        while entries.len() < items_max {
            let Some(lane) = self.lane(key) else { break };
            let Some(head) = lane.queue.front() else {
                break;
            };
            let size = head.item.size_bytes;
            let first_of_all = first && entries.is_empty();
            if size > room.bytes_max && !first_of_all {
                too_large = true;
                break;
            }
            let held = lane
                .wait_before
                .is_some_and(|position| self.unapplied_from < position);
            if held || self.wait_of(&head.item.stamp, Some(id)) != Wait::None {
                break;
            }
            let Some(entry) = self.lane_mut(key).and_then(|lane| lane.queue.pop_front()) else {
                break;
            };
            room.bytes_max = room.bytes_max.saturating_sub(size);
            (next, position) = (entry.item.offset.next(), entry.item.position);
            if let Some(lane) = self.lane_mut(key) {
                lane.tentative = Some((id, position));
            }
            entries.push(entry);
        }
        room.items_max = room.items_max.saturating_sub(entries.len());
        if entries.is_empty() {
            if too_large {
                self.ready.push_front(key);
                room.items_max = 0;
            } else {
                self.consider(key);
            }
            return None;
        }
        self.stand(key, Standing::Busy);
        Some(TakenLane {
            key,
            entries,
            redrives: Vec::new(),
            next,
            position,
        })
    }

    /// Lanes that waited for what this batch now holds can go with it.
    fn promote_waiters_of(&mut self, id: BatchId, key: LaneKey) {
        let waiters = self
            .lane(key)
            .map(|lane| lane.waiters.clone())
            .unwrap_or_default();
        for waiter in waiters {
            let goes = self.lane(waiter).is_some_and(|lane| {
                lane.standing == Standing::Waiting
                    && lane.wait_before.is_none()
                    && lane
                        .queue
                        .front()
                        .is_some_and(|head| self.wait_of(&head.item.stamp, Some(id)) == Wait::None)
            });
            if goes {
                self.stand(waiter, Standing::Ready);
                self.ready.push_front(waiter);
            }
        }
    }

    fn assemble(&self, id: BatchId, taken: &[TakenLane<P>], kind: BatchKind) -> Batch<P> {
        let mut lanes = Vec::with_capacity(taken.len());
        let mut items = Vec::new();
        for (number, lane) in taken.iter().enumerate() {
            let Some(part) = self.slots.get(lane.key.slot).and_then(Option::as_ref) else {
                continue;
            };
            let order = self.commit_order.as_ref();
            let expected = order.and_then(|order| order.reached(lane.key));
            let stored = self.lane(lane.key).map(|state| state.stored);
            let expected = expected.or(stored).unwrap_or_default();
            lanes.push(BatchLane {
                key: lane.key,
                step: LaneStep {
                    partition: part.partition.clone(),
                    lane: lane.key.lane,
                    owner_epoch: part.owner_epoch,
                    expected,
                    next: lane.next,
                    position: lane.position,
                },
                redrives: lane.redrives.clone(),
            });
            for entry in &lane.entries {
                let disposition = match entry.park.as_deref() {
                    Some(ParkReason {
                        code,
                        error,
                        attempts,
                    }) => Disposition::Park {
                        code: code.clone(),
                        error: error.clone(),
                        attempts: *attempts,
                    },
                    None if entry.behind => Disposition::ParkBehind,
                    None => Disposition::Apply,
                };
                items.push(BatchItem {
                    lane: number,
                    item: entry.item.clone(),
                    disposition,
                });
            }
        }
        items.sort_by_key(|item| item.item.position);
        Batch {
            id,
            lanes,
            items,
            kind,
        }
    }
}
