//! Choreographed sagas: nobody drives them, so where they stand is put together from what is heard.
//!
//! What is known of a saga ([`Track`]) is a join of all events that were heard: for each step and each thing that may be said of it, when it was said first. Joining is the same in any
//! order and with any repetition, so that a tracker that starts anew over the topics knows, to the byte, what it knew. All that grows is bounded in a way that keeps this: of too many
//! names the first in their order stay.
//!
//! A participant answers a failure anywhere in its saga, and an abort, as it answers the command to undo its step ([`reaction`]): by its barrier, so that whatever the order of failures
//! each step is undone at most once, and one that has not run yet never will.

use std::collections::{BTreeMap, BTreeSet};

use super::limits::STEPS_MAX;
use super::message::{Op, Outcome};

mod alarm;
pub use alarm::{Alarm, Expected, Patience};

mod check;
pub use check::{ChoreographyFinding, ChoreographyRule, check_choreography};

mod heard;
pub use heard::{HeardError, heard_of};

mod known;
pub use known::{Choreographies, Standing, TrackRow};

mod signal;
pub use signal::{Signal, SignalKind};

mod operate;
pub use operate::{Answer, Request, operate};

mod timeline;

mod port;
pub use port::{NotedSignal, TrackStore, Tracked};

/// The most event types that are kept of a saga.
const TYPES_MAX: usize = 256;
/// The most services that are kept of a step.
const SERVICES_MAX: usize = 4;

/// What an event says of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Said {
    /// It is done.
    Done,
    /// It is not done and never will be: business said no.
    Failed,
    /// It was undone.
    Undone,
    /// It was not done and never will be: it was kept from running.
    Fenced,
}

impl Said {
    /// Everything that may be said.
    pub const ALL: [Said; 4] = [Said::Done, Said::Failed, Said::Undone, Said::Fenced];

    /// Its name in messages.
    pub fn code(self) -> &'static str {
        match self {
            Said::Done => "done",
            Said::Failed => "failed",
            Said::Undone => "compensated",
            Said::Fenced => "fenced",
        }
    }

    /// What a name says.
    pub fn named(code: &str) -> Option<Said> {
        Said::ALL.into_iter().find(|it| it.code() == code)
    }
}

/// An event that belongs to a saga.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Its type.
    pub type_name: String,
    /// Which step it is about, and what it says of it; `None`: it began the saga, or is none of the steps'.
    pub step: Option<(String, Said)>,
    /// Who sent it.
    pub service: String,
    /// What it is about, in words of the business.
    pub subject: Option<String>,
    /// The steps that it is expected to set going, if it says so; empty: none.
    pub next: Option<Vec<String>>,
    /// It aborts the saga.
    pub aborts: bool,
    /// Somebody says so who is not the step's service.
    pub by_hand: bool,
    /// When it was made, by its own word, microseconds since 1970: a repeat has the same.
    pub at_us: i64,
}

/// What a registered choreography is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choreography {
    /// Its name.
    pub name: String,
    /// The topics of its events.
    pub topics: Vec<String>,
    /// The topic that an abort goes into; `None`: into each of its topics.
    pub signal: Option<String>,
    /// The types of events that begin it: no step tells them.
    pub begins: Vec<String>,
    /// Its steps.
    pub steps: Vec<ChoreographyStep>,
    /// How long what may take.
    pub patience: Patience,
}

impl Choreography {
    /// The topics that an abort goes into.
    pub fn signal_topics(&self) -> &[String] {
        self.signal
            .as_ref()
            .map_or(&self.topics, std::slice::from_ref)
    }
}

/// A step of a choreography.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChoreographyStep {
    /// Its name within the saga.
    pub id: String,
    /// The types of events any of which sets it going.
    pub consumes: Vec<String>,
    /// The types of events that it ends with.
    pub emits: Vec<String>,
}

/// What is known of a saga.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// The steps that were heard of.
    pub steps: BTreeMap<String, StepTrack>,
    /// The types of events that were heard.
    pub types: BTreeMap<String, TypeTrack>,
    /// What its first event that says so is about, and when that was made.
    pub subject: Option<(i64, String)>,
    /// When it was aborted first.
    pub aborted_us: Option<i64>,
    /// When its first event was made.
    pub first_us: Option<i64>,
    /// When its last event was made.
    pub last_us: Option<i64>,
}

/// What is known of the events of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeTrack {
    /// When the first was made.
    pub first_us: i64,
    /// One of them told of a step.
    pub of_step: bool,
}

/// What is known of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepTrack {
    /// What was said of it, and when first.
    pub said: BTreeMap<Said, i64>,
    /// When an event was first expected to set it going.
    pub announced_us: Option<i64>,
    /// It was said to be done by an event that does not say what comes next.
    pub leaves_open: bool,
    /// Who spoke of it.
    pub services: BTreeSet<String>,
    /// Somebody spoke of it who is not its service.
    pub by_hand: bool,
}

impl Track {
    /// Takes an event in. The order and the number of times do not matter.
    pub fn hear(&mut self, heard: &Heard) {
        let at_us = heard.at_us;
        sooner(&mut self.first_us, at_us);
        self.last_us = Some(self.last_us.map_or(at_us, |last| last.max(at_us)));
        if heard.aborts {
            sooner(&mut self.aborted_us, at_us);
        }
        let of_type = TypeTrack {
            first_us: at_us,
            of_step: heard.step.is_some(),
        };
        let known = self.types.entry(heard.type_name.clone()).or_insert(of_type);
        known.join(of_type);
        bound(&mut self.types, TYPES_MAX);
        let subject = heard.subject.iter().map(|it| (at_us, it.clone()));
        self.subject = self.subject.take().into_iter().chain(subject).min();
        if let Some((id, said)) = &heard.step {
            let step = self.steps.entry(id.clone()).or_default();
            let first = step.said.entry(*said).or_insert(at_us);
            *first = at_us.min(*first);
            step.leaves_open |= *said == Said::Done && heard.next.is_none();
            step.by_hand |= heard.by_hand;
            if !heard.by_hand {
                step.services.insert(heard.service.clone());
            }
            if step.services.len() > SERVICES_MAX {
                step.services.pop_last();
            }
            bound(&mut self.steps, STEPS_MAX);
        }
        for next in heard.next.iter().flatten() {
            let step = self.steps.entry(next.clone()).or_default();
            sooner(&mut step.announced_us, at_us);
            bound(&mut self.steps, STEPS_MAX);
        }
    }

    /// Puts together what was heard in two places.
    pub fn join(&mut self, other: &Track) {
        for (id, theirs) in &other.steps {
            self.steps.entry(id.clone()).or_default().join(theirs);
        }
        bound(&mut self.steps, STEPS_MAX);
        for (name, of_type) in &other.types {
            let known = self.types.entry(name.clone()).or_insert(*of_type);
            known.join(*of_type);
        }
        bound(&mut self.types, TYPES_MAX);
        let subjects = self.subject.take().into_iter();
        self.subject = subjects.chain(other.subject.clone()).min();
        for (mine, theirs) in [
            (&mut self.aborted_us, other.aborted_us),
            (&mut self.first_us, other.first_us),
        ] {
            if let Some(at_us) = theirs {
                sooner(mine, at_us);
            }
        }
        self.last_us = self.last_us.max(other.last_us);
    }

    /// Since when it goes back, if it does.
    pub fn goes_back_us(&self) -> Option<i64> {
        let failed = self
            .steps
            .values()
            .filter_map(|step| step.said.get(&Said::Failed));
        failed.copied().chain(self.aborted_us).min()
    }
}

impl TypeTrack {
    fn join(&mut self, other: TypeTrack) {
        self.first_us = self.first_us.min(other.first_us);
        self.of_step |= other.of_step;
    }
}

impl StepTrack {
    /// Whether this was said of it.
    pub fn is(&self, said: Said) -> bool {
        self.said.contains_key(&said)
    }

    /// Whether it has no effect and never will have.
    pub fn is_back(&self) -> bool {
        self.is(Said::Undone)
            || (!self.is(Said::Done) && (self.is(Said::Failed) || self.is(Said::Fenced)))
    }

    fn join(&mut self, other: &StepTrack) {
        for (said, at_us) in &other.said {
            let first = self.said.entry(*said).or_insert(*at_us);
            *first = (*at_us).min(*first);
        }
        if let Some(at_us) = other.announced_us {
            sooner(&mut self.announced_us, at_us);
        }
        self.leaves_open |= other.leaves_open;
        self.by_hand |= other.by_hand;
        self.services.extend(other.services.iter().cloned());
        while self.services.len() > SERVICES_MAX {
            self.services.pop_last();
        }
    }
}

fn sooner(first: &mut Option<i64>, at_us: i64) {
    *first = Some(first.map_or(at_us, |first| first.min(at_us)));
}

fn bound<T>(map: &mut BTreeMap<String, T>, max: usize) {
    while map.len() > max {
        map.pop_last();
    }
}

/// How a participant takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its step.
    pub step: &'a str,
    /// The types of events any of which sets it going.
    pub consumes: &'a [String],
    /// Whether what it did can be undone.
    pub can_be_undone: bool,
}

/// What a participant does when it hears an event of its saga: the operation that it asks its own barrier for. A step that cannot be undone is only kept from running; where it was done, a
/// tracker tells that it was not undone.
pub fn reaction(part: Part<'_>, heard: &Heard) -> Option<Op> {
    let is_failure = |said: &(String, Said)| said.1 == Said::Failed && said.0 != part.step;
    if heard.aborts || heard.step.as_ref().is_some_and(is_failure) {
        return Some(match part.can_be_undone {
            true => Op::Compensate,
            false => Op::Fence,
        });
    }
    part.consumes
        .contains(&heard.type_name)
        .then_some(Op::Action)
}

/// What a participant tells the others once its transaction is committed, if that changed its rows.
pub fn told(op: Op, outcome: &Outcome) -> Option<Said> {
    match (op, outcome) {
        (Op::Action, Outcome::Ok(_)) => Some(Said::Done),
        (Op::Action, Outcome::Rejected(_)) => Some(Said::Failed),
        (Op::Compensate, Outcome::Ok(_)) => Some(Said::Undone),
        (Op::Compensate, Outcome::Noop) | (Op::Fence, Outcome::Fenced) => Some(Said::Fenced),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
