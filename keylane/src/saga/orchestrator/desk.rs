//! What people ask for, decided by itself: for commands that run beside the service, or without it. What follows from it is sent by who drives the saga.

use std::sync::Arc;
use std::time::Duration;

use keylane_core::saga::{Operation, Plan, SagaStore, Start, StoreError, StoreErrorKind};

use super::event::{Asked, Begun, Incoming, NotAsked, NotBegun};
use super::plans::Plans;
use super::turner::{Besides, Leases, Turner};

/// How often something is tried that others get in the way of.
const TRIES_MAX: u32 = 20;

/// Begins sagas and asks things of them, straight at the store.
pub struct Desk {
    turner: Turner,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    /// At this store.
    pub fn new(store: Arc<dyn SagaStore>, plans: Arc<Plans>) -> Desk {
        Desk {
            turner: Turner {
                store,
                plans,
                stats: Arc::default(),
            },
        }
    }

    /// Begins a saga; as [`Door::begin`](super::Door::begin).
    ///
    /// # Errors
    /// [`NotBegun`].
    pub async fn begin(
        &self,
        plan: Arc<Plan>,
        start: Start,
        request: u64,
    ) -> Result<Begun, NotBegun> {
        let (incoming, answer) = Incoming::begin(plan, start, request);
        self.decided(incoming).await?;
        answer.await.unwrap_or(Err(NotBegun::Stopping))
    }

    /// Asks something of a saga.
    ///
    /// # Errors
    /// [`NotAsked`].
    pub async fn ask(
        &self,
        saga: String,
        operation: Operation,
        actor: String,
        reason: String,
    ) -> Result<Asked, NotAsked> {
        let (incoming, answer) = Incoming::ask(saga, operation, actor, reason);
        self.decided(incoming).await?;
        answer.await.unwrap_or(Err(NotAsked::Stopping))
    }

    async fn decided(&self, incoming: Incoming) -> Result<(), StoreError> {
        let (mut left, mut last) = (vec![incoming], None);
        for tries in 0..TRIES_MAX {
            let turned = self
                .turner
                .turn(left, &Leases::new(), &Besides::default())
                .await;
            match turned {
                Ok(ended) if ended.again.is_empty() => return Ok(()),
                Ok(ended) => left = ended.again,
                Err((back, error)) if error.kind == StoreErrorKind::Conflict => {
                    (left, last) = (back, Some(error));
                }
                Err((_, error)) => return Err(error),
            }
            tokio::time::sleep(Duration::from_millis(u64::from(tries) * 5)).await;
        }
        Err(last.unwrap_or(StoreError {
            kind: StoreErrorKind::Conflict,
            message: "the saga changed each time before this could be written; try again"
                .to_owned(),
        }))
    }
}
