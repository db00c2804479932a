//! What people tell the services of a choreographed saga, as an event: that it is aborted, or that a step was undone by hand. It has the same id however often it is sent.

use serde_json::{Value, json};

use super::Said;
use super::heard::{ABORT, HAND};
use crate::saga::wire::{Attributes, written_instant};

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalKind {
    /// The saga is aborted: each participant undoes its step, or is kept from running.
    Abort,
    /// Nothing is left of this step: somebody undid it, or saw to it that it never is done.
    ByHand {
        /// The step.
        step: String,
        /// That it was undone, or that it never is done.
        said: Said,
    },
}

/// Something to be told to the services of a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The saga.
    pub saga: String,
    /// What.
    pub kind: SignalKind,
    /// The topic that it goes into.
    pub topic: String,
    /// Who asked for it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When, microseconds since 1970.
    pub at_us: i64,
}

impl SignalKind {
    /// Its name in stores: `abort`, or `compensated STEP`.
    pub fn code(&self) -> String {
        match self {
            SignalKind::Abort => ABORT.to_owned(),
            SignalKind::ByHand { step, said } => format!("{} {step}", said.code()),
        }
    }

    /// What a name says.
    pub fn named(code: &str) -> Option<SignalKind> {
        match code.split_once(' ') {
            None => (code == ABORT).then_some(SignalKind::Abort),
            Some((said, step)) => Some(SignalKind::ByHand {
                step: step.to_owned(),
                said: Said::named(said)?,
            }),
        }
    }
}

impl Signal {
    /// Its id: the same at every attempt.
    pub fn id(&self) -> String {
        match &self.kind {
            SignalKind::Abort => format!("{}/abort", self.saga),
            SignalKind::ByHand { step, said } => {
                format!("{}/{step}/{}/hand", self.saga, said.code())
            }
        }
    }

    /// The event's attributes, told by `source`.
    pub fn attributes(&self, source: &str) -> Attributes {
        let mut attributes = Attributes::new();
        attributes.set("id", self.id());
        attributes.set("source", source);
        attributes.set("time", written_instant(self.at_us));
        attributes.set("correlationid", self.saga.as_str());
        attributes.set("partitionkey", self.saga.as_str());
        match &self.kind {
            SignalKind::Abort => {
                attributes.set("type", "keylane.saga.abort.v1");
                attributes.set("sagaop", ABORT);
            }
            SignalKind::ByHand { step, said } => {
                attributes.set("type", "keylane.saga.by_hand.v1");
                attributes.set("sagastep", step.as_str());
                attributes.set("sagaop", said.code());
                attributes.set("sagaby", HAND);
            }
        }
        attributes
    }

    /// The event's body.
    pub fn body(&self) -> Value {
        json!({ "actor": self.actor, "reason": self.reason })
    }
}
