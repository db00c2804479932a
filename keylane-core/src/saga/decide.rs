//! The one function that moves a saga: from its rows and an event to its next rows, the commands to send and what to note.
//!
//! What holds, whatever comes in whatever order and however often:
//! - A command is in a decision that changes the rows, never in another: who writes both in one transaction under compare-and-set on the revision sends nothing that was not
//!   decided, and decides nothing twice.
//! - A step is begun once all that it waits for is done or passed over; undone once all that waited for it is.
//! - A saga is `Completed` only if every step is done or passed over and nothing was undone; `Compensated` only if every step that may have had an effect was answered to be undone,
//!   or never to have had one.
//! - Once the pivot is done there is only forward. A pivot without a verdict is neither believed done nor undone: it is fenced, and the answer says which way.
//! - A saga that has not ended has a time at which it is looked at again ([`Saga::next_us`]).

use super::definition::{Step, StepKind};
use super::event::{Entry, Event, What};
use super::limits::{COMMAND_LIFE_US, KEY_BYTES_MAX, SAGA_ID_BYTES_MAX, is_text};
use super::message::{Command, Op};
use super::plan::Plan;
use super::state::{Phase, Saga, Start, StepRow, StepStatus};

mod advance;
mod operate;
mod reply;

/// When something is decided, and by which chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time, microseconds since 1970. It may jump: what is due too early is given up, fenced or undone; what is due too late waits.
    pub now_us: i64,
    /// Any number: pauses are shortened by it.
    pub seed: u64,
}

/// What comes of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The rows from now on. If the revision is what it was, they are what they were.
    pub saga: Saga,
    /// What is to be sent, once the rows are written.
    pub commands: Vec<Command>,
    /// What happened, in order. What was asked for is kept, also where the revision is what it was; [`What::Ignored`] need not be.
    pub log: Vec<Entry>,
}

/// Why a saga cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The id is empty, too long or holds control characters.
    #[error("a saga's id has 1 to {SAGA_ID_BYTES_MAX} bytes and no control characters")]
    Id,
    /// The key is.
    #[error("a saga's key has 1 to {KEY_BYTES_MAX} bytes and no control characters")]
    Key,
}

/// Starts a saga. Who stores it makes sure that the id, and the key within the definition, are new.
///
/// # Errors
/// [`StartError`], if id or key do not fit.
pub fn start(plan: &Plan, start: Start, at: Moment) -> Result<Decision, StartError> {
    if !is_text(&start.id, SAGA_ID_BYTES_MAX) {
        return Err(StartError::Id);
    }
    if start
        .key
        .as_ref()
        .is_some_and(|key| !is_text(key, KEY_BYTES_MAX))
    {
        return Err(StartError::Key);
    }
    let definition = plan.definition();
    let deadline_us = definition.deadline_ms.map(|ms| later(at.now_us, ms));
    let saga = Saga {
        id: start.id,
        key: start.key,
        definition: definition.name.clone(),
        version: definition.version,
        hash: plan.hash(),
        phase: Phase::Running,
        revision: 0,
        data: start.data,
        reason: None,
        started_us: at.now_us,
        updated_us: at.now_us,
        ended_us: None,
        deadline_us,
        steps: vec![StepRow::pending(); definition.steps.len()],
    };
    let mut deciding = Deciding::new(plan, saga, at);
    deciding.changed = true;
    deciding.note(What::Started, None, None);
    deciding.advance();
    Ok(deciding.end())
}

/// Decides what an event means for a saga. `plan` is that of the definition that the saga names; with any other one nothing changes, and that is noted.
pub fn decide(plan: &Plan, saga: Saga, event: Event, at: Moment) -> Decision {
    let mut deciding = Deciding::new(plan, saga, at);
    if deciding.saga.hash != plan.hash() {
        let why = "it was decided upon by another definition than its own";
        deciding.note(What::Ignored, None, Some(why.to_owned()));
        return deciding.end();
    }
    match event {
        Event::Reply(reply) => deciding.reply(reply),
        Event::Due => deciding.due(),
        Event::Back(participant) => deciding.back(&participant),
        Event::Operation {
            operation,
            actor,
            reason,
        } => deciding.operate(operation, actor, reason),
    }
    if deciding.changed {
        deciding.advance();
    }
    deciding.end()
}

/// A decision in the making.
struct Deciding<'a> {
    plan: &'a Plan,
    saga: Saga,
    commands: Vec<Command>,
    log: Vec<Entry>,
    at: Moment,
    changed: bool,
}

impl<'a> Deciding<'a> {
    fn new(plan: &'a Plan, saga: Saga, at: Moment) -> Self {
        Deciding {
            plan,
            saga,
            commands: Vec::new(),
            log: Vec::new(),
            at,
            changed: false,
        }
    }

    fn end(mut self) -> Decision {
        if self.changed {
            self.saga.revision += 1;
            self.saga.updated_us = self.at.now_us;
        }
        Decision {
            saga: self.saga,
            commands: self.commands,
            log: self.log,
        }
    }

    /// A step and its row as it is.
    fn look(&self, place: usize) -> Option<(&'a Step, &StepRow)> {
        Some((self.plan.step(place)?, self.saga.steps.get(place)?))
    }

    fn status(&self, place: usize) -> Option<StepStatus> {
        self.saga.steps.get(place).map(|row| row.status)
    }

    fn change(&mut self, place: usize, change: impl FnOnce(&mut StepRow)) {
        if let Some(row) = self.saga.steps.get_mut(place) {
            change(row);
            self.changed = true;
        }
    }

    fn note(&mut self, what: What, place: Option<usize>, reason: Option<String>) {
        let step = place.and_then(|place| self.look(place));
        let entry = Entry {
            at_us: self.at.now_us,
            what,
            step: step.map(|(step, _)| step.id.clone()),
            attempt: step.map(|(_, row)| row.attempts).filter(|it| *it > 0),
            actor: None,
            reason,
        };
        self.log.push(entry);
    }

    /// As [`Deciding::note`], of what comes again and again: less and less often.
    fn note_repeated(&mut self, what: What, place: usize, reason: Option<String>) {
        const ALL_UP_TO: u32 = 8;
        let attempts = self.look(place).map_or(0, |(_, row)| row.attempts);
        if attempts <= ALL_UP_TO || attempts.is_power_of_two() {
            self.note(what, Some(place), reason);
        }
    }

    /// A step's present operation has its answer, or it needs none.
    fn settle(&mut self, place: usize, status: StepStatus) {
        self.change(place, |row| {
            row.status = status;
            (row.since_us, row.next_us) = (None, None);
            (row.tries, row.stuck, row.error) = (0, false, None);
        });
    }

    /// Begins an operation on a step: another one than the present.
    fn begin(&mut self, place: usize, status: StepStatus) {
        let now_us = self.at.now_us;
        self.change(place, |row| {
            if row.status == StepStatus::Completing {
                // What somebody would have had it answer was not answered.
                row.reply = None;
            }
            row.status = status;
            row.since_us = Some(now_us);
            (row.tries, row.stuck, row.error) = (0, false, None);
        });
        self.send(place, What::Sent);
    }

    /// Sends the command of a step's present operation, for the first time or again.
    fn send(&mut self, place: usize, what: fn(Op) -> What) {
        let Some((step, row)) = self.look(place) else {
            return;
        };
        let Some(op) = row.status.op() else {
            return;
        };
        if row.by_hand {
            self.ask_for_help(
                place,
                "it was done by hand: undo it by hand and mark it compensated",
            );
            return;
        }
        let attempt = row.attempts + 1;
        let command = Command {
            saga: self.saga.id.clone(),
            step: step.id.clone(),
            op,
            attempt,
            kind: step.kind,
            participant: step.participant.clone(),
            type_name: match op {
                Op::Compensate => step.undo.clone().unwrap_or_default(),
                Op::Action | Op::Fence => step.action.clone(),
            },
            input: step.input.resolve(&self.saga.scope(self.plan)),
            reply: row.reply.clone().filter(|_| op == Op::Compensate),
            expires_us: self.at.now_us.saturating_add(COMMAND_LIFE_US),
        };
        let pause_ms =
            step.retry.answer_ms + step.retry.pause_ms(row.tries + 1, self.chance(place));
        let next_us = self.no_later(place, later(self.at.now_us, pause_ms));
        self.commands.push(command);
        self.change(place, |row| {
            row.attempts = attempt;
            row.tries += 1;
            row.next_us = Some(next_us);
        });
        match what(op) {
            first @ What::Sent(_) => self.note(first, Some(place), None),
            again => self.note_repeated(again, place, None),
        }
    }

    /// When a step's present operation is given up; `None`: not by time.
    fn given_up_us(&self, place: usize) -> Option<i64> {
        let (step, row) = self.look(place)?;
        let may_be = row.status == StepStatus::Sent && step.kind != StepKind::Retriable;
        Some(later(row.since_us?, step.timeout_ms.filter(|_| may_be)?))
    }

    /// When a step's present operation needs help; `None`: it is told to already, or ends by a time.
    fn patience_us(&self, place: usize) -> Option<i64> {
        let (step, row) = self.look(place)?;
        let may_be_given_up = row.status == StepStatus::Sent && step.kind != StepKind::Retriable;
        let has_end = step.timeout_ms.is_some() || self.saga.deadline_us.is_some();
        if row.stuck || (may_be_given_up && has_end) {
            return None;
        }
        Some(later(row.since_us?, self.plan.definition().patience_ms))
    }

    fn no_later(&self, place: usize, next_us: i64) -> i64 {
        let bounds = self.given_up_us(place).or_else(|| self.patience_us(place));
        // A bound that has passed is looked at already.
        bounds
            .filter(|at| *at > self.at.now_us)
            .map_or(next_us, |at| next_us.min(at))
    }

    /// A step goes no further without help. It is tried on, slowly.
    fn ask_for_help(&mut self, place: usize, why: &str) {
        let Some((step, row)) = self.look(place) else {
            return;
        };
        let (was_stuck, next_us) = (row.stuck, later(self.at.now_us, step.retry.cap_ms));
        self.change(place, |row| {
            row.stuck = true;
            row.error = Some(why.to_owned());
            row.next_us = Some(next_us);
        });
        if !was_stuck {
            self.note(What::Stuck, Some(place), Some(why.to_owned()));
        }
    }

    /// A number in 0..1, the same for the same seed, step and try.
    fn chance(&self, place: usize) -> f64 {
        let tries = self.look(place).map_or(0, |(_, row)| row.tries);
        let mixed = [place as u64, u64::from(tries)]
            .iter()
            .fold(self.at.seed, |state, part| {
                // SplitMix64.
                let mut word = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
                word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                word ^ (word >> 31)
            });
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn later(from_us: i64, ms: u64) -> i64 {
    let us = i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000);
    from_us.saturating_add(us)
}

#[cfg(test)]
mod tests;
