//! One run: a history, its log, and workers that apply it.

use std::sync::Arc;

use keylane_core::apply::{
    ApplyError, Batch, BatchKind, FailurePolicy, Lanes, Limits, Mode, Notice, Outcome,
    WhenExhausted,
};
use keylane_core::capture::WriteSet;
use keylane_core::consume::RawPayload;
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Change, LaneCount, Position};

use super::variants::Rules;
use crate::Chance;
use crate::model::log::number_of;
use crate::model::{
    Feed, Replica, Routes, Shape, Shop, converged, history, in_order, ordered, outcome,
    transaction, written,
};
use crate::verdict::{Checker, Failure, Findings};

const STEPS_MAX: usize = 100_000;
/// Longer than any run, in the run's own time.
const REST_MS_MAX: u64 = 1 << 40;
const POLICY: FailurePolicy = FailurePolicy {
    attempts_max: u32::MAX,
    backoff_ms: 1,
    backoff_ms_max: 8,
    rest_ms_max: REST_MS_MAX,
    then: WhenExhausted::Park,
};

struct World {
    chance: Chance,
    rules: Rules,
    feed: Feed,
    lanes: Lanes<RawPayload>,
    replica: Replica,
    changes: Vec<Arc<Change>>,
    open: Vec<Batch<RawPayload>>,
    workers: usize,
    feed_percent: u32,
    conflict_percent: u32,
    now_ms: u64,
    findings: Findings,
}

/// Runs one seed.
pub(super) fn run(seed: u64, variant: &'static str, size: usize) -> Result<Findings, Failure> {
    let mut chance = Chance::new(seed, 1);
    let rules = Rules::of(variant);
    let shape = Shape::any(&mut chance);
    let mut shop = Shop::new(if rules.forbidden_states {
        shape.through_forbidden_states(&mut chance)
    } else {
        shape
    });
    let routes = Routes {
        partitions: chance.between(1, 4) as u32,
    };
    let transactions = history(&mut shop, &mut Chance::new(seed, 2), size);
    let changes: Vec<Arc<Change>> = transactions
        .iter()
        .flat_map(ordered)
        .map(Arc::new)
        .collect();
    let mut write_set = WriteSet::new(rules.entries_max, Position::ZERO);
    let stamp = |change: &Change, place| (rules.restamp)(write_set.stamp(change, place));
    let log = written(&shop.tables(), &changes, routes, stamp, &mut chance);
    let mut world = World {
        rules,
        feed: Feed::of(log),
        lanes: Lanes::new(LaneCount(chance.between(1, 8) as u16)),
        replica: replica(&shop, rules),
        changes,
        open: Vec::new(),
        workers: chance.between(1, 4),
        feed_percent: chance.between(5, 95) as u32,
        conflict_percent: 10 * chance.below(3) as u32,
        now_ms: 0,
        findings: Findings::default(),
        chance,
    };
    for partition in world.feed.partitions() {
        let progress = world.replica.fence(&partition);
        world.lanes.assign(&progress);
    }
    world.go()?;
    in_order(&world.replica.audit)?;
    converged(&shop, &world.replica)?;
    Ok(world.findings)
}

fn replica(shop: &Shop, rules: Rules) -> Replica {
    let mut replica = Replica::new(&shop.tables());
    replica.rows.cascades = shop.shape.replica_cascades;
    replica.guards_cascades = !rules.cascades_unguarded;
    replica
}

impl World {
    fn go(&mut self) -> Result<(), Failure> {
        for _ in 0..STEPS_MAX {
            let pause = self.lanes.tick(self.now_ms);
            let may_feed = self.feed.holds_more();
            self.count_waits();
            let may_take = self.open.len() < self.workers && self.lanes.has_ready();
            if may_feed && self.chance.percent(self.feed_percent) {
                self.feed.some(&mut self.chance, &mut self.lanes);
            } else if may_take && self.chance.percent(60) {
                self.take()?;
            } else if !self.open.is_empty() {
                self.finish()?;
            } else if may_take {
                self.take()?;
            } else if may_feed {
                self.feed.some(&mut self.chance, &mut self.lanes);
            } else if let Some(wait_ms) = pause {
                self.now_ms += wait_ms;
            } else if self.lanes.is_drained() {
                return Ok(());
            } else {
                let holdup = self.lanes.holdup();
                return Err(Failure::new(
                    Checker::Progress,
                    format!("stuck: nothing may go; {holdup:?}"),
                ));
            }
        }
        Err(Failure::new(Checker::Progress, "the run does not end"))
    }

    /// A free worker and records that no worker has: does one of them go?
    fn count_waits(&mut self) {
        let held: usize = self.open.iter().map(|batch| batch.items.len()).sum();
        let there: usize = self.lanes.partitions().iter().map(|one| one.waiting).sum();
        if self.open.len() < self.workers && there > held {
            self.findings.waits.of += 1;
            self.findings.waits.hits += u64::from(!self.lanes.has_ready());
        }
    }

    fn take(&mut self) -> Result<(), Failure> {
        let limits = Limits {
            items_max: self.chance.between(1, 8),
            bytes_max: self.chance.between(1, 4000),
        };
        let Some(batch) = self.lanes.take(limits) else {
            return Ok(());
        };
        for lane in &batch.lanes {
            let twice = |other: &Batch<RawPayload>| other.lanes.iter().any(|l| l.key == lane.key);
            if self.open.iter().any(twice) {
                return Err(Failure::new(Checker::Contract, "a lane is in two batches"));
            }
        }
        self.open.push(batch);
        Ok(())
    }

    fn policy(&self) -> FailurePolicy {
        let rest_ms_max = if self.rules.rest_not_awaited {
            0
        } else {
            REST_MS_MAX
        };
        FailurePolicy {
            rest_ms_max,
            ..POLICY
        }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let batch = self.open.remove(self.chance.below(self.open.len()));
        let outcome = if self.chance.percent(self.conflict_percent) {
            Outcome::RolledBack(ApplyError::new(ApplyErrorKind::Conflict, "deadlock"))
        } else {
            let changes = &self.changes;
            let decode = |value: &[u8]| changes[number_of(value)].clone();
            let mode = match (batch.kind, self.rules.careful_is_folded) {
                (BatchKind::Careful, false) => Mode::Careful,
                (BatchKind::Together, false) => Mode::Together,
                (BatchKind::Plain, _) | (BatchKind::Careful | BatchKind::Together, true) => {
                    Mode::Folded
                }
            };
            let work = transaction(&batch, mode, &decode);
            outcome(self.replica.apply(&work, &decode))
        };
        let jitter = self.chance.unit();
        let notices = self
            .lanes
            .settle(batch.id, outcome, &self.policy(), self.now_ms, jitter);
        match notices.first() {
            None => Ok(()),
            Some(Notice::WillPark { offset, error, .. }) => Err(Failure::new(
                Checker::NothingParked,
                format!("{offset:?} would be parked: {error}"),
            )),
            Some(other) => Err(Failure::new(Checker::Contract, format!("{other:?}"))),
        }
    }
}
