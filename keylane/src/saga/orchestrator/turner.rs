//! What a turn is given and what is left of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keylane_core::saga::{
    BATCH_MAX, Found, Lease, Participant, SagaStore, StoreError, Unsent, Wanted,
};

use super::event::Incoming;
use super::plans::Plans;
use super::stats::OrchestratorStats;
use super::turn::Turn;
use crate::workers::stats::now_us;

/// The shards that this process drives, with their epochs.
pub(super) type Leases = BTreeMap<u16, Lease>;

/// What a turn looks at besides what has come in.
#[derive(Default)]
pub(super) struct Besides {
    /// What is due.
    pub due: bool,
    /// Parked answers.
    pub parked: bool,
    /// Participants that answer again.
    pub back: Vec<Participant>,
}

/// What is left of a turn.
#[derive(Default)]
pub(super) struct Ended {
    /// What is to be sent, of sagas that this process drives.
    pub unsent: Vec<Unsent>,
    /// What has to be decided again: its saga has changed meanwhile.
    pub again: Vec<Incoming>,
    /// Commands that have left the outbox.
    pub sent: Vec<i64>,
    /// Shards that others have.
    pub lost: BTreeSet<u16>,
    /// Sagas that were read besides those that something had come in for.
    pub besides: usize,
}

/// Reads, decides and writes.
pub(super) struct Turner {
    pub store: Arc<dyn SagaStore>,
    pub plans: Arc<Plans>,
    pub stats: Arc<OrchestratorStats>,
}

impl Turner {
    /// One turn. Where the store does not do it, what had come in comes back with the reason.
    pub async fn turn(
        &self,
        incoming: Vec<Incoming>,
        leases: &Leases,
        besides: &Besides,
    ) -> Result<Ended, (Vec<Incoming>, StoreError)> {
        let wanted = wanted(&incoming, leases, besides);
        let is_idle =
            wanted.ids.is_empty() && !besides.due && !besides.parked && besides.back.is_empty();
        let found = match is_idle {
            true => Ok(Found::default()),
            false => self.read(&wanted).await,
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err((incoming, error)),
        };
        if let Err(error) = self.know_all(&found).await {
            return Err((incoming, error));
        }
        let besides_read = found.sagas.iter();
        let besides_read = besides_read
            .filter(|it| !wanted.ids.contains(&it.id))
            .count();
        let mut turn = Turn::new(self, leases);
        turn.look_at(found, incoming, besides);
        let mut ended = turn.write().await?;
        ended.besides = besides_read;
        Ok(ended)
    }

    /// What is wanted, with the sagas of parked answers.
    async fn read(&self, wanted: &Wanted) -> Result<Found, StoreError> {
        let mut found = self.store.read(wanted).await?;
        let known: BTreeSet<&str> = found.sagas.iter().map(|it| it.id.as_str()).collect();
        let parked = found.parked.iter().map(|it| &it.saga);
        let missing = parked.filter(|id| !known.contains(id.as_str()));
        let more = Wanted {
            ids: missing.cloned().collect(),
            limit: BATCH_MAX,
            ..Wanted::default()
        };
        if !more.ids.is_empty() {
            found.sagas.extend(self.store.read(&more).await?.sagas);
        }
        Ok(found)
    }

    /// The plans of all that was found.
    async fn know_all(&self, found: &Found) -> Result<(), StoreError> {
        let is_known = |hash| self.plans.of_hash(hash).is_some();
        match found.sagas.iter().all(|saga| is_known(saga.hash)) {
            true => Ok(()),
            false => self.plans.refresh(self.store.as_ref()).await,
        }
    }
}

fn wanted(incoming: &[Incoming], leases: &Leases, besides: &Besides) -> Wanted {
    Wanted {
        ids: incoming
            .iter()
            .filter_map(Incoming::saga)
            .map(str::to_owned)
            .collect(),
        shards: leases.keys().copied().collect(),
        due_us: besides.due.then(now_us),
        waiting_for: besides.back.iter().map(|it| it.name().to_owned()).collect(),
        parked: besides.parked,
        limit: BATCH_MAX,
    }
}
