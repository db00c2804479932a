//! What somebody asks for. It is noted with who and why, also if it is refused.

use serde_json::Value;

use super::Deciding;
use crate::saga::definition::StepKind;
use crate::saga::event::{Operation, What};
use crate::saga::state::{Phase, StepStatus};

impl Deciding<'_> {
    pub(super) fn operate(&mut self, operation: Operation, actor: String, reason: String) {
        let from = self.log.len();
        let step = step_of(&operation).and_then(|id| self.plan.place(id));
        self.note(
            What::Asked,
            step,
            Some(format!("{}: {reason}", operation.code())),
        );
        let refused = match operation {
            Operation::Retry { step } => self.retry(step.as_deref()),
            Operation::RollBack => self.cancel(reason),
            Operation::Skip { step } => self.skip(&step),
            Operation::Complete { step, reply } => self.complete(&step, reply),
            Operation::MarkCompensated { step } => self.mark_compensated(&step),
        };
        if let Err(why) = refused {
            self.note(What::Refused, step, Some(why));
        }
        for entry in self.log.iter_mut().skip(from) {
            entry.actor = Some(actor.clone());
        }
    }

    fn named(&self, id: &str) -> Result<(usize, StepStatus), String> {
        let place = self.plan.place(id);
        place
            .and_then(|place| Some((place, self.status(place)?)))
            .ok_or_else(|| format!("there is no step {id}"))
    }

    fn retry(&mut self, step: Option<&str>) -> Result<(), String> {
        let only = step.map(|id| self.named(id)).transpose()?;
        let now_us = self.at.now_us;
        let mut found = false;
        for place in self.plan.order().iter().copied() {
            let is_meant = only.is_none_or(|(one, _)| one == place);
            let Some((step, row)) = self.look(place).filter(|_| is_meant) else {
                continue;
            };
            if row.status.op().is_none() {
                continue;
            }
            // The time of what may be given up is not made longer.
            let is_kept = row.status == StepStatus::Sent && step.kind != StepKind::Retriable;
            self.change(place, |row| {
                (row.tries, row.stuck) = (0, false);
                if !is_kept {
                    row.since_us = Some(now_us);
                }
            });
            self.send(place, What::Resent);
            found = true;
        }
        found
            .then_some(())
            .ok_or_else(|| "nothing is out that could be sent again".to_owned())
    }

    fn cancel(&mut self, reason: String) -> Result<(), String> {
        if self.saga.phase != Phase::Running {
            return Err(format!("it is {}", self.saga.phase.code()));
        }
        if self.saga.is_committed(self.plan) {
            return Err(
                "there is no way back any more: it goes on until it is completed".to_owned(),
            );
        }
        self.roll_back(reason);
        Ok(())
    }

    fn skip(&mut self, id: &str) -> Result<(), String> {
        match self.named(id)? {
            (place, StepStatus::Pending) if self.saga.phase == Phase::Running => {
                self.settle(place, StepStatus::Skipped);
                self.note(What::Skipped, Some(place), None);
                Ok(())
            }
            (place, StepStatus::Sent | StepStatus::Completing) => {
                self.begin(place, StepStatus::Skipping);
                Ok(())
            }
            (_, status) => Err(format!("{id} is {}", status.code())),
        }
    }

    fn complete(&mut self, id: &str, reply: Value) -> Result<(), String> {
        match self.named(id)? {
            (place, StepStatus::Sent | StepStatus::Skipping) => {
                self.change(place, |row| row.reply = Some(reply));
                self.begin(place, StepStatus::Completing);
                Ok(())
            }
            (_, status) => Err(format!("{id} is {}", status.code())),
        }
    }

    fn mark_compensated(&mut self, id: &str) -> Result<(), String> {
        match self.named(id)? {
            (place, StepStatus::Compensating) => {
                self.settle(place, StepStatus::Compensated);
                self.change(place, |row| row.by_hand = true);
                self.note(What::Undone, Some(place), Some("by hand".to_owned()));
                Ok(())
            }
            (_, status) => Err(format!("{id} is {}", status.code())),
        }
    }
}

fn step_of(operation: &Operation) -> Option<&str> {
    match operation {
        Operation::Retry { step } => step.as_deref(),
        Operation::RollBack => None,
        Operation::Skip { step }
        | Operation::Complete { step, .. }
        | Operation::MarkCompensated { step } => Some(step),
    }
}
