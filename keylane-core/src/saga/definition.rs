//! What a saga is made of: immutable data that a parser fills, told apart by name, version and hash.
//!
//! A definition may say anything; only what [`check`](super::check()) has turned into a [`Plan`](super::Plan) can be driven.

use std::fmt;

use serde_json::{Map, Value, json};

use super::condition::Condition;
use super::template::Template;
use crate::model::fingerprint;

mod builder;

/// A saga's definition. Running sagas keep the version that they began with.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Its version, from 1.
    pub version: u32,
    /// How long after its start a saga that is not committed yet is rolled back.
    pub deadline_ms: Option<u64>,
    /// How long what may not be given up (an undo, a fence, a retriable action) goes unanswered before the saga is told as stuck. It is tried on.
    pub patience_ms: u64,
    /// The steps, in the order in which they are written.
    pub steps: Vec<Step>,
}

/// A step: one action of one participant, and how it is undone.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name within the saga.
    pub id: String,
    /// What may become of it.
    pub kind: StepKind,
    /// Who does it.
    pub participant: Participant,
    /// The type of the command that does it.
    pub action: String,
    /// The type of the command that undoes it.
    pub undo: Option<String>,
    /// The steps that must have ended before it; `None`: the step that is written before it.
    pub after: Option<Vec<String>>,
    /// What its commands carry.
    pub input: Template,
    /// It is passed over where this does not hold.
    pub condition: Option<Condition>,
    /// How its commands are repeated.
    pub retry: Retry,
    /// How long after its first command an action without a verdict is given up. A retriable action is never given up.
    pub timeout_ms: Option<u64>,
}

/// What may become of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StepKind {
    /// Can be undone.
    Compensatable,
    /// Decides: before it the saga goes back where it must, after it only forward.
    Pivot,
    /// Succeeds in the end, however often it takes.
    Retriable,
}

impl StepKind {
    /// Every kind.
    pub const ALL: [StepKind; 3] = [
        StepKind::Compensatable,
        StepKind::Pivot,
        StepKind::Retriable,
    ];

    /// Its name in definitions, messages and tables.
    pub fn code(self) -> &'static str {
        match self {
            StepKind::Compensatable => "compensatable",
            StepKind::Pivot => "pivot",
            StepKind::Retriable => "retriable",
        }
    }

    /// The kind of a name.
    pub fn named(code: &str) -> Option<StepKind> {
        StepKind::ALL.into_iter().find(|it| it.code() == code)
    }
}

/// Who carries a step's commands out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Participant {
    /// Whoever reads this topic.
    Kafka {
        /// The topic of its commands.
        topic: String,
    },
    /// Whoever answers at this address.
    Http {
        /// The address.
        url: String,
    },
    /// One that the configuration says the address of.
    Named(String),
}

impl Participant {
    /// What it is called: the topic, the address or the name.
    pub fn name(&self) -> &str {
        match self {
            Participant::Kafka { topic } => topic,
            Participant::Http { url } => url,
            Participant::Named(name) => name,
        }
    }
}

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How commands are repeated: the pauses grow by `factor` from `first_ms` to `cap_ms`, each shortened by chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// How long an attempt waits for its answer.
    pub answer_ms: u64,
    /// The first pause.
    pub first_ms: u64,
    /// What each pause is multiplied by for the next one.
    pub factor: f64,
    /// The longest pause.
    pub cap_ms: u64,
    /// The share of a pause that chance may take off it, 0 to 1.
    pub jitter: f64,
    /// The number of attempts after which an action without a verdict is given up; `None`: no number.
    pub attempts_max: Option<u32>,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            answer_ms: 10_000,
            first_ms: 200,
            factor: 2.0,
            cap_ms: 30_000,
            jitter: 0.2,
            attempts_max: None,
        }
    }
}

impl Retry {
    /// The pause after so many attempts (from 1); `chance` is in 0..1.
    pub fn pause_ms(&self, tries: u32, chance: f64) -> u64 {
        let growth = self
            .factor
            .powi(i32::try_from(tries).unwrap_or(i32::MAX) - 1);
        // The cap holds also where the power is infinite or not a number.
        let pause = (self.first_ms as f64 * growth).min(self.cap_ms as f64);
        let shortened = pause * (1.0 - self.jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0));
        shortened as u64
    }
}

impl Definition {
    /// Ten minutes.
    pub const PATIENCE_MS: u64 = 600_000;

    /// The canonical form: what equal definitions share to the byte, and what a parser reads back as this definition.
    pub fn to_json(&self) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(Step::to_json).collect();
        let mut form = json!({
            "saga": self.name,
            "version": self.version,
            "patience_ms": self.patience_ms,
            "steps": steps,
        });
        if let (Some(form), Some(deadline_ms)) = (form.as_object_mut(), self.deadline_ms) {
            form.insert("deadline_ms".into(), deadline_ms.into());
        }
        form
    }

    /// The hash of the canonical form, the same in every version of Keylane and on every machine.
    pub fn hash(&self) -> u64 {
        fingerprint(&self.to_json().to_string())
    }
}

impl Step {
    fn to_json(&self) -> Value {
        let mut form = Map::new();
        let mut put = |name: &str, value: Value| form.insert(name.to_owned(), value);
        put("id", self.id.clone().into());
        put("kind", self.kind.code().into());
        match &self.participant {
            Participant::Kafka { topic } => put("kafka", topic.clone().into()),
            Participant::Http { url } => put("http", url.clone().into()),
            Participant::Named(name) => put("participant", name.clone().into()),
        };
        put("action", self.action.clone().into());
        put("input", self.input.to_json());
        put("retry", self.retry.to_json());
        if let Some(undo) = &self.undo {
            put("undo", undo.clone().into());
        }
        if let Some(after) = &self.after {
            put("after", after.clone().into());
        }
        if let Some(condition) = &self.condition {
            put("if", condition.to_string().into());
        }
        if let Some(timeout_ms) = self.timeout_ms {
            put("timeout_ms", timeout_ms.into());
        }
        Value::Object(form)
    }
}

impl Retry {
    fn to_json(self) -> Value {
        json!({
            "answer_ms": self.answer_ms,
            "first_ms": self.first_ms,
            "factor": self.factor,
            "cap_ms": self.cap_ms,
            "jitter": self.jitter,
            "attempts_max": self.attempts_max,
        })
    }
}

#[cfg(test)]
mod tests;
