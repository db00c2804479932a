//! One run: a history, its log, and workers whose transactions overlap.

use std::collections::BTreeMap;
use std::sync::Arc;

use keylane_core::apply::{
    ApplyError, BatchKind, Clearance, FailurePolicy, Lanes, Limits, Mode, Notice, Outcome,
    WhenExhausted,
};
use keylane_core::capture::WriteSet;
use keylane_core::consume::RawPayload;
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Change, LaneCount, Position};

use super::transaction::{Begun, Open, Written as Done};
use super::variants::Rules;
use crate::Chance;
use crate::model::log::number_of;
use crate::model::{
    Feed, Replica, Routes, Shape, Shop, converged, in_order, ordered, states, transaction, written,
};
use crate::verdict::{Checker, Failure, Findings};

const STEPS_MAX: usize = 200_000;
const POLICY: FailurePolicy = FailurePolicy {
    attempts_max: u32::MAX,
    backoff_ms: 1,
    backoff_ms_max: 8,
    rest_ms_max: 0,
    then: WhenExhausted::Stop,
};

struct World {
    chance: Chance,
    rules: Rules,
    feed: Feed,
    lanes: Lanes<RawPayload>,
    lane_count: LaneCount,
    replica: Replica,
    changes: Vec<Arc<Change>>,
    /// The origin after each commit.
    states: BTreeMap<u64, Shop>,
    open: Vec<Open>,
    workers: usize,
    feed_percent: u32,
    fault_permille: u32,
    now_ms: u64,
    findings: Findings,
}

/// Runs one seed.
pub(super) fn run(seed: u64, variant: &'static str, size: usize) -> Result<Findings, Failure> {
    let mut chance = Chance::new(seed, 1);
    let rules = Rules::of(variant);
    let shape = Shape::any(&mut chance);
    let mut shop = Shop::new(match rules.forbidden_states {
        true => shape.through_forbidden_states(&mut chance),
        false => shape,
    });
    let routes = Routes {
        partitions: chance.between(1, 4) as u32,
    };
    let history = states(&mut shop, &mut Chance::new(seed, 2), size);
    let changes: Vec<Arc<Change>> = history
        .iter()
        .flat_map(|(transaction, _)| ordered(transaction))
        .map(Arc::new)
        .collect();
    let mut write_set = WriteSet::new(chance.between(3, 40), Position::ZERO);
    let stamp = |change: &Change, place| write_set.stamp(change, place);
    let log = written(&shop.tables(), &changes, routes, stamp, &mut chance);
    let mut feed = Feed::of(log);
    feed.tells_too_much = rules.incomplete;
    let mut replica = Replica::new(&shop.tables());
    replica.rows.cascades = shop.shape.replica_cascades;
    let states = history.into_iter();
    let lane_count = LaneCount(chance.between(1, 8) as u16);
    let mut world = World {
        rules,
        feed,
        lanes: Lanes::in_commit_order(lane_count),
        lane_count,
        replica,
        changes,
        states: states.map(|(it, after)| (it.commit, after)).collect(),
        open: Vec::new(),
        workers: chance.between(1, 5),
        feed_percent: chance.between(5, 95) as u32,
        fault_permille: if rules.disturbed { 30 } else { 0 },
        now_ms: 0,
        findings: Findings::default(),
        chance,
    };
    world.take_over();
    world.go()?;
    in_order(&world.replica.audit)?;
    converged(&shop, &world.replica)?;
    Ok(world.findings)
}

impl World {
    fn go(&mut self) -> Result<(), Failure> {
        for _ in 0..STEPS_MAX {
            let pause = self.lanes.tick(self.now_ms);
            let may_feed = self.feed.holds_more();
            let may_take = self.open.len() < self.workers && self.lanes.has_ready();
            if self.chance.below(1000) < self.fault_permille as usize / 10 {
                self.crash();
            } else if may_feed && self.chance.percent(self.feed_percent) {
                self.feed.some(&mut self.chance, &mut self.lanes);
            } else if may_take && self.chance.percent(60) {
                self.take();
            } else if !self.open.is_empty() && self.work()? {
                self.save();
            } else if may_take {
                self.take();
            } else if may_feed {
                self.feed.some(&mut self.chance, &mut self.lanes);
            } else if let Some(wait_ms) = pause {
                self.now_ms += wait_ms;
            } else if self.lanes.is_drained() && self.open.is_empty() {
                return Ok(());
            } else {
                let (holdup, open) = (self.lanes.holdup(), self.open.len());
                let detail = format!("stuck: nothing may go, {open} are open; {holdup:?}");
                return Err(Failure::new(Checker::Progress, detail));
            }
        }
        Err(Failure::new(Checker::Progress, "the run does not end"))
    }

    /// Another process, or the same one anew.
    fn crash(&mut self) {
        self.findings.faults += 1;
        self.open.clear();
        self.lanes = Lanes::in_commit_order(self.lane_count);
        self.take_over();
    }

    /// Fence, read, fetch.
    fn take_over(&mut self) {
        for partition in self.feed.partitions() {
            self.lanes.revoke(&partition);
        }
        for partition in self.feed.partitions() {
            let progress = self.replica.fence(&partition);
            self.feed.go_on(&progress);
            self.lanes.assign(&progress);
        }
        self.lanes.set_elsewhere(&[], false);
    }

    fn save(&mut self) {
        if self.chance.percent(20) {
            for low in self.lanes.lows() {
                self.replica.save_low(&low);
            }
        }
    }

    fn take(&mut self) {
        let limits = Limits {
            items_max: match self.chance.percent(60) {
                true => 1,
                false => self.chance.between(2, 12),
            },
            bytes_max: self.chance.between(1, 6000),
        };
        let Some(batch) = self.lanes.take(limits) else {
            return;
        };
        let mode = match batch.kind {
            BatchKind::Together => Mode::Together,
            BatchKind::Plain | BatchKind::Careful => Mode::Folded,
        };
        let changes = &self.changes;
        let work = transaction(&batch, mode, &|value| changes[number_of(value)].clone());
        self.open.push(Open {
            batch,
            work,
            begun: None,
        });
    }

    /// A worker goes a step on; `false` if all have to wait.
    fn work(&mut self) -> Result<bool, Failure> {
        let first = self.chance.below(self.open.len());
        for number in 0..self.open.len() {
            let at = (first + number) % self.open.len();
            let went = match &self.open[at].begun {
                None => self.begin(at)?,
                Some(_) => self.commit(at)?,
            };
            if went {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn begin(&mut self, at: usize) -> Result<bool, Failure> {
        let id = self.open[at].batch.id;
        match self.lanes.may_begin(id) {
            Clearance::Later if !self.rules.at_once => return Ok(false),
            Clearance::Never => return self.settle(at, Outcome::OutOfTurn),
            Clearance::Now | Clearance::Later => {}
        }
        let early = self.lanes.may_commit(id) != Clearance::Now;
        // Whose turn it is makes its steps first.
        if !early && !self.replica.may_step(&self.open[at].work) {
            let fenced = ApplyError::new(ApplyErrorKind::Fenced, "0 rows hit");
            return self.settle(at, Outcome::RolledBack(fenced));
        }
        let changes = &self.changes;
        let decode = |value: &[u8]| changes[number_of(value)].clone();
        self.open[at].begin(&self.replica, early, &decode);
        let others = self.open.iter().enumerate();
        let mut others = others.filter(|(number, other)| *number != at && other.begun.is_some());
        let holder = others.find(|(_, other)| other.collides(&self.open[at]));
        if let Some((holder, later)) = holder.map(|(at, other)| (at, other.batch.id > id)) {
            // The earlier of the two is waited for; the later gives way.
            self.open[at].begun = None;
            return match later {
                true => self.settle(holder, Outcome::OutOfTurn),
                false => Ok(false),
            };
        }
        self.findings.waits.of += 1;
        self.findings.waits.hits += u64::from(early);
        Ok(true)
    }

    fn commit(&mut self, at: usize) -> Result<bool, Failure> {
        let clearance = self.lanes.may_commit(self.open[at].batch.id);
        let Some(Begun { early, written }) = &self.open[at].begun else {
            return Ok(false);
        };
        let early = *early;
        let (failed, missing) = match written {
            Err(error) => (Some(error.clone()), false),
            // What a parent took with it is missed by its own delete.
            Ok(_) if self.open[at].batch.kind == BatchKind::Together => (None, false),
            Ok(done) => (None, done.missing && !self.rules.misses_nothing),
        };
        if early && (failed.is_some() || missing) {
            return self.settle(at, Outcome::OutOfTurn);
        }
        if let Some(error) = failed {
            return self.settle(at, Outcome::RolledBack(error));
        }
        if missing {
            let detail = "a change found no row though everything before it was applied";
            return Err(Failure::new(Checker::Contract, detail));
        }
        match clearance {
            Clearance::Never if !self.rules.goes_on => {
                return self.settle(at, Outcome::OutOfTurn);
            }
            Clearance::Later if !self.rules.out_of_turn => return Ok(false),
            _ => {}
        }
        if self.chance.below(1000) < self.fault_permille as usize {
            self.findings.faults += 1;
            let conflict = ApplyError::new(ApplyErrorKind::Conflict, "deadlock");
            return self.settle(at, Outcome::RolledBack(conflict));
        }
        if let Err(error) = self.take_effect(at) {
            let outcome = match early {
                true => Outcome::OutOfTurn,
                false => Outcome::RolledBack(error),
            };
            return self.settle(at, outcome);
        }
        self.is_a_state_of_the_origin(at)?;
        let outcome = match self.chance.below(1000) < self.fault_permille as usize {
            false => Outcome::Committed,
            true => {
                self.findings.faults += 1;
                let gone = "the commit's answer was lost";
                Outcome::RolledBack(ApplyError::new(ApplyErrorKind::Unreachable, gone))
            }
        };
        self.settle(at, outcome)
    }

    /// The commit: the steps are checked, and what was written is seen.
    fn take_effect(&mut self, at: usize) -> Result<(), ApplyError> {
        let open = &self.open[at];
        let Some(Begun {
            written: Ok(Done {
                found, left, fork, ..
            }),
            ..
        }) = &open.begun
        else {
            return Ok(());
        };
        if !self.replica.may_step(&open.work) {
            return Err(ApplyError::new(ApplyErrorKind::Fenced, "0 rows hit"));
        }
        let effects = fork.audit.iter().filter(|it| {
            let position = it.position;
            let items = open.batch.items.iter();
            items
                .map(|item| item.item.position)
                .any(|own| own == position)
        });
        let effects: Vec<_> = effects.cloned().collect();
        let mut rows = self.replica.rows.clone();
        rows.merge(found, left)
            .map_err(|why| ApplyError::new(ApplyErrorKind::Constraint, why.0))?;
        self.replica.rows = rows;
        self.replica.audit.extend(effects);
        self.replica.store_steps(&open.work);
        Ok(())
    }

    fn is_a_state_of_the_origin(&self, at: usize) -> Result<(), Failure> {
        let items = self.open[at].batch.items.iter();
        let commit = items.map(|item| item.item.position.commit).max();
        let Some((commit, state)) = commit.and_then(|it| self.states.get_key_value(&it)) else {
            return Err(Failure::new(Checker::Contract, "an empty batch"));
        };
        converged(state, &self.replica).map_err(|failure| {
            let detail = format!("not the origin's state after {commit}: {}", failure.detail);
            Failure::new(Checker::Torn, detail)
        })
    }

    fn settle(&mut self, at: usize, outcome: Outcome) -> Result<bool, Failure> {
        let open = self.open.remove(at);
        let jitter = self.chance.unit();
        let now_ms = self.now_ms;
        let notices = self
            .lanes
            .settle(open.batch.id, outcome, &POLICY, now_ms, jitter);
        for notice in notices {
            match notice {
                Notice::Fenced(_) => self.take_over(),
                other => {
                    return Err(Failure::new(Checker::NothingParked, format!("{other:?}")));
                }
            }
        }
        Ok(true)
    }
}
