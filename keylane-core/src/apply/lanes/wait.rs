//! What a lane's head waits for, and who wakes it.

use crate::model::{Position, TopicPartition};
use crate::publish::{Dependency, Stamp};

use super::state::{LaneKey, Lanes, Standing};
use super::take::BatchId;

/// What a head waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing: it may go.
    None,
    /// Until everything below this position is applied.
    Watermark(Position),
    /// Until this lane has moved on, or everything below this position is applied: a record that could not be read never moves its lane.
    Lane(LaneKey, Position),
    /// Until a partition of another process, or everything, is applied below this position.
    Elsewhere(Position),
}

impl<P> Lanes<P> {
    /// What an item with this stamp waits for; `batch` is the batch being put together, whose earlier items count as applied.
    pub(super) fn wait_of(&self, stamp: &Stamp, batch: Option<BatchId>) -> Wait {
        if stamp.floor >= self.unapplied_from {
            return Wait::Watermark(stamp.floor.successor());
        }
        for dependency in &stamp.dependencies {
            if dependency.position < self.unapplied_from {
                continue;
            }
            match self.lane_of(dependency) {
                None => match self
                    .elsewhere
                    .get(&(dependency.topic_hash, dependency.partition))
                {
                    Some(unapplied_from) if dependency.position < *unapplied_from => {}
                    Some(_) => return Wait::Elsewhere(dependency.position.successor()),
                    // A topic that this pipeline does not read, or of which the replica tells nothing yet: the watermark tells.
                    None => return Wait::Watermark(dependency.position.successor()),
                },
                Some(key) if self.has_reached(key, dependency.position, batch) => {}
                Some(key) => return Wait::Lane(key, dependency.position.successor()),
            }
        }
        Wait::None
    }

    fn lane_of(&self, dependency: &Dependency) -> Option<LaneKey> {
        let slot = *self
            .by_hash
            .get(&(dependency.topic_hash, dependency.partition))?;
        Some(LaneKey {
            slot,
            lane: dependency.order.lane(self.lane_count),
        })
    }

    fn has_reached(&self, key: LaneKey, position: Position, batch: Option<BatchId>) -> bool {
        self.lane(key).is_some_and(|lane| {
            lane.position >= position
                || lane
                    .tentative
                    .is_some_and(|(of, reached)| Some(of) == batch && reached >= position)
        })
    }

    /// Decides a lane's standing by its head. The lane is neither in a batch nor in the ready queue nor pausing.
    pub(super) fn consider(&mut self, key: LaneKey) {
        let Some(lane) = self.lane(key) else { return };
        if self.commit_order.is_some() {
            let standing = match lane.queue.is_empty() {
                true => Standing::Idle,
                false => Standing::Waiting,
            };
            return self.stand(key, standing);
        }
        if !lane.redrives.is_empty() {
            return self.make_ready(key);
        }
        let Some(head) = lane.queue.front() else {
            return self.stand(key, Standing::Idle);
        };
        let wait = match lane.wait_before {
            Some(position) if self.unapplied_from < position => Wait::Watermark(position),
            _ => self.wait_of(&head.item.stamp, None),
        };
        match wait {
            Wait::None => self.make_ready(key),
            Wait::Watermark(position) => {
                self.stand(key, Standing::Waiting);
                self.floor_waiters.insert((position, key));
            }
            Wait::Elsewhere(position) => {
                self.stand(key, Standing::Waiting);
                self.floor_waiters.insert((position, key));
                self.elsewhere_waiters.push(key);
            }
            Wait::Lane(other, position) => {
                self.stand(key, Standing::Waiting);
                self.floor_waiters.insert((position, key));
                if let Some(other) = self.lane_mut(other) {
                    other.waiters.push(key);
                }
            }
        }
    }

    pub(super) fn make_ready(&mut self, key: LaneKey) {
        self.stand(key, Standing::Ready);
        self.ready.push_back(key);
    }

    pub(super) fn stand(&mut self, key: LaneKey, standing: Standing) {
        if let Some(lane) = self.lane_mut(key) {
            lane.standing = standing;
        }
    }

    /// Lanes that waited for this one look again.
    pub(super) fn wake_waiters_of(&mut self, key: LaneKey) {
        let waiters = self
            .lane_mut(key)
            .map(|lane| std::mem::take(&mut lane.waiters))
            .unwrap_or_default();
        for waiter in waiters {
            self.wake(waiter);
        }
    }

    pub(super) fn wake(&mut self, key: LaneKey) {
        if self
            .lane(key)
            .is_some_and(|lane| lane.standing == Standing::Waiting)
        {
            self.consider(key);
        }
    }

    /// Reckons the watermark anew and wakes whom it lets go.
    pub(super) fn refresh_low(&mut self) {
        let own = self
            .slots
            .iter()
            .flatten()
            .map(|part| part.frontier.unapplied_from())
            .min();
        self.unapplied_from = own.map_or(Position::ZERO, |own| own.min(self.external));
        while let Some((position, key)) = self.floor_waiters.first().copied() {
            if position > self.unapplied_from {
                break;
            }
            self.floor_waiters.pop_first();
            self.wake(key);
        }
    }

    /// After partitions came or went: what a lane waited for may be elsewhere now.
    pub(super) fn recheck_all_waiting(&mut self) {
        self.floor_waiters.clear();
        self.elsewhere_waiters.clear();
        let mut waiting = Vec::new();
        for (slot, part) in self.slots.iter_mut().enumerate() {
            let Some(part) = part else { continue };
            for (number, lane) in part.lanes.iter_mut().enumerate() {
                lane.waiters.clear();
                if lane.standing == Standing::Waiting {
                    waiting.push(LaneKey {
                        slot,
                        lane: crate::model::Lane(number as u16),
                    });
                }
            }
        }
        for key in waiting {
            self.consider(key);
        }
    }

    /// The lowest unapplied change and what keeps it, in words, for status and for a drain that does not end.
    pub fn holdup(&self) -> Option<(TopicPartition, Position, &'static str)> {
        let part = self
            .slots
            .iter()
            .flatten()
            .min_by_key(|part| part.frontier.unapplied_from())?;
        let position = part.frontier.unapplied_from();
        let standing = part.lanes.iter().find(|lane| {
            lane.queue
                .front()
                .is_some_and(|entry| entry.item.position == position)
        });
        if self.incomplete().is_some() {
            let why = "waiting for other partitions to hold all of its transaction";
            return Some((part.partition.clone(), position, why));
        }
        let why = match standing.map(|lane| lane.standing) {
            None => "being applied, or nothing has arrived there yet",
            Some(Standing::Idle) => "idle",
            Some(Standing::Ready) => "ready for a worker",
            Some(Standing::Waiting) => "waiting for what it depends on",
            Some(Standing::Busy) => "being applied",
            Some(Standing::Pausing) if self.together.is_some() => {
                "waiting for the rest of its transaction"
            }
            Some(Standing::Pausing) => "pausing after a failure",
        };
        Some((part.partition.clone(), position, why))
    }
}
