//! An applying process: it fences the partitions that the group names it for, reads their progress, then fetches, takes, applies. It may die at any moment, lose
//! a reply, or not hear that a partition is another's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keylane_core::apply::{
    Applied, ApplyBatch, ApplyError, BatchId, BatchKind, FailurePolicy, Lanes, Limits, Mode,
    Notice, Outcome, PartitionProgress, WhenExhausted,
};
use keylane_core::consume::{Intake, RawPayload, Taken};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Change, LaneCount, Offset, TopicPartition};

use super::variants::Rules;
use crate::Chance;
use crate::model::log::{Log, number_of};
use crate::model::{Replica, outcome, transaction};
use crate::verdict::{Checker, Failure};

const POLICY: FailurePolicy = FailurePolicy {
    attempts_max: u32::MAX,
    backoff_ms: 1,
    backoff_ms_max: 8,
    rest_ms_max: u64::MAX,
    then: WhenExhausted::Park,
};

/// A transaction that is open.
pub(super) struct Open {
    id: BatchId,
    work: ApplyBatch,
    /// Its rows are written and its progress is not (a mutant's order).
    rows_written: bool,
    /// Where it was begun.
    server: u64,
}

pub(super) struct Applier {
    lanes: Lanes<RawPayload>,
    intakes: BTreeMap<TopicPartition, (Intake, Offset)>,
    pub open: Vec<Open>,
    now_ms: u64,
    workers: usize,
    room: usize,
    rules: Rules,
    /// The server that its connections go to.
    server: u64,
    /// Progress that was read before the fence (a mutant's order).
    read: Vec<PartitionProgress>,
}

impl Applier {
    /// Owns nothing yet.
    pub(super) fn new(lanes: LaneCount, rules: Rules, server: u64, chance: &mut Chance) -> Self {
        Applier {
            lanes: Lanes::new(lanes),
            intakes: BTreeMap::new(),
            open: Vec::new(),
            now_ms: 0,
            workers: chance.between(1, 4),
            // A transaction that must go together has to fit.
            room: chance.between(1, 30) + if rules.forbidden_states { 30 } else { 0 },
            rules,
            server,
            read: Vec::new(),
        }
    }

    /// Takes a partition over: fences it, then reads its progress.
    pub(super) fn own(&mut self, partition: &TopicPartition, replica: &mut Replica) {
        if self.rules.read_first {
            self.read.push(replica.progress(partition));
            return;
        }
        let progress = replica.fence(partition);
        self.begin(partition, &progress);
    }

    fn begin(&mut self, partition: &TopicPartition, progress: &PartitionProgress) {
        let from = self.lanes.assign(progress);
        let intake = Intake::new(progress.acceptance);
        self.intakes.insert(partition.clone(), (intake, from));
    }

    /// Gives a partition up.
    pub(super) fn give_up(&mut self, partition: &TopicPartition) {
        self.lanes.revoke(partition);
        self.intakes.remove(partition);
        if self.rules.given_up_forgotten || self.rules.external_ignored {
            self.lanes.set_elsewhere(&[], false);
        }
    }

    /// What it holds, whether or not the group still names it.
    pub(super) fn holds(&self) -> Vec<TopicPartition> {
        self.intakes.keys().cloned().collect()
    }

    /// Looks how far the others are, by what they have stored.
    pub(super) fn learn(&mut self, all: &[TopicPartition], replica: &Replica) {
        if self.rules.external_ignored {
            return;
        }
        let stored: Vec<_> = all.iter().map(|it| replica.progress(it)).collect();
        self.lanes.set_elsewhere(&stored, false);
    }

    /// Whether it has seen the replica since that was last restored.
    pub(super) fn sees(&self, replica: &Replica) -> bool {
        self.server == replica.server && !self.lanes.is_held()
    }

    /// Whether everything that the log holds of a partition is applied by this one.
    pub(super) fn has_done(&self, partition: &TopicPartition, log: &Log) -> bool {
        let read = self.intakes.get(partition).is_some_and(|(_, next)| {
            log.partitions
                .get(partition)
                .is_none_or(|records| records.len() as u64 <= next.0)
        });
        let states = self.lanes.partitions();
        let state = states.iter().find(|state| state.partition == *partition);
        read && self.open.is_empty() && state.is_some_and(|state| state.waiting == 0)
    }

    /// One step.
    pub(super) fn step(
        &mut self,
        log: &Log,
        replica: &mut Replica,
        chance: &mut Chance,
        faults: &mut u32,
        named: &BTreeSet<TopicPartition>,
    ) -> Result<(), Failure> {
        if chance.percent(2) {
            // A person turns the knob.
            self.workers = chance.between(1, 8);
        }
        if let Some(before) = self.read.pop() {
            let PartitionProgress { owner_epoch, .. } = replica.fence(&before.partition);
            let progress = PartitionProgress {
                owner_epoch,
                ..before
            };
            self.begin(&progress.partition.clone(), &progress);
        }
        if self.lanes.is_held() {
            self.look(replica, named);
            return Ok(());
        }
        if let Some(wait_ms) = self.lanes.tick(self.now_ms) {
            self.now_ms += wait_ms.min(1 + chance.below(4) as u64);
        }
        match chance.below(10) {
            0..3 => self.feed(log, chance),
            3..6 => self.take(log, replica, chance),
            6..9 => return self.finish(log, replica, chance, faults, named),
            _ if self.rules.saves() => self.save(replica, named),
            _ => {}
        }
        Ok(())
    }

    /// Saves how far its partitions are.
    pub(super) fn save(&mut self, replica: &mut Replica, named: &BTreeSet<TopicPartition>) {
        if self.has_lost_sight(replica) {
            return;
        }
        for low in self.lanes.lows() {
            if replica.save_low(&low) {
                self.lanes.saved(&[low]);
            } else {
                self.doubt_if_gone_back(replica, named);
                self.fenced(&low.partition, replica, named);
            }
        }
    }

    /// Whether its connections turn out to be lost.
    fn has_lost_sight(&mut self, replica: &Replica) -> bool {
        let lost = self.server != replica.server;
        if lost {
            self.server = replica.server;
            if !self.rules.unseen {
                self.lanes.hold();
            }
        }
        lost
    }

    /// What the replica holds, after a connection was lost.
    fn look(&mut self, replica: &mut Replica, named: &BTreeSet<TopicPartition>) {
        self.doubt_if_gone_back(replica, named);
        self.learn(&replica.partitions(), replica);
        self.lanes.go_on();
    }

    /// Takes everything over again if the replica has gone back.
    fn doubt_if_gone_back(&mut self, replica: &mut Replica, named: &BTreeSet<TopicPartition>) {
        let gone_back = |partition: &TopicPartition| {
            let stored = replica.progress(partition);
            self.lanes.has_gone_back(&stored)
        };
        if self.rules.unseen || !named.iter().any(gone_back) {
            return;
        }
        for partition in self.lanes.doubt_all() {
            self.fenced(&partition, replica, named);
        }
        let all: Vec<TopicPartition> = replica.partitions();
        self.learn(&all, replica);
    }

    /// Why nothing moves, in words.
    pub(super) fn holdup(&self) -> String {
        format!("{:?}", self.lanes.holdup())
    }

    /// Another has raised the fence, or a reply was lost. A zombie may fence late: whoever the group names takes the partition again, nobody else does.
    fn fenced(
        &mut self,
        partition: &TopicPartition,
        replica: &mut Replica,
        named: &BTreeSet<TopicPartition>,
    ) {
        if named.contains(partition) && !self.rules.named_gives_up {
            self.own(partition, replica);
        } else {
            self.give_up(partition);
        }
    }

    fn feed(&mut self, log: &Log, chance: &mut Chance) {
        let all: Vec<TopicPartition> = self.intakes.keys().cloned().collect();
        let Some(partition) = chance.pick(&all) else {
            return;
        };
        for _ in 0..chance.between(1, 8) {
            let states = self.lanes.partitions();
            let state = states.iter().find(|state| state.partition == *partition);
            let Some((intake, next)) = self.intakes.get_mut(partition) else {
                return;
            };
            let record = log
                .partitions
                .get(partition)
                .and_then(|records| records.get(next.0 as usize));
            let waiting = match self.rules.shared_buffer {
                true => states.iter().map(|state| state.waiting).sum(),
                false => state.map_or(usize::MAX, |state| state.waiting),
            };
            let full = waiting >= self.room;
            let Some(record) = record.filter(|_| !full).cloned() else {
                break;
            };
            let offset = record.offset;
            *next = offset.next();
            let before = intake.acceptance.reached;
            let taken = intake.take(record);
            let after = intake.acceptance;
            match taken {
                Taken::Item(item)
                    if self.rules.skip_by_commit && item.position.commit <= before.commit =>
                {
                    self.lanes.passed(partition, offset, None, after);
                }
                Taken::Item(item) => {
                    self.lanes.offer(partition, item, after);
                }
                Taken::Marker(position) => {
                    self.lanes.passed(partition, offset, Some(position), after);
                }
                _ => self.lanes.passed(partition, offset, None, after),
            }
        }
        self.lanes.received();
    }

    fn take(&mut self, log: &Log, replica: &mut Replica, chance: &mut Chance) {
        let limits = Limits {
            items_max: chance.between(1, 8),
            bytes_max: chance.between(1, 4000),
        };
        if self.open.len() >= self.workers {
            return;
        }
        let Some(batch) = self.lanes.take(limits) else {
            return;
        };
        let mode = match (batch.kind, self.rules.unfolded) {
            (BatchKind::Careful, _) => Mode::Careful,
            (BatchKind::Together, _) => Mode::Together,
            (BatchKind::Plain, true) => Mode::Unfolded,
            (BatchKind::Plain, false) => Mode::Folded,
        };
        let work = transaction(&batch, mode, &|value| decode(log, value));
        if self.rules.offset_before_rows {
            replica.store_steps(&work);
        }
        self.open.push(Open {
            id: batch.id,
            work,
            rows_written: false,
            // A connection is there before work is taken, never made for what was taken.
            server: self.server,
        });
    }

    fn finish(
        &mut self,
        log: &Log,
        replica: &mut Replica,
        chance: &mut Chance,
        faults: &mut u32,
        named: &BTreeSet<TopicPartition>,
    ) -> Result<(), Failure> {
        if self.open.is_empty() {
            return Ok(());
        }
        let mut open = self.open.remove(chance.below(self.open.len()));
        let unreachable = || ApplyError::new(ApplyErrorKind::Unreachable, "no reply");
        let result = if open.server != replica.server {
            self.has_lost_sight(replica);
            Outcome::RolledBack(unreachable())
        } else if *faults > 0 && chance.percent(5) {
            *faults -= 1;
            // The reply is lost, perhaps before, perhaps after the commit.
            if chance.percent(60) {
                let _ = apply(&open.work, log, replica, self.rules);
            }
            Outcome::RolledBack(unreachable())
        } else if open.rows_written {
            replica.store_steps(&open.work);
            Outcome::Committed
        } else {
            match apply(&open.work, log, replica, self.rules) {
                Ok(Applied { failed: None, .. }) if self.rules.offset_after_rows => {
                    open.rows_written = true;
                    self.open.push(open);
                    return Ok(());
                }
                result => outcome(result),
            }
        };
        let jitter = chance.unit();
        let notices = self
            .lanes
            .settle(open.id, result, &POLICY, self.now_ms, jitter);
        for notice in notices {
            match notice {
                Notice::Fenced(partitions) => {
                    self.doubt_if_gone_back(replica, named);
                    for partition in partitions {
                        self.fenced(&partition, replica, named);
                    }
                }
                Notice::WillPark { error, .. } => {
                    return Err(Failure::new(
                        Checker::NothingParked,
                        format!("would be parked: {error}"),
                    ));
                }
                Notice::Stop(error) => {
                    return Err(Failure::new(Checker::Contract, format!("stop: {error}")));
                }
            }
        }
        Ok(())
    }
}

/// Whatever a dead process still sends.
pub(super) fn apply(
    work: &ApplyBatch,
    log: &Log,
    replica: &mut Replica,
    rules: Rules,
) -> Result<Applied, ApplyError> {
    let decode = |value: &[u8]| decode(log, value);
    if (rules.offset_before_rows || rules.offset_after_rows) && work.mode != Mode::Careful {
        replica.write_rows(work, &decode)?;
        return Ok(Applied::default());
    }
    replica.apply(work, &decode)
}

impl Open {
    /// What it would write.
    pub(super) fn into_work(self) -> ApplyBatch {
        self.work
    }
}

fn decode(log: &Log, value: &[u8]) -> Arc<Change> {
    log.changes[number_of(value)].clone()
}
