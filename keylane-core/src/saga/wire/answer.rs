//! An answer as it travels.

use serde_json::Value;

use super::attributes::Attributes;
use super::body;
use super::command::{CommandMessage, name, op, saga, traceparent};
use super::error::WireError;
use crate::saga::message::{Outcome, Reply};

/// An answer as it travels on its own: on a topic, or to a reply address.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerMessage {
    /// The saga's id; also the key of the record that carries it.
    pub saga: String,
    /// The answer.
    pub reply: Reply,
    /// Who answers.
    pub source: String,
    /// The answer's type.
    pub type_name: String,
    /// The id of the command that it answers.
    pub causation: Option<String>,
    /// The W3C trace context that it belongs to.
    pub traceparent: Option<String>,
}

impl AnswerMessage {
    /// The answer of `source` to a command.
    pub fn to(command: &CommandMessage, outcome: Outcome, source: &str) -> AnswerMessage {
        AnswerMessage {
            saga: command.saga.clone(),
            reply: Reply {
                step: command.step.clone(),
                op: command.op,
                outcome,
            },
            source: source.to_owned(),
            type_name: format!("{}.reply", command.type_name),
            causation: Some(command.id()),
            traceparent: command.traceparent.clone(),
        }
    }

    /// Its id: the same for every answer to one operation of one step of one saga.
    pub fn id(&self) -> String {
        let Reply { step, op, .. } = &self.reply;
        format!("{}/{step}/{}/r", self.saga, op.code())
    }

    /// Its attributes.
    pub fn attributes(&self) -> Attributes {
        let mut to = Attributes::new();
        to.set("id", self.id());
        to.set("type", self.type_name.as_str());
        to.set("source", self.source.as_str());
        to.set("correlationid", self.saga.as_str());
        to.set("partitionkey", self.saga.as_str());
        to.set("sagastep", self.reply.step.as_str());
        to.set("sagaop", self.reply.op.code());
        to.set("sagaoutcome", self.reply.outcome.code());
        if let Some(causation) = &self.causation {
            to.set("causationid", causation.as_str());
        }
        if let Some(traceparent) = &self.traceparent {
            to.set("traceparent", traceparent.as_str());
        }
        to
    }

    /// Its body: what is answered; of a refusal or a failure the reason; else null.
    pub fn body(&self) -> Value {
        body_of(&self.reply.outcome)
    }

    /// Reads an answer. One whose outcome or body means nothing is [`Outcome::Unclear`]: the saga that it names hears of it.
    ///
    /// # Errors
    /// [`WireError`], if it does not say which saga, step and operation it is about.
    pub fn read(attributes: &Attributes, body: &[u8]) -> Result<AnswerMessage, WireError> {
        let outcome = match (attributes.need("sagaoutcome"), body::read(attributes, body)) {
            (Ok(code), Ok(body)) => Outcome::named(code, body),
            (Err(why), _) | (_, Err(why)) => Outcome::Unclear(body::shortened(&why.to_string())),
        };
        let text = |name| attributes.get(name).map(str::to_owned);
        Ok(AnswerMessage {
            saga: saga(attributes)?,
            reply: Reply {
                step: name(attributes, "sagastep")?,
                op: op(attributes)?,
                outcome,
            },
            source: text("source").unwrap_or_default(),
            type_name: text("type").unwrap_or_default(),
            causation: text("causationid"),
            traceparent: traceparent(attributes),
        })
    }
}

/// What an outcome carries.
pub(super) fn body_of(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Ok(body) | Outcome::Done(body) => body.clone(),
        Outcome::Rejected(why) | Outcome::Unclear(why) => Value::String(why.clone()),
        Outcome::Fenced | Outcome::Noop | Outcome::Working => Value::Null,
    }
}
