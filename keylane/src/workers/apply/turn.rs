//! Commit order: when a batch begins, and when it commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::apply::{Applied, ApplyError, BatchId, Clearance, InTurn, Outcome};
use keylane_core::error::ApplyErrorKind;

use super::road::Road;

/// How long a transaction waits for its turn while none is committed: then the one before it may wait for a row that this one has locked, and this one rolls back.
const GIVE_WAY_AFTER: Duration = Duration::from_secs(1);

/// A batch that began before everything before it was committed.
pub(super) struct Early {
    road: Arc<Road>,
    id: BatchId,
    gave_way: AtomicBool,
}

impl std::fmt::Debug for Early {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Early({})", self.id.0)
    }
}

/// How a batch begins its transaction.
pub(super) enum Beginning {
    /// It may commit whenever it is done.
    InTurn,
    /// It has to await its turn.
    Early(Arc<Early>),
    /// Not at all: one before it was not committed, or its partitions are given up.
    Never,
}

/// Waits until the batch may begin.
pub(super) async fn begin(road: &Arc<Road>, id: BatchId) -> Beginning {
    let alone = road.replica.writes_one_by_one();
    let allowed = road.look_until(Duration::MAX, |lanes| {
        match (lanes.may_begin(id), lanes.may_commit(id)) {
            (Clearance::Never, _) | (_, Clearance::Never) => Some(Beginning::Never),
            (Clearance::Now, Clearance::Now) => Some(Beginning::InTurn),
            (Clearance::Now, Clearance::Later) if !alone => {
                Some(Beginning::Early(Arc::new(Early {
                    road: road.clone(),
                    id,
                    gave_way: AtomicBool::new(false),
                })))
            }
            (Clearance::Now | Clearance::Later, _) => None,
        }
    });
    tokio::select! {
        beginning = allowed => beginning.unwrap_or(Beginning::Never),
        () = road.is_rolled_back(id) => Beginning::Never,
    }
}

impl Early {
    /// What its failure means. Before its turn it says nothing of the batch itself.
    pub(super) fn outcome(&self, error: ApplyError) -> Outcome {
        let fenced = error.kind == ApplyErrorKind::Fenced;
        match fenced && !self.gave_way.load(Ordering::Relaxed) {
            true => Outcome::RolledBack(error),
            false => Outcome::OutOfTurn,
        }
    }

    fn gives_way(&self, why: &str) -> ApplyError {
        self.gave_way.store(true, Ordering::Relaxed);
        tracing::debug!(
            pipeline = &*self.road.settings.pipeline,
            batch = self.id.0,
            "a transaction that began before its turn gives way: {why}"
        );
        ApplyError::new(ApplyErrorKind::Conflict, why)
    }
}

#[async_trait]
impl InTurn for Early {
    async fn await_turn(&self) -> Result<(), ApplyError> {
        let turn = self.road.look_until(GIVE_WAY_AFTER, |lanes| {
            let clearance = lanes.may_commit(self.id);
            (clearance != Clearance::Later).then_some(clearance)
        });
        match turn.await {
            Some(Clearance::Now) => Ok(()),
            Some(Clearance::Never | Clearance::Later) => {
                Err(self.gives_way("one before it was not committed"))
            }
            None => Err(self.gives_way("the one before it may wait for a row of this one")),
        }
    }

    fn check(&self, applied: &Applied) -> Result<(), ApplyError> {
        match applied.missing.is_empty() {
            true => Ok(()),
            false => {
                Err(self.gives_way("a row was missing that the one before it may have written"))
            }
        }
    }
}
