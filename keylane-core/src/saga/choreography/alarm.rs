//! Where a choreographed saga stands, and what is wrong with it: both follow from what was heard, what is expected, and the time.

use std::collections::BTreeSet;

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

/// How long something may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From what sets a step going until it has ended.
    pub step_ms: u64,
    /// From a failure until a step that was done is undone.
    pub undo_ms: u64,
    /// Between two events of a saga of which it is not known when it has ended.
    pub silence_ms: u64,
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
    /// A step was undone of which nobody said that it was done.
    UndoneWithoutDone {
        /// The step.
        step: String,
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

impl Track {
    /// What users are told. [`State::Stuck`] where an alarm says that it does not get on.
    pub fn state(&self, expected: Expected<'_>, patience: Patience, now_us: i64) -> State {
        let hinders = |alarm: &Alarm| matches!(alarm, Alarm::Late { .. } | Alarm::NotUndone { .. });
        if self.alarms(expected, patience, now_us).iter().any(hinders) {
            return State::Stuck;
        }
        self.heading(expected)
    }

    /// As [`Track::state`], without a look at the clock.
    fn heading(&self, expected: Expected<'_>) -> State {
        let steps = self.expected(expected);
        let all = |holds: fn(&StepTrack) -> bool| {
            let nothing = StepTrack::default();
            steps
                .iter()
                .all(|id| holds(self.steps.get(*id).unwrap_or(&nothing)))
        };
        let is_any_done = self.steps.values().any(|step| step.is(Said::Done));
        match self.goes_back_us() {
            Some(_) if all(StepTrack::is_back) => State::Compensated,
            Some(_) => State::Compensating,
            None if is_any_done && self.is_end_known(expected) && all(|it| it.is(Said::Done)) => {
                State::Completed
            }
            None => State::Running,
        }
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
                let heard_us = consumes.filter_map(|it| self.types.get(it)).min();
                heard_us.copied().or(announced_us)
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
        let nothing = StepTrack::default();
        let is_over = |since_us: i64, ms: u64| {
            since_us.saturating_add_unsigned(ms.saturating_mul(1000)) <= now_us
        };
        for id in self.expected(expected) {
            let step = self.steps.get(id).unwrap_or(&nothing);
            match (self.goes_back_us(), self.expected_us(id, expected)) {
                (Some(since_us), _)
                    if step.is(Said::Done)
                        && !step.is_back()
                        && is_over(since_us, patience.undo_ms) =>
                {
                    let step = id.to_owned();
                    alarms.push(Alarm::NotUndone { step, since_us });
                }
                (_, Some(since_us))
                    if step.said.is_empty() && is_over(since_us, patience.step_ms) =>
                {
                    let step = id.to_owned();
                    alarms.push(Alarm::Late { step, since_us });
                }
                _ => {}
            }
        }
        let is_open = self.heading(expected) == State::Running && !self.is_end_known(expected);
        match self.last_us {
            Some(since_us) if is_open && is_over(since_us, patience.silence_ms) => {
                alarms.push(Alarm::Silent { since_us });
            }
            _ => {}
        }
        alarms.sort();
        alarms
    }
}

fn contradictions((id, step): (&String, &StepTrack)) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let id = || id.clone();
    if step.is(Said::Undone) && !step.is(Said::Done) {
        alarms.push(Alarm::UndoneWithoutDone { step: id() });
    }
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
