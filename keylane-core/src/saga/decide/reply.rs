//! What a participant's answer means: only an answer to what is out means anything.

use serde_json::Value;

use super::Deciding;
use crate::saga::definition::StepKind;
use crate::saga::event::What;
use crate::saga::message::{Op, Outcome, Reply};
use crate::saga::state::StepStatus;

impl Deciding<'_> {
    pub(super) fn reply(&mut self, reply: Reply) {
        let place = self.plan.place(&reply.step);
        let out = place.and_then(|place| self.status(place)?.op());
        // While a fence is out, the action's own verdict is as good: it stands for ever, and the fence would say the same.
        let is_awaited = out == Some(reply.op) || (out, reply.op) == (Some(Op::Fence), Op::Action);
        match place.filter(|_| is_awaited) {
            Some(place) => self.answer(place, reply),
            None => {
                let said = format!(
                    "{} {} {}",
                    reply.step,
                    reply.op.code(),
                    reply.outcome.code()
                );
                self.note(What::Ignored, place, Some(said));
            }
        }
    }

    fn answer(&mut self, place: usize, reply: Reply) {
        let retriable = self
            .look(place)
            .is_some_and(|(step, _)| step.kind == StepKind::Retriable);
        let fencing = self
            .status(place)
            .is_some_and(|it| it.op() == Some(Op::Fence));
        match (reply.op, reply.outcome) {
            (_, Outcome::Working) => self.working(place),
            (_, Outcome::Unclear(why)) => self.unclear(place, why),
            (Op::Action, Outcome::Ok(value)) | (Op::Fence, Outcome::Done(value)) => {
                self.done(place, value);
            }
            (Op::Fence, Outcome::Fenced) => self.fence_holds(place),
            (Op::Action, Outcome::Fenced) if fencing => self.fence_holds(place),
            // A retriable step's refusal is not stored: the next attempt may say otherwise.
            (Op::Action, Outcome::Rejected(why)) if retriable && fencing => {
                self.unclear(place, why);
            }
            (Op::Action, Outcome::Rejected(_)) if fencing => self.fence_holds(place),
            (Op::Action, Outcome::Rejected(why)) if retriable => self.ask_for_help(place, &why),
            (Op::Action, Outcome::Fenced) if retriable => {
                self.ask_for_help(
                    place,
                    "a fence that is not this saga's keeps it from running",
                );
            }
            (Op::Action, Outcome::Rejected(why)) => self.failed(place, &why),
            (Op::Action, Outcome::Fenced) => self.failed(place, "it was fenced"),
            (Op::Compensate, Outcome::Ok(_)) => {
                self.undone(place, StepStatus::Compensated, What::Undone)
            }
            (Op::Compensate, Outcome::Noop) => {
                self.undone(place, StepStatus::Noop, What::NothingToUndo)
            }
            (Op::Compensate, Outcome::Rejected(why)) => self.ask_for_help(place, &why),
            (op, outcome) => {
                let why = format!("{} is no answer to {}", outcome.code(), op.code());
                self.unclear(place, why);
            }
        }
    }

    fn done(&mut self, place: usize, reply: Value) {
        let decided = self.status(place) == Some(StepStatus::Fencing);
        self.settle(place, StepStatus::Ok);
        self.change(place, |row| row.reply = Some(reply));
        self.note(What::Done, Some(place), None);
        if decided {
            // The pivot was done before it was fenced: there is nothing to go back for.
            self.saga.reason = None;
        }
    }

    fn undone(&mut self, place: usize, status: StepStatus, what: What) {
        self.settle(place, status);
        self.note(what, Some(place), None);
    }

    fn failed(&mut self, place: usize, why: &str) {
        self.settle(place, StepStatus::Failed);
        self.note(What::Failed, Some(place), Some(why.to_owned()));
        let id = self.look(place).map_or("", |(step, _)| &step.id);
        self.roll_back(format!("{id}: {why}"));
    }

    /// The action had no effect and never will have.
    fn fence_holds(&mut self, place: usize) {
        match self.status(place) {
            Some(StepStatus::Skipping) => {
                self.settle(place, StepStatus::Skipped);
                self.note(What::Skipped, Some(place), None);
            }
            Some(StepStatus::Completing) => {
                self.settle(place, StepStatus::Ok);
                self.change(place, |row| row.by_hand = true);
                self.note(What::Done, Some(place), Some("by hand".to_owned()));
            }
            _ => {
                let reason = self.saga.reason.clone();
                self.settle(place, StepStatus::Failed);
                self.note(
                    What::Failed,
                    Some(place),
                    Some("the fence holds".to_owned()),
                );
                self.roll_back(reason.unwrap_or_default());
            }
        }
    }
}
