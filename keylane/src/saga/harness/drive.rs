//! One saga from its start to its end and beyond, by the decisions of an orchestrator, with one thing done to it on its way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{
    Command, Decision, Event, Moment, Op, Operation, Outcome, Reply, Saga, Start, StepKind,
    StepStatus, decide, start,
};

use super::runs::Harness;
use crate::participant::CarryOut;
use crate::workers::stats::now_us;

/// How often a command that is repeated comes.
const REPEATS: usize = 3;
/// Decisions after which a saga should have ended long ago, for each of its steps.
const DECISIONS_MAX: usize = 1_000;
/// So often a retriable step fails before it does not.
const FAILURES: u32 = 3;

/// What is done to a saga on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// Every command to do a step comes several times.
    Repeated(usize),
    /// A step says no, without having been asked.
    SaysNo(usize),
    /// A step is carried out, and nobody hears of it.
    Unheard(usize),
    /// Once a step is done the saga is taken back, and every command to undo it comes several times.
    TakenBack(usize),
}

/// A saga on its way.
pub(super) struct Drive<'a> {
    harness: &'a Harness,
    fault: Fault,
    pub saga: Saga,
    now_us: i64,
    queue: VecDeque<Command>,
    /// The first command of each operation on each step, and what was answered to it for good.
    sent: BTreeMap<String, (Command, Option<Outcome>)>,
    failures: u32,
}

impl<'a> Drive<'a> {
    pub fn new(harness: &'a Harness, fault: Fault, begun: Start) -> Result<Self, String> {
        let at = Moment {
            now_us: now_us(),
            seed: 1,
        };
        let decision = start(&harness.plan, begun, at).map_err(|why| why.to_string())?;
        let mut drive = Drive {
            harness,
            fault,
            saga: decision.saga.clone(),
            now_us: at.now_us,
            queue: VecDeque::new(),
            sent: BTreeMap::new(),
            failures: 0,
        };
        drive.take(decision);
        Ok(drive)
    }

    fn take(&mut self, decision: Decision) {
        self.saga = decision.saga;
        self.queue.extend(decision.commands);
    }

    fn happens(&mut self, event: Event) {
        let at = Moment {
            now_us: self.now_us,
            seed: 1,
        };
        let decision = decide(&self.harness.plan, self.saga.clone(), event, at);
        self.take(decision);
    }

    pub async fn drive(&mut self) -> Result<(), String> {
        let mut left = DECISIONS_MAX * self.saga.steps.len().max(1);
        while !self.saga.has_ended() {
            left = left.checked_sub(1).ok_or_else(|| self.not_ended())?;
            if let Some(command) = self.queue.pop_front() {
                let outcome = self.ask(&command).await?;
                let (step, op) = (command.step, command.op);
                self.happens(Event::Reply(Reply { step, op, outcome }));
                self.take_back();
            } else {
                // Nothing is out that would be answered: the time passes.
                self.now_us = self
                    .saga
                    .next_us()
                    .unwrap_or(self.now_us)
                    .max(self.now_us + 1);
                self.happens(Event::Due);
            }
        }
        Ok(())
    }

    fn not_ended(&self) -> String {
        let steps = self.harness.plan.definition().steps.iter();
        let open = steps
            .zip(&self.saga.steps)
            .filter(|(_, row)| row.status.op().is_some());
        let open = open.map(|(step, row)| {
            let error = row.error.as_deref().unwrap_or("no error");
            format!("{} is {} ({error})", step.id, row.status.code())
        });
        let open: Vec<String> = open.collect();
        format!("the saga does not end: {}", open.join(", "))
    }

    /// Takes the saga back once the step is done that this run is about.
    fn take_back(&mut self) {
        let Fault::TakenBack(place) = self.fault else {
            return;
        };
        let status = self.saga.steps.get(place).map(|row| row.status);
        if status == Some(StepStatus::Ok) {
            self.happens(Event::Operation {
                operation: Operation::RollBack,
                actor: "harness".to_owned(),
                reason: "its undo is tried".to_owned(),
            });
            self.hold_back();
        }
    }

    /// Commands that are not asked for any more are late: they come when everything is over.
    fn hold_back(&mut self) {
        let plan = &self.harness.plan;
        let op = |command: &Command| self.saga.steps.get(plan.place(&command.step)?)?.status.op();
        let (asked, late): (Vec<Command>, Vec<Command>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|command| op(command) == Some(command.op));
        self.queue.extend(asked);
        for command in late {
            self.sent.entry(command.id()).or_insert((command, None));
        }
    }

    /// What comes of a command on its way to its participant and back.
    async fn ask(&mut self, command: &Command) -> Result<Outcome, String> {
        let place = self.harness.plan.place(&command.step);
        let is_about = |it: usize| place == Some(it);
        let action = command.op == Op::Action;
        match self.fault {
            Fault::SaysNo(it) if is_about(it) && action => {
                return Ok(Outcome::Rejected("the harness says no".to_owned()));
            }
            Fault::Unheard(it) if is_about(it) && action => {
                self.carry_out(command).await?;
                self.failures += 1;
                if command.kind != StepKind::Retriable || self.failures <= FAILURES {
                    return Ok(Outcome::Unclear("the harness kept the answer".to_owned()));
                }
            }
            Fault::Repeated(it) if is_about(it) && action => {
                return self.repeated(command).await;
            }
            Fault::TakenBack(it) if is_about(it) && command.op == Op::Compensate => {
                return self.repeated(command).await;
            }
            _ => {}
        }
        self.carry_out(command).await
    }

    /// The same command several times, side by side: all that are answered are answered alike.
    async fn repeated(&mut self, command: &Command) -> Result<Outcome, String> {
        let participant = self.participant(command)?;
        let message = self.message(command);
        let asked = (0..REPEATS).map(|_| participant.carry_out(&message));
        let outcomes = futures_util::future::join_all(asked).await;
        let mut first = None;
        for outcome in outcomes {
            self.answered(command, &outcome)?;
            if !matches!(outcome, Outcome::Unclear(_) | Outcome::Working) {
                first.get_or_insert(outcome);
            }
        }
        Ok(first.unwrap_or_else(|| Outcome::Unclear("no verdict".to_owned())))
    }

    async fn carry_out(&mut self, command: &Command) -> Result<Outcome, String> {
        let outcome = self
            .participant(command)?
            .carry_out(&self.message(command))
            .await;
        self.answered(command, &outcome)?;
        Ok(outcome)
    }

    /// Holds an answer against what was answered to the same before. What need not be kept may change: a refusal of what must succeed, of an undo, and what says nothing.
    fn answered(&mut self, command: &Command, outcome: &Outcome) -> Result<(), String> {
        let kept = self
            .sent
            .entry(command.id())
            .or_insert_with(|| (command.clone(), None));
        let stands = match outcome {
            Outcome::Ok(_) | Outcome::Fenced | Outcome::Done(_) | Outcome::Noop => true,
            Outcome::Rejected(_) => command.op == Op::Action && command.kind != StepKind::Retriable,
            Outcome::Working | Outcome::Unclear(_) => false,
        };
        match &kept.1 {
            Some(before) if stands && before != outcome => Err(format!(
                "{} of {} was answered {before:?}, and a repeat {outcome:?}",
                command.op.code(),
                command.step
            )),
            _ => {
                if stands {
                    kept.1 = Some(outcome.clone());
                }
                Ok(())
            }
        }
    }

    /// Everything that was ever sent comes once more: late, and the last first.
    pub async fn everything_again(&mut self) -> Result<(), String> {
        let sent: Vec<Command> = self.sent.values().map(|(it, _)| it.clone()).collect();
        for command in sent.iter().rev() {
            self.carry_out(command).await?;
        }
        Ok(())
    }

    fn participant(&self, command: &Command) -> Result<Arc<dyn CarryOut>, String> {
        let name = command.participant.name();
        let found = self.harness.participants.get(name);
        found.cloned().ok_or_else(|| {
            format!(
                "nobody stands for participant {name} of step {}: name it with Harness::participant",
                command.step
            )
        })
    }

    fn message(&self, command: &Command) -> CommandMessage {
        CommandMessage::of(
            command,
            &self.saga.definition,
            self.saga.version,
            "/harness",
        )
    }
}
