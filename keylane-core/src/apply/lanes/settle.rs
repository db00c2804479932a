//! What a batch's outcome means for its lanes: go on, again, wait, park, give up, stop.

use bytes::Bytes;

use crate::apply::ApplyError;
use crate::error::{ApplyErrorKind, Remedy};
use crate::model::{Offset, Position, TopicPartition};

use super::state::{Entry, LaneKey, Lanes, ParkReason, Standing};
use super::take::{BatchId, BatchKind, InFlight, TakenLane};

/// What is done when a failure's attempts are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenExhausted {
    /// Park the change and its key's later ones.
    Park,
    /// Stop the pipeline.
    Stop,
}

/// How often and how slowly failures are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePolicy {
    /// Attempts for conflicts before `then`.
    pub attempts_max: u32,
    /// The first pause.
    pub backoff_ms: u64,
    /// The longest pause.
    pub backoff_ms_max: u64,
    /// How long a change that violates a constraint in order waits for the rest of its transaction.
    pub rest_ms_max: u64,
    /// What then.
    pub then: WhenExhausted,
}

impl FailurePolicy {
    /// How long the pause before the next attempt is, after so many. `jitter` is in 0..=1.
    pub(super) fn pause_ms(&self, attempts: u32, jitter: f64) -> u64 {
        let full = self
            .backoff_ms
            .saturating_mul(1 << (attempts.max(1) - 1).min(20))
            .min(self.backoff_ms_max);
        full / 2 + (full as f64 / 2.0 * jitter.clamp(0.0, 1.0)) as u64
    }
}

/// How a batch ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Committed whole.
    Committed,
    /// Careful mode: items before this index are committed, this one failed.
    Partly(usize, ApplyError),
    /// Rolled back.
    RolledBack(ApplyError),
    /// Rolled back because it had begun before everything before it was committed, and could not go on; or because one before it was not committed.
    OutOfTurn,
}

/// What the worker must know of a batch's end.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A change of this key is parked with the batch that comes.
    WillPark {
        /// The partition.
        partition: TopicPartition,
        /// The change's place.
        offset: Offset,
        /// The error.
        error: ApplyError,
    },
    /// The fence was raised by another owner: take the partitions again if still named their owner, give them up if not.
    Fenced(Vec<TopicPartition>),
    /// The pipeline must stop.
    Stop(ApplyError),
}

impl<P> Lanes<P> {
    /// Takes a batch's outcome. `jitter` is in 0..=1 and spreads pauses.
    pub fn settle(
        &mut self,
        id: BatchId,
        outcome: Outcome,
        policy: &FailurePolicy,
        now_ms: u64,
        jitter: f64,
    ) -> Vec<Notice> {
        let Some(batch) = self.in_flight.remove(&id) else {
            return Vec::new();
        };
        let mut notices = Vec::new();
        if self.commit_order.is_some() {
            let how = (policy, now_ms, jitter);
            notices = self.settle_in_commit_order(id, batch, outcome, how);
            self.refresh_low();
            return notices;
        }
        match outcome {
            Outcome::Committed => self.committed(batch),
            Outcome::Partly(done, error) => {
                self.partly(batch, done, error, policy, now_ms, jitter, &mut notices)
            }
            Outcome::RolledBack(error) => {
                self.rolled_back(batch, error, policy, now_ms, jitter, &mut notices)
            }
            Outcome::OutOfTurn => {
                let error = ApplyError::new(ApplyErrorKind::Conflict, "it gave way");
                self.rolled_back(batch, error, policy, now_ms, jitter, &mut notices);
            }
        }
        self.refresh_low();
        notices
    }

    /// Ends pauses that are over. Returns how long until the next ends, in milliseconds.
    pub fn tick(&mut self, now_ms: u64) -> Option<u64> {
        if self.commit_order.is_some() {
            return self.tick_in_commit_order(now_ms);
        }
        while let Some(entry) = self.pauses.first_entry() {
            let (until, _) = *entry.key();
            if until > now_ms {
                return Some(until - now_ms);
            }
            let key = entry.remove();
            if self
                .lane(key)
                .is_some_and(|lane| lane.standing == Standing::Pausing)
            {
                self.consider(key);
            }
        }
        None
    }

    pub(super) fn committed(&mut self, batch: InFlight<P>) {
        for lane in batch.lanes {
            self.lane_done(
                lane.key,
                lane.entries,
                &lane.redrives,
                lane.next,
                lane.position,
            );
            if let Some(state) = self.lane_mut(lane.key) {
                state.careful = false;
                state.wait_before = None;
                state.attempts = 0;
            }
            self.consider(lane.key);
        }
    }

    /// These entries are committed, and the lane stands at `next` in the replica.
    fn lane_done(
        &mut self,
        key: LaneKey,
        entries: Vec<Entry<P>>,
        redriven: &[Bytes],
        next: Offset,
        position: Position,
    ) {
        let Some(part) = self.slots.get_mut(key.slot).and_then(Option::as_mut) else {
            return;
        };
        for entry in entries {
            part.frontier.done(entry.item.offset);
            part.buffered_bytes = part.buffered_bytes.saturating_sub(entry.item.size_bytes);
            part.waiting = part.waiting.saturating_sub(1);
            if entry.park.is_some() || entry.behind {
                part.note_parked(entry.item.key.clone(), key.lane);
            }
        }
        if let Some(state) = part.lanes.get_mut(usize::from(key.lane.0)) {
            state.stored = next;
            state.next = state.next.max(next);
            state.position = state.position.max(position);
        }
        for parked in redriven {
            self.redriven(key.slot, parked);
        }
        self.wake_waiters_of(key);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "an outcome, its policy and the time: each is needed once"
    )]
    fn partly(
        &mut self,
        batch: InFlight<P>,
        done: usize,
        error: ApplyError,
        policy: &FailurePolicy,
        now_ms: u64,
        jitter: f64,
        notices: &mut Vec<Notice>,
    ) {
        // Careful batches have one lane.
        let order_complete = batch.unapplied_from;
        let careful = batch.kind == BatchKind::Careful;
        for mut lane in batch.lanes {
            let rest = lane.entries.split_off(done.min(lane.entries.len()));
            if let Some(last) = lane.entries.last() {
                let (next, position) = (last.item.offset.next(), last.item.position);
                self.lane_done(lane.key, lane.entries, &[], next, position);
                if let Some(state) = self.lane_mut(lane.key) {
                    state.attempts = 0;
                }
            }
            let returned = TakenLane {
                entries: rest,
                ..lane_of(lane.key)
            };
            self.give_back(returned);
            self.judge(
                lane.key,
                careful,
                order_complete,
                &error,
                policy,
                now_ms,
                jitter,
                notices,
            );
        }
    }

    fn rolled_back(
        &mut self,
        batch: InFlight<P>,
        error: ApplyError,
        policy: &FailurePolicy,
        now_ms: u64,
        jitter: f64,
        notices: &mut Vec<Notice>,
    ) {
        let order_complete = batch.unapplied_from;
        let careful = batch.kind == BatchKind::Careful;
        self.note_not_together(&batch, &error);
        if error.kind.remedy() == Remedy::Yield {
            let mut fenced: Vec<TopicPartition> = Vec::new();
            for lane in &batch.lanes {
                if let Some(part) = self.slots.get(lane.key.slot).and_then(Option::as_ref)
                    && !fenced.contains(&part.partition)
                {
                    fenced.push(part.partition.clone());
                }
            }
            notices.push(Notice::Fenced(fenced));
        }
        for lane in batch.lanes {
            let key = lane.key;
            if !lane.redrives.is_empty() {
                self.redrive_failed(lane, &error, policy, now_ms, jitter, notices);
                continue;
            }
            if lane.entries.is_empty() {
                // It stood by for another's redrive.
                self.consider(key);
                continue;
            }
            self.give_back(lane);
            self.judge(
                key,
                careful,
                order_complete,
                &error,
                policy,
                now_ms,
                jitter,
                notices,
            );
        }
    }

    /// A redrive failed: the lane's head is not to blame. The key stays parked, unless trying again may help.
    fn redrive_failed(
        &mut self,
        lane: TakenLane<P>,
        error: &ApplyError,
        policy: &FailurePolicy,
        now_ms: u64,
        jitter: f64,
        notices: &mut Vec<Notice>,
    ) {
        let key = lane.key;
        let Some(state) = self.lane_mut(key) else {
            return;
        };
        let remedy = error.kind.remedy();
        let again = match remedy {
            Remedy::RetryForever => true,
            Remedy::Retry => state.attempts < policy.attempts_max,
            Remedy::AwaitOrder | Remedy::Park | Remedy::Yield | Remedy::Stop => false,
        };
        if again {
            state.attempts = state.attempts.saturating_add(1);
            self.give_back(lane);
            return self.pause(key, policy, now_ms, jitter);
        }
        state.attempts = 0;
        match remedy {
            Remedy::Yield => self.stand(key, Standing::Idle),
            Remedy::Stop => {
                self.stand(key, Standing::Idle);
                notices.push(Notice::Stop(error.clone()));
            }
            Remedy::RetryForever | Remedy::Retry | Remedy::AwaitOrder | Remedy::Park => {
                self.consider(key);
            }
        }
    }

    /// Items go back to the front of their lane's queue.
    pub(super) fn give_back(&mut self, lane: TakenLane<P>) {
        let Some(state) = self.lane_mut(lane.key) else {
            return;
        };
        for mut entry in lane.entries.into_iter().rev() {
            entry.behind = false;
            state.queue.push_front(entry);
        }
        for key in lane.redrives.into_iter().rev() {
            state.redrives.push_front(key);
        }
        state.tentative = None;
    }

    /// What the head's failure means for its lane.
    #[expect(
        clippy::too_many_arguments,
        reason = "a failure, its circumstances and the policy: each is needed once"
    )]
    fn judge(
        &mut self,
        key: LaneKey,
        careful: bool,
        unapplied_from: Position,
        error: &ApplyError,
        policy: &FailurePolicy,
        now_ms: u64,
        jitter: f64,
        notices: &mut Vec<Notice>,
    ) {
        let remedy = match error.kind.remedy() {
            Remedy::AwaitOrder if self.foreign => Remedy::Retry,
            remedy => remedy,
        };
        let Some(state) = self.lane_mut(key) else {
            return;
        };
        let head = state.queue.front().map(|entry| entry.item.position);
        match remedy {
            Remedy::RetryForever => {
                state.attempts = state.attempts.saturating_add(1);
                self.pause(key, policy, now_ms, jitter);
            }
            Remedy::Retry if state.attempts < policy.attempts_max => {
                state.attempts += 1;
                self.pause(key, policy, now_ms, jitter);
            }
            Remedy::Retry | Remedy::Park if careful => self.park_head(key, error, policy, notices),
            Remedy::Retry | Remedy::Park => {
                state.careful = true;
                state.attempts = 0;
                self.consider(key);
            }
            Remedy::AwaitOrder => {
                let in_order = head.is_some_and(|position| unapplied_from >= position);
                if careful && in_order {
                    if !head.is_some_and(|it| self.await_rest(key, it, policy, now_ms)) {
                        self.park_head(key, error, policy, notices);
                    }
                    return;
                }
                // The first time, unfolded and alone: which change fails is not known yet.
                state.wait_before = if careful { head } else { None };
                state.careful = true;
                self.consider(key);
            }
            Remedy::Yield => self.stand(key, Standing::Idle),
            Remedy::Stop => {
                self.stand(key, Standing::Idle);
                notices.push(Notice::Stop(error.clone()));
            }
        }
    }

    fn park_head(
        &mut self,
        key: LaneKey,
        error: &ApplyError,
        policy: &FailurePolicy,
        notices: &mut Vec<Notice>,
    ) {
        if policy.then == WhenExhausted::Stop {
            self.stand(key, Standing::Idle);
            notices.push(Notice::Stop(error.clone()));
            return;
        }
        let Some(part) = self.slots.get_mut(key.slot).and_then(Option::as_mut) else {
            return;
        };
        let partition = part.partition.clone();
        let Some(state) = part.lanes.get_mut(usize::from(key.lane.0)) else {
            return;
        };
        let attempts = state.attempts + 1;
        if let Some(entry) = state.queue.front_mut() {
            entry.park = Some(Box::new(ParkReason {
                code: error.kind.code().to_owned(),
                error: error.message.clone(),
                attempts,
            }));
            notices.push(Notice::WillPark {
                partition,
                offset: entry.item.offset,
                error: error.clone(),
            });
        }
        state.wait_before = None;
        self.consider(key);
    }

    fn pause(&mut self, key: LaneKey, policy: &FailurePolicy, now_ms: u64, jitter: f64) {
        let attempts = self.lane(key).map_or(1, |lane| lane.attempts);
        let pause_ms = policy.pause_ms(attempts, jitter);
        self.pause_until(key, now_ms.saturating_add(pause_ms));
    }

    pub(super) fn pause_until(&mut self, key: LaneKey, until_ms: u64) {
        self.stand(key, Standing::Pausing);
        self.pause_number += 1;
        self.pauses.insert((until_ms, self.pause_number), key);
    }

    /// If the rest of a transaction went together and was refused, that is not tried again.
    fn note_not_together(&mut self, batch: &InFlight<P>, error: &ApplyError) {
        let entries = batch.lanes.iter().flat_map(|lane| &lane.entries);
        let commit = entries.map(|entry| entry.item.position.commit).next();
        let refused = match error.kind.remedy() {
            Remedy::AwaitOrder | Remedy::Park | Remedy::Stop => true,
            Remedy::RetryForever | Remedy::Retry | Remedy::Yield => false,
        };
        if batch.kind == BatchKind::Together && refused {
            self.not_together = commit;
        }
    }
}

fn lane_of<P>(key: LaneKey) -> TakenLane<P> {
    TakenLane {
        key,
        entries: Vec::new(),
        redrives: Vec::new(),
        next: Offset(0),
        position: Position::ZERO,
    }
}
