//! One run: some sagas, several orchestrators over one database, participants, a network, and everything that goes wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use keylane_core::saga::{
    Asked, Command, Event, Moment, Op, Outcome, Plan, Reply, Rows, StepKind, check, decide,
};
use serde_json::json;

use super::check::{effects, is_found_again, order};
use super::orchestrator::Orchestrator;
use super::participant::{Participant, Will};
use super::store::Store;
use super::story::{SERVICES, definition};
use super::variants::Rules;
use crate::Chance;
use crate::verdict::{Checker, Failure, Findings};

const TICKS_MAX: usize = 200_000;
/// The longest that a service is down, microseconds.
const DOWN_US: usize = 20_000_000;
/// How far a clock is set forth or back, microseconds: beyond the life of a command.
const CLOCK_JUMPS_US: usize = 20 * 86_400 * 1_000_000;
/// Of a hundred ticks, how many are a fault while there are faults left.
const FAULTS_PERCENT: u32 = 8;

pub(super) struct World {
    pub chance: Chance,
    pub rules: Rules,
    pub plan: Plan,
    pub store: Store,
    pub now_us: i64,
    /// Sagas that somebody asked for and may ask for again.
    pub wanted: Vec<String>,
    /// On the way to participants.
    commands: Vec<Command>,
    /// On the way to orchestrators, with the saga.
    pub replies: Vec<(String, Reply)>,
    /// Everything that was ever sent.
    sent: (Vec<Command>, Vec<(String, Reply)>),
    participants: BTreeMap<String, Vec<Participant>>,
    down_until_us: [i64; SERVICES.len()],
    faults_left: usize,
    pub findings: Findings,
    /// What the timelines tell of.
    pub seen: BTreeSet<&'static str>,
}

/// Runs one seed.
pub(super) fn run(seed: u64, variant: &'static str, size: usize) -> Result<Findings, Failure> {
    ended(seed, variant, size).map(|world| world.findings)
}

fn ended(seed: u64, variant: &'static str, size: usize) -> Result<World, Failure> {
    let mut chance = Chance::new(seed, 1);
    let plan = check(definition(&mut chance)).map_err(|findings| {
        Failure::new(
            Checker::Contract,
            format!("the story breaks a rule: {findings:?}"),
        )
    })?;
    let rules = Rules::of(variant);
    let mut store = Store::default();
    store.overwrites = rules.overwrites;
    store.looks_at_leases = chance.percent(50);
    // Of different lengths: they fall under different leases.
    let ids = (0..chance.between(1, 4)).map(|number| "s".repeat(number + 1));
    let mut world = World {
        rules,
        plan,
        store,
        now_us: 0,
        wanted: ids.collect(),
        commands: Vec::new(),
        replies: Vec::new(),
        sent: (Vec::new(), Vec::new()),
        participants: BTreeMap::new(),
        down_until_us: [0; SERVICES.len()],
        faults_left: size,
        findings: Findings::default(),
        seen: BTreeSet::new(),
        chance,
    };
    let mut orchestrators = vec![Orchestrator::default(); world.chance.between(1, 3)];
    world.go(&mut orchestrators)?;
    world.replay_everything()?;
    Ok(world)
}

impl World {
    pub fn moment(&mut self) -> Moment {
        Moment {
            now_us: self.now_us,
            seed: self.chance.below(usize::MAX) as u64,
        }
    }

    /// A fault of so many of a hundred, as long as there are some left.
    pub fn fault(&mut self, of_hundred: u32) -> bool {
        let happens = self.faults_left > 0 && self.chance.percent(of_hundred);
        if happens {
            self.faults_left -= 1;
            self.findings.faults += 1;
        }
        happens
    }

    fn go(&mut self, orchestrators: &mut [Orchestrator]) -> Result<(), Failure> {
        for _ in 0..TICKS_MAX {
            if self.fault(FAULTS_PERCENT) {
                self.misfortune(orchestrators);
            }
            let number = self.chance.below(orchestrators.len());
            match self.chance.below(10) {
                0..4 if !self.commands.is_empty() => self.deliver()?,
                0..9 => orchestrators[number].tick(self)?,
                _ => self.now_us += self.chance.between(1, 300_000) as i64,
            }
            let is_quiet = self.commands.is_empty() && self.replies.is_empty();
            let is_idle = orchestrators.iter().all(|it| it.is_idle());
            if !(is_quiet && is_idle && self.store.outbox.is_empty()) {
                continue;
            }
            match self.store.sagas().filter_map(|it| it.next_us()).min() {
                Some(next_us) => self.now_us = self.now_us.max(next_us),
                None if self.faults_left == 0 && self.is_all_started() => return Ok(()),
                // Everything has ended: what is left of faults has nothing to hit.
                None => self.faults_left = self.faults_left.saturating_sub(1),
            }
        }
        let open = self.store.sagas().find(|it| !it.has_ended());
        let seen = format!("a saga does not end: {open:?}");
        Err(Failure::new(Checker::Progress, seen))
    }

    fn is_all_started(&self) -> bool {
        self.wanted.iter().all(|id| self.store.saga(id).is_some())
    }

    fn misfortune(&mut self, orchestrators: &mut [Orchestrator]) {
        let number = self.chance.below(orchestrators.len());
        match self.chance.below(6) {
            0 => orchestrators[number].crash(),
            1 => orchestrators[number].takes_over(&mut self.store, &mut self.chance),
            2 => {
                let service = self.chance.below(SERVICES.len());
                let for_us = self.chance.between(1, DOWN_US) as i64;
                self.down_until_us[service] = self.now_us + for_us;
            }
            3 if !self.replies.is_empty() => {
                let place = self.chance.below(self.replies.len());
                let (id, mut reply) = self.replies[place].clone();
                reply.outcome = Outcome::Unclear("garbage".into());
                self.replies.push((id, reply));
            }
            4 => self.clock_jumps(),
            _ => self.now_us += self.chance.between(1, 10_000_000) as i64,
        }
    }

    /// Somebody sets the clock, days forth or back.
    fn clock_jumps(&mut self) {
        let us = self.chance.between(1, CLOCK_JUMPS_US) as i64;
        self.now_us += if self.chance.percent(50) { us } else { -us };
        // How long a service is down is no matter of clocks.
        for until_us in &mut self.down_until_us {
            *until_us = (*until_us).min(self.now_us + DOWN_US as i64);
        }
    }

    /// A command goes out.
    pub fn publish(&mut self, command: &Command) -> Result<(), Failure> {
        if !self.store.knows(command) {
            let seen = format!("{} is on the way, and no row knows of it", command.id());
            return Err(Failure::new(Checker::NoUnknownCommand, seen));
        }
        self.commands.push(command.clone());
        self.sent.0.push(command.clone());
        Ok(())
    }

    /// A command arrives, in any order, perhaps not for the last time, perhaps not at all.
    fn deliver(&mut self) -> Result<(), Failure> {
        let place = self.chance.below(self.commands.len());
        let command = self.commands[place].clone();
        if !self.fault(15) {
            self.commands.swap_remove(place);
        }
        if self.fault(10) {
            return Ok(());
        }
        let service = SERVICES
            .iter()
            .position(|it| *it == command.participant.name());
        let is_down = service.is_some_and(|it| self.down_until_us[it] > self.now_us);
        if is_down {
            if self.chance.percent(50) {
                self.answer(&command, Outcome::Unclear("it is down".into()));
            }
            return Ok(());
        }
        if self.chance.percent(5) {
            self.answer(&command, Outcome::Working);
        }
        let will = self.will(&command);
        let dies_before_commit = self.fault(5);
        let outcome = match dies_before_commit {
            true => None,
            false => self.carry_out(&command, will)?,
        };
        let dies_before_answer = self.fault(5);
        if let Some(outcome) = outcome.filter(|_| !dies_before_answer) {
            self.answer(&command, outcome);
        }
        Ok(())
    }

    /// What business makes of it: a no that is kept at any time, one that is not only while there are faults.
    fn will(&mut self, command: &Command) -> Will {
        let is_kept = command.op != Op::Compensate && command.kind != StepKind::Retriable;
        if (is_kept && self.chance.percent(15)) || (!is_kept && self.fault(15)) {
            return Will::Refuse;
        }
        match self.fault(10) {
            true => Will::Fail,
            false => Will::Succeed,
        }
    }

    fn carry_out(&mut self, command: &Command, will: Will) -> Result<Option<Outcome>, Failure> {
        let asked = Asked {
            op: command.op,
            kind: command.kind,
            expires_us: command.expires_us,
        };
        let count = self.plan.definition().steps.len();
        let participants = self.participants.entry(command.saga.clone());
        let participants = participants.or_insert_with(|| vec![Participant::default(); count]);
        let participant = self
            .plan
            .place(&command.step)
            .and_then(|it| participants.get_mut(it));
        let Some(participant) = participant else {
            let seen = format!("{} names no step", command.id());
            return Err(Failure::new(Checker::Contract, seen));
        };
        let answered = participant.carry_out(self.rules.barrier, asked, will, self.now_us);
        self.look_at(&command.saga)?;
        Ok(answered)
    }

    fn answer(&mut self, command: &Command, outcome: Outcome) {
        let reply = Reply {
            step: command.step.clone(),
            op: command.op,
            outcome,
        };
        self.replies.push((command.saga.clone(), reply.clone()));
        self.sent.1.push((command.saga.clone(), reply));
    }

    /// What must hold of a saga at any moment.
    pub fn look_at(&self, id: &str) -> Result<(), Failure> {
        let Some(saga) = self.store.saga(id) else {
            return Ok(());
        };
        is_found_again(saga)?;
        order(&self.plan, saga)?;
        match self.participants.get(id) {
            None => effects(saga, vec![Participant::default(); saga.steps.len()].iter()),
            Some(participants) => effects(saga, participants.iter()),
        }
    }

    /// All sagas have ended. Everything that was ever sent comes once more, in any order; then again when participants have forgotten all about it.
    fn replay_everything(&mut self) -> Result<(), Failure> {
        let ids: Vec<String> = self.store.sagas().map(|it| it.id.clone()).collect();
        ids.iter().try_for_each(|id| self.look_at(id))?;
        let (commands, replies) = std::mem::take(&mut self.sent);
        for has_forgotten in [false, true] {
            if has_forgotten {
                // Not before every command has expired, by whichever clock it was given its time.
                let expire_us = commands.iter().map(|it| it.expires_us).max();
                self.now_us = self.now_us.max(expire_us.unwrap_or_default()) + 1;
                let all = self.participants.values_mut().flatten();
                all.for_each(|it| it.rows = Rows::default());
            }
            for _ in 0..2 * commands.len() {
                let command = self.chance.pick(&commands).cloned();
                let will = if self.chance.percent(80) {
                    Will::Succeed
                } else {
                    Will::Refuse
                };
                command.map(|it| self.carry_out(&it, will)).transpose()?;
            }
        }
        for (id, reply) in replies {
            let Some(saga) = self.store.saga(&id).cloned() else {
                continue;
            };
            let at = self.moment();
            let event = Event::Reply(reply);
            let after = decide(&self.plan, saga.clone(), event, at).saga;
            if after != saga {
                let seen = format!("{id} had ended, and a late answer changed it");
                return Err(Failure::new(Checker::AllOrNothing, seen));
            }
        }
        Ok(())
    }

    /// What a saga is started with.
    pub fn data(&self, id: &str) -> serde_json::Value {
        json!({"flag": id.len().is_multiple_of(2)})
    }
}

#[cfg(test)]
mod tests;
