//! Where a choreographed saga stands, and what is wrong with it: both follow from what was heard, what is expected, and the time.

use std::collections::BTreeSet;
use std::fmt;

use super::{Choreography, Said, StepTrack, Track};
use crate::saga::state::State;

/// How it is known which steps a saga must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// By a registered definition: each step one of whose events was heard.
    ByDefinition(&'a Choreography),
    /// By what events announce. As long as one does not say what comes next, it is not known when the saga has ended.
    ByAnnouncement,
}

/// How long something may take, in milliseconds. Ten minutes each, and a day of silence, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From what sets a step going until it has ended.
    pub step_ms: u64,
    /// From a failure until a step that was done is undone.
    pub undo_ms: u64,
    /// Between two events of a saga of which it is not known when it has ended.
    pub silence_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            step_ms: 600_000,
            undo_ms: 600_000,
            silence_ms: 86_400_000,
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// A step was set going and has not ended in time.
    Late {
        /// The step.
        step: String,
        /// Since when it is expected.
        since_us: i64,
    },
    /// The saga goes back, and a step that was done is not undone in time.
    NotUndone {
        /// The step.
        step: String,
        /// Since when the saga goes back.
        since_us: i64,
    },
    /// A step has ended, and what set it going was not heard: its topic is not read, or has lost it.
    CauseUnheard {
        /// The step.
        step: String,
        /// When the step ended.
        since_us: i64,
    },
    /// Events of it were heard, and none that begins such a saga.
    BeginningUnheard {
        /// When the first event was made that was heard.
        since_us: i64,
    },
    /// A step was undone of which nobody said that it was done.
    UndoneWithoutDone {
        /// The step.
        step: String,
        /// When it was undone.
        since_us: i64,
    },
    /// A step is said to be done and also never to have been: its participant does not keep its first verdict.
    TwoVerdicts {
        /// The step.
        step: String,
    },
    /// Two services speak of one step.
    TwoServices {
        /// The step.
        step: String,
        /// The services.
        services: Vec<String>,
    },
    /// A step that the definition does not know.
    UnknownStep {
        /// The step.
        step: String,
    },
    /// Nothing was heard for a long time, and it is not known whether the saga has ended.
    Silent {
        /// Since when.
        since_us: i64,
    },
}

impl Alarm {
    /// Its name in messages.
    pub fn code(&self) -> &'static str {
        match self {
            Alarm::Late { .. } => "late",
            Alarm::NotUndone { .. } => "not_undone",
            Alarm::CauseUnheard { .. } => "cause_unheard",
            Alarm::BeginningUnheard { .. } => "beginning_unheard",
            Alarm::UndoneWithoutDone { .. } => "undone_without_done",
            Alarm::TwoVerdicts { .. } => "two_verdicts",
            Alarm::TwoServices { .. } => "two_services",
            Alarm::UnknownStep { .. } => "unknown_step",
            Alarm::Silent { .. } => "silent",
        }
    }

    /// The step that it is about.
    pub fn step(&self) -> Option<&str> {
        match self {
            Alarm::Late { step, .. }
            | Alarm::NotUndone { step, .. }
            | Alarm::CauseUnheard { step, .. }
            | Alarm::UndoneWithoutDone { step, .. }
            | Alarm::TwoVerdicts { step }
            | Alarm::TwoServices { step, .. }
            | Alarm::UnknownStep { step } => Some(step),
            Alarm::BeginningUnheard { .. } | Alarm::Silent { .. } => None,
        }
    }

    /// Since when, where it came with time.
    pub fn since_us(&self) -> Option<i64> {
        match self {
            Alarm::Late { since_us, .. }
            | Alarm::NotUndone { since_us, .. }
            | Alarm::CauseUnheard { since_us, .. }
            | Alarm::BeginningUnheard { since_us }
            | Alarm::UndoneWithoutDone { since_us, .. }
            | Alarm::Silent { since_us } => Some(*since_us),
            Alarm::TwoVerdicts { .. } | Alarm::TwoServices { .. } | Alarm::UnknownStep { .. } => {
                None
            }
        }
    }

    /// Whether the saga does not get on because of it.
    pub fn hinders(&self) -> bool {
        match self {
            Alarm::Late { .. }
            | Alarm::NotUndone { .. }
            | Alarm::CauseUnheard { .. }
            | Alarm::BeginningUnheard { .. }
            | Alarm::UndoneWithoutDone { .. } => true,
            Alarm::TwoVerdicts { .. }
            | Alarm::TwoServices { .. }
            | Alarm::UnknownStep { .. }
            | Alarm::Silent { .. } => false,
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alarm::Late { step, .. } => write!(f, "{step} was set going and has not ended in time"),
            Alarm::NotUndone { step, .. } => write!(f, "{step} is done and was not undone in time"),
            Alarm::CauseUnheard { step, .. } => write!(
                f,
                "{step} has ended, and what set it going was not heard: its topic is not read, or no longer has it"
            ),
            Alarm::BeginningUnheard { .. } => f.write_str(
                "what began it was not heard: its topic is not read, or no longer has it",
            ),
            Alarm::UndoneWithoutDone { step, .. } => {
                write!(f, "{step} was undone, and nobody said that it was done")
            }
            Alarm::TwoVerdicts { step } => write!(
                f,
                "{step} is said to be done and never to have been: its service does not keep its first verdict"
            ),
            Alarm::TwoServices { step, services } => {
                write!(f, "{step} is told of by {}", services.join(" and "))
            }
            Alarm::UnknownStep { step } => write!(f, "{step} is no step of the choreography"),
            Alarm::Silent { .. } => {
                f.write_str("nothing was heard for long, and it is not known whether it has ended")
            }
        }
    }
}

impl Track {
    /// What users are told. [`State::Stuck`] where an alarm says that it does not get on.
    pub fn state(&self, expected: Expected<'_>, patience: Patience, now_us: i64) -> State {
        match self.stuck(expected, patience) {
            Some((due_us, _)) if due_us <= now_us => State::Stuck,
            _ => self.heading(expected),
        }
    }

    /// As [`Track::state`], without a look at the clock.
    pub(super) fn heading(&self, expected: Expected<'_>) -> State {
        let is_any_done = self.steps.values().any(|step| step.is(Said::Done));
        // What was not heard yet may have come before what was, and may have set more going.
        let has_ended = self.unheard(expected).is_empty() && self.waits(expected).is_empty();
        match self.goes_back_us() {
            Some(_) if has_ended => State::Compensated,
            Some(_) => State::Compensating,
            None if has_ended && is_any_done && self.is_end_known(expected) => State::Completed,
            None => State::Running,
        }
    }

    /// The steps that it waits for: forward until they are done, back until nothing is left of them.
    pub fn waits(&self, expected: Expected<'_>) -> Vec<String> {
        let has_ended: fn(&StepTrack) -> bool = match self.goes_back_us() {
            Some(_) => StepTrack::is_back,
            None => |step| step.is(Said::Done),
        };
        let nothing = StepTrack::default();
        let waits = |id: &&str| !has_ended(self.steps.get(*id).unwrap_or(&nothing));
        let waits = self.expected(expected).into_iter().filter(waits);
        waits.map(str::to_owned).collect()
    }

    /// The steps that must end: all that were heard of, and all that were set going.
    fn expected<'a>(&'a self, expected: Expected<'a>) -> BTreeSet<&'a str> {
        let heard_of = self.steps.keys().map(String::as_str);
        let set_going = match expected {
            Expected::ByAnnouncement => Vec::new(),
            Expected::ByDefinition(choreography) => choreography
                .steps
                .iter()
                .filter(|step| step.consumes.iter().any(|it| self.types.contains_key(it)))
                .map(|step| step.id.as_str())
                .collect(),
        };
        heard_of.chain(set_going).collect()
    }

    /// What must have been told before what was heard, and was not heard itself. What somebody says by hand needs no cause, nor does a step of which somebody says so.
    fn unheard(&self, expected: Expected<'_>) -> Vec<Alarm> {
        let of_services = self.steps.iter().filter(|(_, track)| !track.by_hand);
        let undone = of_services.filter(|(_, track)| !track.is(Said::Done));
        let undone = undone.filter_map(|(id, track)| {
            let since_us = *track.said.get(&Said::Undone)?;
            let step = id.clone();
            Some(Alarm::UndoneWithoutDone { step, since_us })
        });
        let mut unheard: Vec<Alarm> = undone.collect();
        let Expected::ByDefinition(choreography) = expected else {
            return unheard;
        };
        let is_heard = |types: &[String]| types.iter().any(|it| self.types.contains_key(it));
        for step in &choreography.steps {
            let track = self.steps.get(&step.id).filter(|track| !track.by_hand);
            let ended = [Said::Done, Said::Failed].into_iter();
            let ended_us = track.and_then(|it| ended.filter_map(|said| it.said.get(&said)).min());
            if let Some(since_us) = ended_us.filter(|_| !is_heard(&step.consumes)) {
                unheard.push(Alarm::CauseUnheard {
                    step: step.id.clone(),
                    since_us: *since_us,
                });
            }
        }
        let needs_beginning = !choreography.begins.is_empty()
            && unheard.is_empty()
            && !self.steps.values().any(|track| track.by_hand);
        if needs_beginning && !is_heard(&choreography.begins) {
            let since_us = self.first_us.unwrap_or_default();
            unheard.push(Alarm::BeginningUnheard { since_us });
        }
        unheard
    }

    /// The steps before which something must have been told that was not heard.
    pub(super) fn unheard_before(&self, expected: Expected<'_>) -> Vec<String> {
        let unheard = self.unheard(expected).into_iter();
        let steps = unheard.filter_map(|alarm| alarm.step().map(str::to_owned));
        steps.collect()
    }

    fn is_end_known(&self, expected: Expected<'_>) -> bool {
        match expected {
            Expected::ByDefinition(_) => true,
            Expected::ByAnnouncement => !self.steps.values().any(|step| step.leaves_open),
        }
    }

    /// Since when a step is expected: the first event that set it going.
    fn expected_us(&self, id: &str, expected: Expected<'_>) -> Option<i64> {
        let announced_us = self.steps.get(id).and_then(|step| step.announced_us);
        match expected {
            Expected::ByAnnouncement => announced_us,
            Expected::ByDefinition(choreography) => {
                let step = choreography.steps.iter().find(|step| step.id == id);
                let consumes = step.into_iter().flat_map(|step| &step.consumes);
                let heard = consumes.filter_map(|it| self.types.get(it));
                let heard_us = heard.map(|it| it.first_us).min();
                heard_us.or(announced_us)
            }
        }
    }

    /// Everything that is wrong at this time.
    pub fn alarms(&self, expected: Expected<'_>, patience: Patience, now_us: i64) -> Vec<Alarm> {
        let mut alarms: Vec<Alarm> = self.steps.iter().flat_map(contradictions).collect();
        if let Expected::ByDefinition(choreography) = expected {
            let is_known = |id: &String| choreography.steps.iter().any(|step| step.id == *id);
            let unknown = self.steps.keys().filter(|id| !is_known(id));
            alarms.extend(unknown.map(|id| Alarm::UnknownStep { step: id.clone() }));
        }
        let due = self.threatens(expected, patience).into_iter();
        alarms.extend(
            due.filter(|(due_us, _)| *due_us <= now_us)
                .map(|(_, it)| it),
        );
        alarms.sort();
        alarms
    }

    /// By when something is expected of a step, if there is a time.
    pub(super) fn due_us(
        &self,
        id: &str,
        expected: Expected<'_>,
        patience: Patience,
    ) -> Option<i64> {
        let threat = self.threatens_step(id, expected, patience);
        threat.map(|(due_us, _)| due_us)
    }

    fn threatens_step(
        &self,
        id: &str,
        expected: Expected<'_>,
        patience: Patience,
    ) -> Option<(i64, Alarm)> {
        let nothing = StepTrack::default();
        let track = self.steps.get(id).unwrap_or(&nothing);
        let step = id.to_owned();
        match (self.goes_back_us(), self.expected_us(id, expected)) {
            (Some(since_us), _) if track.is(Said::Done) && !track.is_back() => {
                let due_us = after(since_us, patience.undo_ms);
                Some((due_us, Alarm::NotUndone { step, since_us }))
            }
            (back_us, Some(since_us)) if track.said.is_empty() => {
                let due_us = after(since_us, patience.step_ms);
                // Who is told to go back has as long as the others.
                let undo_us = back_us.map(|back_us| after(back_us, patience.undo_ms));
                let due_us = undo_us.map_or(due_us, |undo_us| undo_us.max(due_us));
                Some((due_us, Alarm::Late { step, since_us }))
            }
            _ => None,
        }
    }

    /// When it is stuck first if nothing more is heard, and why.
    pub fn stuck(&self, expected: Expected<'_>, patience: Patience) -> Option<(i64, Alarm)> {
        let due = self.threatens(expected, patience).into_iter();
        due.filter(|(_, alarm)| alarm.hinders()).min()
    }

    /// What is wrong from which time on, if nothing more is heard.
    fn threatens(&self, expected: Expected<'_>, patience: Patience) -> Vec<(i64, Alarm)> {
        let expected_steps = self.expected(expected);
        let steps = expected_steps.iter();
        let mut due: Vec<(i64, Alarm)> = steps
            .filter_map(|id| self.threatens_step(id, expected, patience))
            .collect();
        due.extend(self.unheard(expected).into_iter().map(|alarm| {
            let since_us = alarm.since_us().unwrap_or_default();
            (after(since_us, patience.step_ms), alarm)
        }));
        let is_open = self.heading(expected) == State::Running && !self.is_end_known(expected);
        if let Some(since_us) = self.last_us.filter(|_| is_open) {
            let due_us = after(since_us, patience.silence_ms);
            due.push((due_us, Alarm::Silent { since_us }));
        }
        due
    }
}

fn after(since_us: i64, ms: u64) -> i64 {
    since_us.saturating_add_unsigned(ms.saturating_mul(1000))
}

fn contradictions((id, step): (&String, &StepTrack)) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let id = || id.clone();
    if step.is(Said::Done) && (step.is(Said::Failed) || step.is(Said::Fenced)) {
        alarms.push(Alarm::TwoVerdicts { step: id() });
    }
    if step.services.len() > 1 {
        let services = step.services.iter().cloned().collect();
        alarms.push(Alarm::TwoServices {
            step: id(),
            services,
        });
    }
    alarms
}
