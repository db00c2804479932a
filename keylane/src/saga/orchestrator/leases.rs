//! Whose sagas this process drives: leases that are prolonged by a beat of their own, and believed only as long as they hold.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keylane_core::saga::SagaStore;
use tokio_util::sync::CancellationToken;

use super::stats::OrchestratorStats;
use super::turner::Leases;

/// What this process has, as far as it knows.
#[derive(Default)]
pub(super) struct Held {
    now: Mutex<(Leases, Option<Instant>)>,
}

impl Held {
    /// What it may still believe.
    pub fn believed(&self) -> Leases {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        match now.1 {
            Some(until) if Instant::now() < until => now.0.clone(),
            _ => Leases::new(),
        }
    }

    /// These are others'.
    pub fn lost(&self, shards: &BTreeSet<u16>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.0.retain(|shard, _| !shards.contains(shard));
    }

    fn set(&self, leases: Leases, until: Instant) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (leases, Some(until));
    }
}

/// Prolongs until `stop`.
pub(super) async fn beat(
    store: Arc<dyn SagaStore>,
    owner: String,
    hold: Duration,
    held: Arc<Held>,
    stats: Arc<OrchestratorStats>,
    stop: CancellationToken,
) {
    let hold_ms = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
    let mut had = usize::MAX;
    loop {
        let asked = Instant::now();
        match store.lease(&owner, hold_ms).await {
            Ok(leases) => {
                let leases: Leases = leases.into_iter().map(|it| (it.shard, it)).collect();
                if leases.len() != had {
                    had = leases.len();
                    tracing::info!(shards = had, "drives the sagas of {had} shards");
                }
                stats.shards.set(leases.len() as u64);
                held.set(leases, asked + hold);
            }
            Err(error) => tracing::warn!("KL-SAGA-201: the leases were not prolonged: {error}"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(hold / 4) => {}
        }
    }
}
