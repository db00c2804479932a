//! One run of the whole road.

use std::collections::{BTreeMap, BTreeSet};

use keylane_core::apply::ApplyBatch;
use keylane_core::model::{LaneCount, TopicPartition};

use super::applier::{Applier, apply};
use super::capturer::{Capturer, Step};
use super::check::{accepted_once, each_once};
use super::variants::Rules;
use super::wal::Wal;
use crate::Chance;
use crate::model::log::Log;
use crate::model::{Replica, Routes, Shape, Shop, converged, in_order, states};
use crate::verdict::{Checker, Failure, Findings};

const STEPS_MAX: usize = 60_000;

struct World {
    chance: Chance,
    rules: Rules,
    routes: Routes,
    lanes: LaneCount,
    partitions: Vec<TopicPartition>,
    wal: Wal,
    log: Log,
    capturers: Vec<Capturer>,
    born: usize,
    appliers: Vec<Applier>,
    /// Whom the group names.
    owners: BTreeMap<TopicPartition, usize>,
    /// How often partitions still move.
    moves: u32,
    /// What dead appliers still send.
    zombies: Vec<ApplyBatch>,
    replica: Replica,
    backup: Option<Replica>,
    faults: u32,
    faults_done: u64,
    entries_max: usize,
    rows_max: u32,
}

/// Runs one seed.
pub(super) fn run(seed: u64, variant: &'static str, size: usize) -> Result<Findings, Failure> {
    let rules = Rules::of(variant);
    let mut world = World::new(seed, rules, size);
    world.go()?;
    accepted_once(&world.log)?;
    in_order(&world.replica.audit)?;
    // Where deletes take others with them, a row-key change is one effect.
    if rules.unfolded && !rules.snapshot && !world.replica.rows.cascades {
        each_once(&world.wal, &world.replica)?;
    }
    converged(world.wal.now(), &world.replica)?;
    Ok(Findings {
        faults: world.faults_done,
        ..Findings::default()
    })
}

impl World {
    fn new(seed: u64, rules: Rules, size: usize) -> World {
        let mut chance = Chance::new(seed, 1);
        let shape = Shape::any(&mut chance);
        let mut shop = Shop::new(if rules.forbidden_states {
            shape.through_forbidden_states(&mut chance)
        } else {
            shape
        });
        let mut rows = vec![shop.clone()];
        let mut transactions = Vec::new();
        for (transaction, after) in states(&mut shop, &mut Chance::new(seed, 2), size) {
            transactions.push(transaction);
            rows.push(after);
        }
        let before = if rules.snapshot {
            chance.below(transactions.len())
        } else {
            0
        };
        let routes = Routes {
            partitions: chance.between(1, 3) as u32,
        };
        let lanes = LaneCount(chance.between(1, 8) as u16);
        let partitions = routes.all(&shop.tables());
        let mut replica = Replica::new(&shop.tables());
        replica.checks = rules.checks();
        replica.checks_offsets = !rules.read_first;
        replica.checks_held = !rules.marked;
        replica.rows.cascades = shop.shape.replica_cascades;
        let processes = if rules.group { chance.between(2, 3) } else { 1 };
        let mut appliers: Vec<Applier> = (0..processes)
            .map(|_| Applier::new(lanes, rules, 0, &mut chance))
            .collect();
        let mut owners = BTreeMap::new();
        for partition in &partitions {
            let owner = chance.below(processes);
            appliers[owner].own(partition, &mut replica);
            owners.insert(partition.clone(), owner);
        }
        for applier in &mut appliers {
            applier.learn(&partitions, &replica);
        }
        World {
            routes,
            lanes,
            partitions,
            wal: Wal::new(rows, transactions, before),
            log: Log::default(),
            capturers: Vec::new(),
            born: 0,
            appliers,
            owners,
            moves: if rules.group {
                chance.below(12) as u32
            } else {
                0
            },
            zombies: Vec::new(),
            replica,
            backup: None,
            faults: chance.below(8) as u32,
            faults_done: 0,
            entries_max: chance.pick(&[3, 12, 1000]).copied().unwrap_or(12),
            rows_max: chance.between(1, 4) as u32,
            rules,
            chance,
        }
    }

    fn go(&mut self) -> Result<(), Failure> {
        for _ in 0..STEPS_MAX {
            if self.is_done() {
                return Ok(());
            }
            match self.chance.below(100) {
                0..2 if self.faults > 0 => self.fault(),
                0..8 if !self.wal.all_committed() => self.wal.commit(),
                0..35 => self.log.land(&mut self.chance),
                35..65 => self.capture(),
                65..67 => self.zombie(),
                67..71 if self.rules.group => self.rebalance(),
                _ => self.apply()?,
            }
        }
        Err(Failure::new(
            Checker::Progress,
            format!(
                "the run does not end; {:?}",
                self.appliers
                    .iter()
                    .map(Applier::holdup)
                    .collect::<Vec<_>>()
            ),
        ))
    }

    fn is_done(&self) -> bool {
        let owner = self.wal.slot.owner;
        let idle = |capturer: &Capturer| owner == Some(capturer.id) && capturer.is_idle(&self.wal);
        self.wal.all_committed()
            && self.faults == 0
            && !self.log.anything_in_flight()
            && self.zombies.is_empty()
            && self.capturers.iter().any(idle)
            && self.moves == 0
            && (self.rules.unseen || self.appliers.iter().all(|it| it.sees(&self.replica)))
            && self
                .owners
                .iter()
                .all(|(partition, owner)| self.appliers[*owner].has_done(partition, &self.log))
    }

    fn named(&self, applier: usize) -> BTreeSet<TopicPartition> {
        let named = self.owners.iter().filter(|(_, owner)| **owner == applier);
        named.map(|(partition, _)| partition.clone()).collect()
    }

    fn apply(&mut self) -> Result<(), Failure> {
        let index = self.chance.below(self.appliers.len());
        let named = self.named(index);
        let applier = &mut self.appliers[index];
        if self.rules.group && self.chance.percent(10) {
            applier.learn(&self.partitions, &self.replica);
        }
        applier.step(
            &self.log,
            &mut self.replica,
            &mut self.chance,
            &mut self.faults,
            &named,
        )
    }

    /// A partition moves, or a process hears that one has moved.
    fn rebalance(&mut self) {
        if self.moves > 0 && self.chance.percent(50) {
            self.moves -= 1;
            self.faults_done += 1;
            let Some(partition) = self.chance.pick(&self.partitions).cloned() else {
                return;
            };
            let owner = self.chance.below(self.appliers.len());
            self.owners.insert(partition.clone(), owner);
            // The former owner does not know yet. One who was named before may have been fenced meanwhile, and takes it again.
            self.appliers[owner].own(&partition, &mut self.replica);
            return;
        }
        let index = self.chance.below(self.appliers.len());
        let named = self.named(index);
        for partition in self.appliers[index].holds() {
            if !named.contains(&partition) && self.chance.percent(30) {
                self.appliers[index].give_up(&partition);
            }
        }
    }

    fn capture(&mut self) {
        self.capturers.retain(|capturer| capturer.alive);
        if !self.capturers.iter().any(|capturer| !capturer.hung) {
            self.capturer_comes();
        }
        let index = self.chance.below(self.capturers.len());
        let Some(capturer) = self.capturers.get_mut(index) else {
            return;
        };
        if capturer.hung {
            capturer.hung = !self.chance.percent(10);
        } else if matches!(capturer.step, Step::Stream) {
            capturer.stream(&mut self.wal, &mut self.log, &mut self.chance);
        } else {
            capturer.open(&mut self.wal, &mut self.log, self.routes);
        }
        let (id, alive) = (capturer.id, capturer.alive);
        if !alive && self.wal.slot.owner == Some(id) {
            self.wal.slot.owner = None;
        }
    }

    /// Something dies, or hangs past its time-out.
    fn fault(&mut self) {
        self.faults -= 1;
        self.faults_done += 1;
        // What only a capturer that hangs past its time-out can bring about is looked for with such faults alone.
        let hangs_only = self.rules.copy_begins_unchecked;
        if self.rules.restored && self.chance.percent(70) {
            return self.backup_or_restore();
        }
        if !hangs_only && self.chance.percent(50) {
            return self.applier_dies();
        }
        let index = self.chance.below(self.capturers.len());
        let Some(capturer) = self.capturers.get_mut(index) else {
            return;
        };
        if self.wal.slot.owner == Some(capturer.id) {
            self.wal.slot.owner = None;
        }
        if !hangs_only && self.chance.percent(50) {
            capturer.alive = false;
            self.log.crash(capturer.id, &mut self.chance);
        } else {
            capturer.hung = true;
        }
        self.capturer_comes();
    }

    /// A backup is made, or takes the replica's place: what was committed since is gone.
    fn backup_or_restore(&mut self) {
        let Some(backup) = self.backup.take() else {
            self.backup = Some(self.replica.clone());
            return;
        };
        let is_idle = self.appliers.iter().all(|applier| applier.open.is_empty());
        if self.rules.in_place && !is_idle {
            // It would wait for their locks.
            self.faults += 1;
            self.backup = Some(backup);
            return;
        }
        self.replica.restore(&backup);
        if self.rules.in_place {
            // Low marks are saved, and those of others read, all the time.
            for index in 0..self.appliers.len() {
                let named = self.named(index);
                self.appliers[index].save(&mut self.replica, &named);
                self.appliers[index].learn(&self.partitions, &self.replica);
            }
            return;
        }
        self.replica.server += 1;
        self.zombies.clear();
    }

    fn capturer_comes(&mut self) {
        self.born += 1;
        let (rows_max, entries_max) = (self.rows_max, self.entries_max);
        let capturer = Capturer::new(self.born, rows_max, entries_max, self.rules);
        self.capturers.push(capturer);
    }

    fn applier_dies(&mut self) {
        let dead = self.chance.below(self.appliers.len());
        // Some of what is open commits, and nobody hears of it.
        let mut left = Vec::new();
        for open in self.appliers[dead].open.drain(..) {
            let work = open.into_work();
            if self.chance.percent(30) {
                let _ = apply(&work, &self.log, &mut self.replica, self.rules);
            } else {
                left.push(work);
            }
        }
        self.appliers[dead] = Applier::new(
            self.lanes,
            self.rules,
            self.replica.server,
            &mut self.chance,
        );
        for partition in self.named(dead) {
            let owner = self.chance.below(self.appliers.len());
            self.owners.insert(partition.clone(), owner);
            self.appliers[owner].own(&partition, &mut self.replica);
        }
        self.appliers[dead].learn(&self.partitions, &self.replica);
        if self.chance.percent(50) {
            self.zombies.extend(left);
        }
    }

    fn zombie(&mut self) {
        if let Some(work) = self.zombies.pop() {
            let _ = apply(&work, &self.log, &mut self.replica, self.rules);
        }
    }
}
