//! What people ask of choreographed sagas, straight at the store: for commands beside the service too. What follows from it is told by who drives the saga's shard.

use std::sync::Arc;

use keylane_core::saga::{Choreographies, Operation, Request, TrackStore, heard_of, operate};

use crate::saga::form::plain;
use crate::saga::orchestrator::{Asked, NotAsked};
use crate::workers::stats::now_us;

/// Asks things of choreographed sagas.
#[derive(Clone)]
pub struct TrackDesk {
    store: Arc<dyn TrackStore>,
    known: Arc<Choreographies>,
    signal_topics: Vec<String>,
}

impl std::fmt::Debug for TrackDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrackDesk").finish_non_exhaustive()
    }
}

impl TrackDesk {
    /// At this store; `signal_topics` are those for sagas of no known choreography.
    pub fn new(
        store: Arc<dyn TrackStore>,
        known: Arc<Choreographies>,
        signal_topics: Vec<String>,
    ) -> Self {
        TrackDesk {
            store,
            known,
            signal_topics,
        }
    }

    /// Asks something of a saga. That it was asked stands in the timeline, also where it is refused.
    ///
    /// # Errors
    /// [`NotAsked`].
    pub async fn ask(
        &self,
        saga: &str,
        operation: &Operation,
        actor: &str,
        reason: &str,
    ) -> Result<Asked, NotAsked> {
        let tracked = self.store.tracked(saga).await?;
        let tracked = tracked.ok_or_else(|| NotAsked::Unknown(saga.to_owned()))?;
        let request = Request {
            operation,
            actor: &plain(actor),
            reason: &plain(reason),
            at_us: now_us(),
        };
        let answer = operate(&tracked, &self.known, &self.signal_topics, request);
        self.store
            .signal(saga, &answer.lines, &answer.signals)
            .await?;
        if let Some(why) = answer.refused {
            return Err(NotAsked::Refused(why));
        }
        // As it stands once this is heard.
        let mut track = tracked.track;
        let signals = answer.signals.iter().map(|it| it.attributes(""));
        for (_, heard) in signals.filter_map(|it| heard_of(&it, request.at_us)) {
            track.hear(&heard);
        }
        let standing = self.known.standing(&track, request.at_us);
        let told = answer.signals.iter();
        let told = told.map(|it| format!("{} is told to topic {}", it.kind.code(), it.topic));
        Ok(Asked {
            state: standing.state,
            noted: told.collect(),
        })
    }
}
