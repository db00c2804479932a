//! All of a tracker: what was kept by other choreographies is made anew, then it hears and tells until told to stop.

use std::sync::Arc;
use std::time::Duration;

use keylane_core::saga::{StoreError, TrackStore};
use tokio_util::sync::CancellationToken;

use super::settings::TrackerSettings;
use super::stats::TrackerStats;
use super::{hear, tell};

/// How long it waits for a store that did not do it.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows choreographed sagas.
pub struct Tracker {
    store: Arc<dyn TrackStore>,
    settings: TrackerSettings,
    stats: Arc<TrackerStats>,
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracker")
            .field("group", &self.settings.group)
            .finish_non_exhaustive()
    }
}

impl Tracker {
    /// Into this store. Nothing runs yet.
    pub fn new(store: Arc<dyn TrackStore>, settings: TrackerSettings) -> Self {
        Tracker {
            store,
            settings,
            stats: Arc::default(),
        }
    }

    /// Its figures.
    pub fn stats(&self) -> Arc<TrackerStats> {
        self.stats.clone()
    }

    /// Hears and tells until `stop`. `shards` says of which sagas this process tells: each is another process's, or nobody's, else.
    pub async fn run(&self, stop: &CancellationToken, shards: impl Fn() -> Vec<u16>) {
        let (settings, store, stats) = (&self.settings, self.store.as_ref(), &self.stats);
        tokio::join!(
            self.renew(stop),
            hear::hear(settings, store, stats, stop),
            tell::tell(settings, store, stats, shards, stop)
        );
    }

    /// What is kept follows from the choreographies as they are now.
    async fn renew(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.store.renew(&self.settings.known).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => self.wait(&error, stop).await,
            }
        }
    }

    async fn wait(&self, error: &StoreError, stop: &CancellationToken) {
        tracing::warn!("KL-SAGA-201: rows of other choreographies stay for now: {error}");
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
