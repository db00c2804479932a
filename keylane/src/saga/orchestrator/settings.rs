//! What an orchestrator is told.

use std::collections::BTreeMap;
use std::time::Duration;

use keylane_core::saga::BreakerTerms;

use super::kafka::KafkaWay;
use super::starts::StartsWay;

/// Where a participant is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// It is posted to.
    Http {
        /// Where to.
        url: String,
        /// Sent as `Authorization: Bearer TOKEN`.
        token: Option<String>,
    },
    /// It reads a topic.
    Kafka {
        /// Which.
        topic: String,
    },
}

/// How a participant is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantSettings {
    /// Where it is.
    pub address: Address,
    /// Commands that it is sent at a time at most, if it is posted to.
    pub concurrency: usize,
}

/// What an orchestrator is told.
#[derive(Clone, Debug)]
pub struct OrchestratorSettings {
    /// A name that no other process has, and no earlier life of this one.
    pub owner: String,
    /// The `source` of its commands.
    pub source: String,
    /// Where participants that are asked by HTTP post answers that they have later; `{id}` stands for the saga's id.
    pub reply_url: Option<String>,
    /// How participants that read topics are reached, if any are.
    pub kafka: Option<KafkaWay>,
    /// Where events that begin sagas come in, if they do.
    pub starts: Option<StartsWay>,
    /// Participants that definitions call by name.
    pub participants: BTreeMap<String, ParticipantSettings>,
    /// Commands at a time to a participant that is posted to, if nothing else is said of it.
    pub concurrency: usize,
    /// How long a lease holds after it was last prolonged: so long after the death of a process another takes over.
    pub hold: Duration,
    /// When a participant that does not answer is left in peace.
    pub breaker: BreakerTerms,
    /// How long sagas that ended, with their keys and timelines, are kept.
    pub retention: Duration,
}

impl OrchestratorSettings {
    /// 32 commands at a time to each participant, leases of 3 s, 30 days.
    pub fn new(owner: impl Into<String>) -> Self {
        OrchestratorSettings {
            owner: owner.into(),
            source: "keylane".to_owned(),
            reply_url: None,
            kafka: None,
            starts: None,
            participants: BTreeMap::new(),
            concurrency: 32,
            hold: Duration::from_secs(3),
            breaker: BreakerTerms::default(),
            retention: Duration::from_secs(30 * 86_400),
        }
    }
}
