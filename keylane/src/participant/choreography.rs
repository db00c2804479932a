//! Steps that nobody drives: each is set going by events, undone by any failure of its saga, and tells what became of it by an event of its own.
//!
//! What is heard is answered by the step's own barrier: an event that sets it going asks for the action, a failure of another step or an abort for the undo. So in whatever order events come, and however often, each step is done at
//! most once, undone at most once, and never runs after a failure was heard.

use keylane_core::saga::wire::{Attributes, WireError};
use keylane_core::saga::{Heard, Op, Outcome, Said, told};
use serde_json::Value;

use super::step::PostgresHandler;
use crate::outbox::OutboxEvent;

/// What an event says that aborts its saga: the word in `sagaop`.
const ABORT: &str = "abort";

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
    /// Reads an event out of a record's headers and value. `None` if it belongs to no saga.
    ///
    /// # Errors
    /// If it names a saga and cannot be read.
    pub fn read<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        value: &[u8],
        at_us: i64,
    ) -> Result<Option<SagaEvent>, WireError> {
        let attributes = Attributes::from_kafka(headers)?;
        let text = |name: &str| attributes.get(name).unwrap_or_default().to_owned();
        let saga = text("correlationid");
        if saga.is_empty() {
            return Ok(None);
        }
        let (step, said) = (text("sagastep"), text("sagaop"));
        let step = Said::named(&said)
            .filter(|_| !step.is_empty())
            .map(|said| (step, said));
        let body = match value {
            [] => Value::Null,
            value => {
                serde_json::from_slice(value).map_err(|error| WireError::Body(error.to_string()))?
            }
        };
        Ok(Some(SagaEvent {
            saga,
            id: text("id"),
            heard: Heard {
                type_name: text("type"),
                step,
                service: text("source"),
                next: None,
                aborts: said == ABORT,
                at_us,
            },
            body,
            traceparent: attributes.get("traceparent").map(str::to_owned),
        }))
    }
}

/// A step that events set going.
#[derive(Clone)]
pub struct Reaction {
    pub(crate) step: String,
    pub(crate) consumes: Vec<String>,
    pub(crate) action: Option<PostgresHandler>,
    pub(crate) undo: Option<PostgresHandler>,
    pub(crate) topic: String,
    pub(crate) emits: String,
    pub(crate) fails_with: String,
}

impl Reaction {
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
    pub fn action(mut self, action: PostgresHandler) -> Self {
        self.action = Some(action);
        self
    }

    /// How it is undone; without, it cannot be.
    #[must_use]
    pub fn undo(mut self, undo: PostgresHandler) -> Self {
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

    /// What is told of an outcome that changed the step's rows.
    pub(crate) fn event(
        &self,
        event: &SagaEvent,
        op: Op,
        outcome: &Outcome,
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
