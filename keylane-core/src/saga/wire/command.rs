//! A command as it travels.

use serde_json::{Map, Value};

use super::attributes::Attributes;
use super::error::WireError;
use super::{body, instant};
use crate::model::fingerprint;
use crate::saga::barrier::Asked;
use crate::saga::definition::StepKind;
use crate::saga::limits::{ADDRESS_BYTES_MAX, SAGA_ID_BYTES_MAX, is_name, is_text};
use crate::saga::message::{Command, Op};

/// A command as it travels: all that a participant needs to carry it out and to answer.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandMessage {
    /// The saga's id; also the key of the record that carries it.
    pub saga: String,
    /// The name of the saga's definition.
    pub definition: String,
    /// The version of the saga's definition.
    pub version: u32,
    /// The step.
    pub step: String,
    /// What is asked for.
    pub op: Op,
    /// What may become of the step: a retriable one stores no refusal.
    pub kind: StepKind,
    /// The how many-th command to this step it is, from 1: for logs, never for telling repeats.
    pub attempt: u32,
    /// The command's type.
    pub type_name: String,
    /// Who sends it.
    pub source: String,
    /// What the step's action is about.
    pub input: Value,
    /// What the step's action answered; of an undo only, and only where it is known.
    pub reply: Option<Value>,
    /// Where the answer goes: a topic, or over HTTP a URL for what is answered later than in the response.
    pub reply_to: Option<String>,
    /// After this it is refused, microseconds since 1970.
    pub expires_us: i64,
    /// The W3C trace context that it belongs to.
    pub traceparent: Option<String>,
}

impl CommandMessage {
    /// A command of a saga of this definition and version, from `source`. Its trace is that of the saga: the same for all of its commands.
    pub fn of(command: &Command, definition: &str, version: u32, source: &str) -> CommandMessage {
        CommandMessage {
            saga: command.saga.clone(),
            definition: definition.to_owned(),
            version,
            step: command.step.clone(),
            op: command.op,
            kind: command.kind,
            attempt: command.attempt,
            type_name: command.type_name.clone(),
            source: source.to_owned(),
            input: command.input.clone(),
            reply: command.reply.clone(),
            reply_to: None,
            expires_us: command.expires_us,
            traceparent: Some(trace(command)),
        }
    }

    /// Its id: the same for every attempt at one operation of one step of one saga. Over HTTP it is the `Idempotency-Key` too.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.saga, self.step, self.op.code())
    }

    /// What the barrier looks at.
    pub fn asked(&self) -> Asked {
        Asked {
            op: self.op,
            kind: self.kind,
            expires_us: self.expires_us,
        }
    }

    /// Its attributes.
    pub fn attributes(&self) -> Attributes {
        let mut to = Attributes::new();
        to.set("id", self.id());
        to.set("type", self.type_name.as_str());
        to.set("source", self.source.as_str());
        to.set("correlationid", self.saga.as_str());
        to.set("partitionkey", self.saga.as_str());
        to.set("sagadef", self.definition.as_str());
        to.set("sagaver", self.version.to_string());
        to.set("sagastep", self.step.as_str());
        to.set("sagaop", self.op.code());
        to.set("sagakind", self.kind.code());
        to.set("sagaattempt", self.attempt.to_string());
        to.set("expirytime", instant::written(self.expires_us));
        if let Some(reply_to) = &self.reply_to {
            to.set("sagareply", reply_to.as_str());
        }
        if let Some(traceparent) = &self.traceparent {
            to.set("traceparent", traceparent.as_str());
        }
        to
    }

    /// Its body: the step's input; of an undo `{"input": …, "reply": …}`, the reply where it is known.
    pub fn body(&self) -> Value {
        if self.op != Op::Compensate {
            return self.input.clone();
        }
        let mut body = Map::new();
        body.insert("input".into(), self.input.clone());
        if let Some(reply) = &self.reply {
            body.insert("reply".into(), reply.clone());
        }
        Value::Object(body)
    }

    /// Reads a command.
    ///
    /// # Errors
    /// [`WireError`], if an attribute is missing or means nothing, or the body is no JSON.
    pub fn read(attributes: &Attributes, body: &[u8]) -> Result<CommandMessage, WireError> {
        let (input, reply) = parts(op(attributes)?, body::read(attributes, body)?);
        let kind = attributes.need("sagakind")?;
        Ok(CommandMessage {
            saga: saga(attributes)?,
            definition: name(attributes, "sagadef")?,
            version: number(attributes, "sagaver")?,
            step: name(attributes, "sagastep")?,
            op: op(attributes)?,
            kind: StepKind::named(kind).ok_or_else(|| {
                let expected = "compensatable, pivot or retriable";
                WireError::meaningless("sagakind", kind, expected)
            })?,
            attempt: number(attributes, "sagaattempt")?,
            type_name: address(attributes, "type")?,
            source: address(attributes, "source")?,
            input,
            reply,
            reply_to: attributes.get("sagareply").map(str::to_owned),
            expires_us: expires(attributes)?,
            traceparent: traceparent(attributes),
        })
    }
}

/// An undo's body, in its parts. One that is not of that form is the input as it is: so it is from who knows nothing of replies.
fn parts(op: Op, body: Value) -> (Value, Option<Value>) {
    match body {
        Value::Object(mut members) if op == Op::Compensate && members.contains_key("input") => {
            let input = members.remove("input").unwrap_or_default();
            (input, members.remove("reply"))
        }
        body => (body, None),
    }
}

pub(super) fn saga(attributes: &Attributes) -> Result<String, WireError> {
    let id = attributes.need("correlationid")?;
    if !is_text(id, SAGA_ID_BYTES_MAX) {
        let expected = "a saga's id, of 1 to 128 bytes";
        return Err(WireError::meaningless("correlationid", id, expected));
    }
    Ok(id.to_owned())
}

pub(super) fn name(attributes: &Attributes, of: &'static str) -> Result<String, WireError> {
    let name = attributes.need(of)?;
    if !is_name(name) {
        return Err(WireError::meaningless(of, name, "a name"));
    }
    Ok(name.to_owned())
}

pub(super) fn op(attributes: &Attributes) -> Result<Op, WireError> {
    let code = attributes.need("sagaop")?;
    Op::named(code)
        .ok_or_else(|| WireError::meaningless("sagaop", code, "action, compensate or fence"))
}

pub(super) fn address(attributes: &Attributes, of: &'static str) -> Result<String, WireError> {
    let text = attributes.need(of)?;
    if !is_text(text, ADDRESS_BYTES_MAX) {
        return Err(WireError::meaningless(of, text, "1 to 512 bytes"));
    }
    Ok(text.to_owned())
}

/// As W3C has it, one that cannot be read is as none.
pub(super) fn traceparent(attributes: &Attributes) -> Option<String> {
    let text = attributes.get("traceparent")?;
    let has_form = text.len() == 55
        && text.bytes().enumerate().all(|(place, letter)| match place {
            2 | 35 | 52 => letter == b'-',
            _ => letter.is_ascii_digit() || (b'a'..=b'f').contains(&letter),
        });
    has_form.then(|| text.to_owned())
}

fn number(attributes: &Attributes, of: &'static str) -> Result<u32, WireError> {
    let text = attributes.need(of)?;
    text.parse()
        .ok()
        .filter(|it| *it > 0)
        .ok_or_else(|| WireError::meaningless(of, text, "a whole number from 1"))
}

fn expires(attributes: &Attributes) -> Result<i64, WireError> {
    let text = attributes.need("expirytime")?;
    instant::read(text)
        .ok_or_else(|| WireError::meaningless("expirytime", text, "a time as in RFC 3339"))
}

/// One trace for each saga, one span for each command: made of their names, so that nothing needs to be kept.
fn trace(command: &Command) -> String {
    let high = fingerprint(&command.saga);
    let low = fingerprint(&format!("{}\0trace", command.saga));
    let span = fingerprint(&format!("{}/{}", command.id(), command.attempt));
    // All zeros are none.
    format!("00-{high:016x}{:016x}-{:016x}-01", low.max(1), span.max(1))
}
