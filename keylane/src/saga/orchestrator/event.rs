//! What comes in, and who waits for what becomes of it.

use std::sync::Arc;

use keylane_core::saga::{Operation, ParkedAnswer, Plan, Reply, Start, State, StoreError};
use tokio::sync::oneshot;

/// A saga that was begun, now or by an earlier request that was the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its id.
    pub id: String,
    /// Whether it is an earlier request's.
    pub is_repeat: bool,
}

/// Why no saga was begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// The key was used for something else.
    #[error("key {key} started saga {id} with another content")]
    OtherContent {
        /// The key.
        key: String,
        /// The saga that it started.
        id: String,
    },
    /// Id or key do not fit.
    #[error("{0}")]
    Unfit(String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process is about to end.
    #[error("the orchestrator is stopping")]
    Stopping,
}

/// What became of what somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where the saga stands now.
    pub state: State,
    /// What it comes to: the lines that were noted.
    pub noted: Vec<String>,
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// There is no such saga.
    #[error("there is no saga {0}, or it ended and is forgotten")]
    Unknown(String),
    /// It ended.
    #[error("saga {0} has ended")]
    Ended(String),
    /// It cannot be had. That it was asked for is noted.
    #[error("{0}")]
    Refused(String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process is about to end.
    #[error("the orchestrator is stopping")]
    Stopping,
}

/// Something that came in.
pub(super) enum Incoming {
    /// What an attempt of this process at sending came to; the command's number in the outbox.
    Sent {
        saga: String,
        reply: Option<Reply>,
        number: i64,
    },
    /// An answer that came by itself. Who brought it waits until it is stored.
    Heard {
        answer: ParkedAnswer,
        done: oneshot::Sender<Result<(), NotAsked>>,
    },
    /// Somebody wants a saga.
    Begin {
        plan: Arc<Plan>,
        start: Start,
        request: u64,
        done: oneshot::Sender<Result<Begun, NotBegun>>,
    },
    /// Somebody wants something of a saga.
    Ask {
        saga: String,
        operation: Operation,
        actor: String,
        reason: String,
        done: oneshot::Sender<Result<Asked, NotAsked>>,
    },
}

impl Incoming {
    /// Somebody wants a saga; where the answer comes.
    pub(super) fn begin(
        plan: Arc<Plan>,
        start: Start,
        request: u64,
    ) -> (Incoming, oneshot::Receiver<Result<Begun, NotBegun>>) {
        let (done, answer) = oneshot::channel();
        let incoming = Incoming::Begin {
            plan,
            start,
            request,
            done,
        };
        (incoming, answer)
    }

    /// Somebody wants something of a saga; where the answer comes.
    pub(super) fn ask(
        saga: String,
        operation: Operation,
        actor: String,
        reason: String,
    ) -> (Incoming, oneshot::Receiver<Result<Asked, NotAsked>>) {
        let (done, answer) = oneshot::channel();
        let incoming = Incoming::Ask {
            saga,
            operation,
            actor,
            reason,
            done,
        };
        (incoming, answer)
    }

    /// The saga that it is about, if that is there already.
    pub(super) fn saga(&self) -> Option<&str> {
        match self {
            Incoming::Sent { saga, reply, .. } => reply.is_some().then_some(saga),
            Incoming::Heard { answer, .. } => Some(&answer.saga),
            Incoming::Begin { .. } => None,
            Incoming::Ask { saga, .. } => Some(saga),
        }
    }

    /// Whether nobody waits for it and nothing follows from it.
    pub(super) fn can_wait(&self) -> bool {
        matches!(self, Incoming::Sent { reply: None, .. })
    }

    /// Whoever waits for it hears that the store did not do it.
    pub(super) fn fail(self, error: &StoreError) {
        match self {
            Incoming::Sent { .. } => {}
            Incoming::Heard { done, .. } => drop(done.send(Err(error.clone().into()))),
            Incoming::Begin { done, .. } => drop(done.send(Err(error.clone().into()))),
            Incoming::Ask { done, .. } => drop(done.send(Err(error.clone().into()))),
        }
    }
}
