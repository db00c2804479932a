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

/// Waits until the batch may begin its transaction. `Ok(None)`: it may commit whenever it is done. An error: it may never.
pub(super) async fn begin(road: &Arc<Road>, id: BatchId) -> Result<Option<Arc<Early>>, Outcome> {
    let alone = road.replica.writes_one_by_one();
    loop {
        let settled = road.settled.notified();
        tokio::pin!(settled);
        settled.as_mut().enable();
        let (begin, commit) = {
            let lanes = road.lanes();
            (lanes.may_begin(id), lanes.may_commit(id))
        };
        match (begin, commit) {
            (Clearance::Never, _) | (_, Clearance::Never) => return Err(Outcome::OutOfTurn),
            (Clearance::Now, Clearance::Now) => return Ok(None),
            (Clearance::Now, Clearance::Later) if !alone => {
                return Ok(Some(Arc::new(Early {
                    road: road.clone(),
                    id,
                    gave_way: AtomicBool::new(false),
                })));
            }
            (Clearance::Now | Clearance::Later, _) => {}
        }
        tokio::select! {
            () = settled => {}
            () = road.is_rolled_back(id) => return Err(Outcome::OutOfTurn),
        }
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
        loop {
            let settled = self.road.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            match self.road.lanes().may_commit(self.id) {
                Clearance::Now => return Ok(()),
                Clearance::Never => return Err(self.gives_way("one before it was not committed")),
                Clearance::Later => {}
            }
            if tokio::time::timeout(GIVE_WAY_AFTER, settled).await.is_err() {
                return Err(self.gives_way("the one before it may wait for a row of this one"));
            }
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
