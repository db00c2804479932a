//! What orchestrator and participants say to each other.

use serde_json::Value;

use super::definition::{Participant, StepKind};
use super::limits::REASON_CHARACTERS_MAX;

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

    /// The operation of a name.
    pub fn named(code: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|it| it.code() == code)
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

    /// The answer of a name with what it carries. A name that means nothing is [`Outcome::Unclear`]; so no answer is lost, and none is guessed.
    pub fn named(code: &str, body: Value) -> Outcome {
        match code {
            "ok" => Outcome::Ok(body),
            "failed" => Outcome::Rejected(told(body)),
            "fenced" => Outcome::Fenced,
            "done" => Outcome::Done(body),
            "noop" => Outcome::Noop,
            "working" => Outcome::Working,
            "retry" => Outcome::Unclear(told(body)),
            _ => Outcome::Unclear(format!("{:?} is no outcome", shortened(code))),
        }
    }
}

/// What a body says, as a text that fits a column.
fn told(body: Value) -> String {
    match body {
        Value::String(text) => shortened(&text),
        Value::Null => String::new(),
        other => shortened(&other.to_string()),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(REASON_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_answer_is_read_back_from_its_name_and_what_it_carries() {
        for (outcome, body) in [
            (Outcome::Ok(json!({"a": 1})), json!({"a": 1})),
            (Outcome::Rejected("sold out".into()), json!("sold out")),
            (Outcome::Rejected("{\"left\":0}".into()), json!({"left": 0})),
            (Outcome::Fenced, json!(null)),
            (Outcome::Done(json!(5)), json!(5)),
            (Outcome::Noop, json!(null)),
            (Outcome::Working, json!(null)),
            (Outcome::Unclear("503".into()), json!("503")),
        ] {
            assert_eq!(Outcome::named(outcome.code(), body), outcome);
        }
    }

    #[test]
    fn what_means_nothing_is_unclear_and_short() {
        let garbage = Outcome::named(&"<".repeat(1_000_000), json!("ok"));
        assert!(matches!(garbage, Outcome::Unclear(why) if why.len() < 1_000));
        let huge = Outcome::named("failed", json!("x".repeat(1_000_000)));
        assert!(matches!(huge, Outcome::Rejected(why) if why.len() == REASON_CHARACTERS_MAX));
    }
}
