//! What orchestrator and participants say to each other.

use serde_json::Value;

use super::definition::{Participant, StepKind};

/// What a participant is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// Do it.
    Action,
    /// Undo it; if it was not done, see to it that it never will be.
    Compensate,
    /// Say whether it was done; if not, see to it that it never will be.
    Fence,
}

impl Op {
    /// Every operation.
    pub const ALL: [Op; 3] = [Op::Action, Op::Compensate, Op::Fence];

    /// Its name in messages.
    pub fn code(self) -> &'static str {
        match self {
            Op::Action => "action",
            Op::Compensate => "compensate",
            Op::Fence => "fence",
        }
    }
}

/// A command. It goes out only together with the rows that it was decided from.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The saga.
    pub saga: String,
    /// The step.
    pub step: String,
    /// What is asked for.
    pub op: Op,
    /// The how many-th command to this step it is, from 1: for logs, never for telling repeats.
    pub attempt: u32,
    /// What may become of the step: a retriable one stores no refusal.
    pub kind: StepKind,
    /// Who is asked.
    pub participant: Participant,
    /// The command's type; the fence of a step has its action's.
    pub type_name: String,
    /// What the step's action is about.
    pub input: Value,
    /// What the step's action answered, where it is known.
    pub reply: Option<Value>,
    /// After this a participant refuses it, microseconds since 1970.
    pub expires_us: i64,
}

impl Command {
    /// Its id: the same for every attempt at one operation of one step of one saga.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.saga, self.step, self.op.code())
    }
}

/// A participant's answer to a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The step that it names.
    pub step: String,
    /// The operation that it names.
    pub op: Op,
    /// What it says.
    pub outcome: Outcome,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done, or undone.
    Ok(Value),
    /// Business says no. Of an action that is not retriable this is for ever.
    Rejected(String),
    /// To an action or a fence: it was not done and never will be.
    Fenced,
    /// To a fence: it was done, and this was answered then.
    Done(Value),
    /// To an undo: there was nothing to undo and never will be.
    Noop,
    /// It is being worked on.
    Working,
    /// No answer that says anything: a failure on the way, an error, or what cannot be read.
    Unclear(String),
}

impl Outcome {
    /// Its name in messages.
    pub fn code(&self) -> &'static str {
        match self {
            Outcome::Ok(_) => "ok",
            Outcome::Rejected(_) => "failed",
            Outcome::Fenced => "fenced",
            Outcome::Done(_) => "done",
            Outcome::Noop => "noop",
            Outcome::Working => "working",
            Outcome::Unclear(_) => "retry",
        }
    }
}
