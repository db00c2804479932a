//! Where a saga goes by itself: the steps that may begin, those that may be undone, and what is due.

use super::{Deciding, later};
use crate::saga::definition::{Participant, StepKind};
use crate::saga::event::What;
use crate::saga::state::{Phase, StepStatus};

impl Deciding<'_> {
    /// Begins, or undoes, all that may be, until nothing more may.
    pub(super) fn advance(&mut self) {
        if self.saga.phase == Phase::Running {
            self.forward();
        }
        if self.saga.phase == Phase::Compensating {
            self.backward();
        }
    }

    fn forward(&mut self) {
        let plan = self.plan;
        // It is done or passed over, and so is all that it waits for: somebody may pass over a step long before its turn.
        let mut has_passed = vec![false; self.saga.steps.len()];
        for place in plan.order().iter().copied() {
            let before = plan.before(place);
            if !before
                .iter()
                .all(|it| has_passed.get(*it).is_some_and(|it| *it))
            {
                continue;
            }
            if self.status(place) == Some(StepStatus::Pending) {
                self.take_turn(place);
            }
            if let Some(it) = has_passed.get_mut(place) {
                *it = self.status(place).is_some_and(StepStatus::lets_pass);
            }
        }
        if has_passed.iter().all(|it| *it) {
            self.ended(Phase::Completed, What::Completed);
        }
    }

    /// A step's turn has come: it begins, or is passed over.
    fn take_turn(&mut self, place: usize) {
        let plan = self.plan;
        let condition = plan.step(place).and_then(|step| step.condition.as_ref());
        if condition.is_none_or(|it| it.holds(&self.saga.scope(plan))) {
            self.begin(place, StepStatus::Sent);
        } else {
            self.settle(place, StepStatus::Skipped);
            let why = condition.map(|it| format!("{it} does not hold"));
            self.note(What::Skipped, Some(place), why);
        }
    }

    fn backward(&mut self) {
        let plan = self.plan;
        // What waits for it is undone, has nothing to undo, or never ran; and so has what waits for that.
        let mut is_clear = vec![false; self.saga.steps.len()];
        for place in plan.order().iter().rev().copied() {
            let behind = plan.behind(place);
            if !behind
                .iter()
                .all(|it| is_clear.get(*it).is_some_and(|it| *it))
            {
                continue;
            }
            let Some((step, row)) = self.look(place) else {
                continue;
            };
            let is_back = match row.status {
                StepStatus::Pending
                | StepStatus::Skipped
                | StepStatus::Compensated
                | StepStatus::Noop => true,
                StepStatus::Compensating => false,
                // A pivot that failed has a verdict that stands.
                StepStatus::Failed if step.kind != StepKind::Compensatable => true,
                StepStatus::Sent
                | StepStatus::Ok
                | StepStatus::Failed
                | StepStatus::Fencing
                | StepStatus::Skipping
                | StepStatus::Completing => {
                    self.begin(place, StepStatus::Compensating);
                    false
                }
            };
            if let Some(it) = is_clear.get_mut(place) {
                *it = is_back;
            }
        }
        if is_clear.iter().all(|it| *it) {
            self.ended(Phase::Compensated, What::Compensated);
        }
    }

    fn ended(&mut self, phase: Phase, what: What) {
        self.saga.phase = phase;
        self.saga.ended_us = Some(self.at.now_us);
        self.saga.deadline_us = None;
        self.note(what, None, None);
    }

    /// Goes back, or finds out first whether that is still possible.
    pub(super) fn roll_back(&mut self, reason: String) {
        if self.saga.phase != Phase::Running || self.saga.is_committed(self.plan) {
            return;
        }
        self.changed = true;
        self.saga.deadline_us = None;
        self.saga.reason = Some(reason.clone());
        let is_pivot_out = |place: &usize| {
            self.look(*place).is_some_and(|(step, row)| {
                step.kind == StepKind::Pivot && row.status.op().is_some()
            })
        };
        match self.plan.order().iter().copied().find(is_pivot_out) {
            None => {
                self.saga.phase = Phase::Compensating;
                self.note(What::GoesBack, None, Some(reason));
            }
            Some(pivot) if self.status(pivot) == Some(StepStatus::Fencing) => {}
            Some(pivot) => self.begin(pivot, StepStatus::Fencing),
        }
    }

    /// Everything that is due.
    pub(super) fn due(&mut self) {
        let now_us = self.at.now_us;
        if self.saga.deadline_us.is_some_and(|at| at <= now_us) {
            self.saga.deadline_us = None;
            self.changed = true;
            self.note(What::DeadlinePassed, None, None);
            self.roll_back("the deadline has passed".to_owned());
        }
        for place in self.plan.order().iter().copied() {
            let due = self.look(place).and_then(|(_, row)| row.next_us);
            if due.is_some_and(|at| at <= now_us) {
                self.step_due(place);
            }
        }
    }

    fn step_due(&mut self, place: usize) {
        let now_us = self.at.now_us;
        let Some((step, row)) = self.look(place) else {
            return;
        };
        if self.saga.phase == Phase::Compensating && row.status != StepStatus::Compensating {
            // The saga turned round in this very decision: it is undone next.
            return;
        }
        let may_be_given_up = row.status == StepStatus::Sent && step.kind != StepKind::Retriable;
        let is_tried_enough = step.retry.attempts_max.is_some_and(|max| row.tries >= max);
        let is_late = self.given_up_us(place).is_some_and(|at| at <= now_us);
        if may_be_given_up && (is_late || is_tried_enough) {
            let why = format!("{} gave no verdict in time", step.id);
            self.note(What::TimedOut, Some(place), row.error.clone());
            self.roll_back(why);
            return;
        }
        if self.patience_us(place).is_some_and(|at| at <= now_us) {
            let error = row.error.clone();
            self.ask_for_help(place, error.as_deref().unwrap_or("no answer"));
        }
        self.send(place, What::Resent);
    }

    /// What a participant was sent in vain is sent again.
    pub(super) fn back(&mut self, participant: &Participant) {
        for place in self.plan.order().iter().copied() {
            let is_waiting = self.look(place).is_some_and(|(step, row)| {
                step.participant == *participant && row.status.op().is_some() && row.tries > 1
            });
            if is_waiting {
                self.change(place, |row| row.tries = 0);
                self.send(place, What::Resent);
            }
        }
    }

    /// An attempt came to nothing.
    pub(super) fn unclear(&mut self, place: usize, why: String) {
        let Some((step, row)) = self.look(place) else {
            return;
        };
        let pause_ms = step.retry.pause_ms(row.tries.max(1), self.chance(place));
        let soon_us = later(self.at.now_us, pause_ms);
        let next_us = row.next_us.map_or(soon_us, |at| at.min(soon_us));
        self.change(place, |row| {
            row.error = Some(why.clone());
            row.next_us = Some(next_us);
        });
        self.note_repeated(What::Unclear, place, Some(why));
    }

    /// A participant has it, and has not finished.
    pub(super) fn working(&mut self, place: usize) {
        let Some((step, _)) = self.look(place) else {
            return;
        };
        let next_us = self.no_later(place, later(self.at.now_us, step.retry.cap_ms));
        self.change(place, |row| {
            (row.tries, row.error) = (1, None);
            row.next_us = Some(next_us);
        });
        self.note_repeated(What::Working, place, None);
    }
}
