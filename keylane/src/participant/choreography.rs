//! Steps that nobody drives: each is set going by events, undone by any failure of its saga, and tells what became of it by an event of its own.
//!
//! What is heard is answered by the step's own barrier: an event that sets it going asks for the action, a failure of another step or an abort for the undo. So in whatever order events come, and however often, each step is done at
//! most once, undone at most once, and never runs after a failure was heard.

use async_trait::async_trait;
use keylane_core::saga::wire::{Attributes, CommandMessage, WireError};
use keylane_core::saga::{
    COMMAND_LIFE_US, Heard, Op, Outcome, Part, Said, StepKind, heard_of, reaction, told,
};
use serde_json::Value;

use crate::outbox::OutboxEvent;

/// An event of a saga, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct SagaEvent {
    /// The saga.
    pub saga: String,
    /// Its id: the cause of what follows from it.
    pub id: String,
    /// What it says.
    pub heard: Heard,
    /// What it carries.
    pub body: Value,
    /// The W3C trace context that it belongs to.
    pub traceparent: Option<String>,
}

impl SagaEvent {
    /// Reads an event out of a record's headers and value, which came into its topic at `at_us`. `None` if it belongs to no choreographed saga.
    ///
    /// # Errors
    /// If it names a saga and cannot be read.
    pub fn read<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        value: &[u8],
        at_us: i64,
    ) -> Result<Option<SagaEvent>, WireError> {
        let attributes = Attributes::from_kafka(headers)?;
        let Some((saga, heard)) = heard_of(&attributes, at_us) else {
            return Ok(None);
        };
        let body = match value {
            [] => Value::Null,
            value => {
                serde_json::from_slice(value).map_err(|error| WireError::Body(error.to_string()))?
            }
        };
        Ok(Some(SagaEvent {
            saga,
            id: attributes.get("id").unwrap_or_default().to_owned(),
            heard: Heard { at_us, ..heard },
            body,
            traceparent: attributes.get("traceparent").map(str::to_owned),
        }))
    }
}

/// Hears the events of choreographed sagas.
///
/// *Once*: an event may be heard any number of times, and events in any order; each step is done at most once and undone at most once. *Durability*: what an event asked for is committed when this returns `Ok`,
/// with what is told of it.
#[async_trait]
pub trait Hear: Send + Sync {
    /// Does what an event asks of each step.
    ///
    /// # Errors
    /// In words, if something failed: hear it again. Steps that were carried out stay so.
    async fn hear(&self, event: &SagaEvent) -> Result<(), String>;
}

/// A step that events set going. Its handlers are [`PostgresHandler`](super::PostgresHandler)s or [`SqliteHandler`](super::SqliteHandler)s.
#[derive(Clone)]
pub struct Reaction<H> {
    step: String,
    consumes: Vec<String>,
    action: Option<H>,
    undo: Option<H>,
    topic: String,
    emits: String,
    fails_with: String,
}

/// What an event asks a step's barrier for.
pub(crate) struct Asked<'r, H> {
    pub command: CommandMessage,
    pub handler: Option<&'r H>,
}

impl<H> Reaction<H> {
    /// A step of this name, whose events go into this topic. They are called `STEP.done`, `STEP.failed`, `STEP.compensated` and `STEP.fenced` unless said otherwise.
    pub fn of(step: impl Into<String>, topic: impl Into<String>) -> Self {
        let step = step.into();
        Reaction {
            emits: format!("{step}.done"),
            fails_with: format!("{step}.failed"),
            consumes: Vec::new(),
            action: None,
            undo: None,
            topic: topic.into(),
            step,
        }
    }

    /// Set going by events of this type; several may be named.
    #[must_use]
    pub fn on(mut self, type_name: impl Into<String>) -> Self {
        self.consumes.push(type_name.into());
        self
    }

    /// What it does.
    #[must_use]
    pub fn action(mut self, action: H) -> Self {
        self.action = Some(action);
        self
    }

    /// How it is undone; without, it cannot be.
    #[must_use]
    pub fn undo(mut self, undo: H) -> Self {
        self.undo = Some(undo);
        self
    }

    /// The type of the event that it is done.
    #[must_use]
    pub fn emits(mut self, type_name: impl Into<String>) -> Self {
        self.emits = type_name.into();
        self
    }

    /// The type of the event that business said no.
    #[must_use]
    pub fn fails_with(mut self, type_name: impl Into<String>) -> Self {
        self.fails_with = type_name.into();
        self
    }

    /// What an event asks of this step, if anything.
    pub(crate) fn asked(&self, event: &SagaEvent) -> Option<Asked<'_, H>> {
        let part = Part {
            step: &self.step,
            consumes: &self.consumes,
            can_be_undone: self.undo.is_some(),
        };
        let op = reaction(part, &event.heard)?;
        let command = CommandMessage {
            saga: event.saga.clone(),
            definition: "choreographed".to_owned(),
            version: 1,
            step: self.step.clone(),
            op,
            kind: match self.undo {
                Some(_) => StepKind::Compensatable,
                None => StepKind::Pivot,
            },
            attempt: 1,
            type_name: event.heard.type_name.clone(),
            source: event.heard.service.clone(),
            input: event.body.clone(),
            reply: None,
            reply_to: None,
            expires_us: event.heard.at_us.saturating_add(COMMAND_LIFE_US),
            traceparent: event.traceparent.clone(),
        };
        let handler = match op {
            Op::Action => self.action.as_ref(),
            Op::Compensate => self.undo.as_ref(),
            Op::Fence => None,
        };
        Some(Asked { command, handler })
    }

    /// What `source` tells of an outcome that changed the step's rows.
    pub(crate) fn event(
        &self,
        event: &SagaEvent,
        op: Op,
        outcome: &Outcome,
        source: &str,
    ) -> Option<OutboxEvent> {
        let said = told(op, outcome)?;
        let (type_name, body) = match (said, outcome) {
            (Said::Done, Outcome::Ok(reply)) => (self.emits.clone(), reply.clone()),
            (Said::Failed, Outcome::Rejected(why)) => {
                (self.fails_with.clone(), why.as_str().into())
            }
            (Said::Undone, Outcome::Ok(reply)) => {
                (format!("{}.compensated", self.step), reply.clone())
            }
            _ => (format!("{}.fenced", self.step), Value::Null),
        };
        let id = format!("{}/{}/{}/e1", event.saga, self.step, said.code());
        let told = OutboxEvent::new(self.topic.as_str(), type_name)
            .source(source)
            .id(id)
            .key(event.saga.as_str())
            .json(&body)
            .header("ce_correlationid", event.saga.as_str())
            .header("ce_causationid", event.id.as_str())
            .header("ce_partitionkey", event.saga.as_str())
            .header("ce_sagastep", self.step.as_str())
            .header("ce_sagaop", said.code());
        Some(match &event.traceparent {
            Some(traceparent) => told.header("ce_traceparent", traceparent.as_str()),
            None => told,
        })
    }
}

/// Why a step did not do what an event asked of it.
pub(crate) fn unclear(command: &CommandMessage, why: &str) -> String {
    format!("step {} of saga {}: {why}", command.step, command.saga)
}
