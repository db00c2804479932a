//! What is in the applier's way now: told by whoever meets it, until whoever meets it next gets through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use keylane_core::apply::{
    Applied, ApplyBatch, ApplyError, AskedThreads, ParkedFilter, ParkedSummary, PartitionLow,
    PartitionProgress, PartitionSpec, Replica, ReplicaSession, ReplicaTable,
};
use keylane_core::error::{ApplyErrorKind, Remedy};
use keylane_core::model::{TableName, TableSchema};
use tracing::{info, warn};

/// What the applier depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dependency {
    /// Where changes come from.
    Log,
    /// Where they go.
    Replica,
}

impl Dependency {
    fn name(self) -> &'static str {
        match self {
            Dependency::Log => "log",
            Dependency::Replica => "replica",
        }
    }
}

/// The troubles that are not over.
#[derive(Debug)]
pub(super) struct Troubles {
    pipeline: Arc<str>,
    met: Mutex<BTreeMap<Dependency, String>>,
}

impl Troubles {
    /// None yet; a pipeline's log says when one begins and ends.
    pub(super) fn new(pipeline: Arc<str>) -> Self {
        Troubles {
            pipeline,
            met: Mutex::default(),
        }
    }

    /// It does not do its part.
    pub(super) fn met(&self, with: Dependency, why: String) {
        let mut troubles = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if !troubles.contains_key(&with) {
            warn!(pipeline = &*self.pipeline, "{why}");
        }
        troubles.insert(with, why);
    }

    /// It does.
    pub(super) fn over(&self, with: Dependency) {
        let mut troubles = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.remove(&with).is_some() {
            info!(pipeline = &*self.pipeline, "the {} is back", with.name());
        }
    }

    /// Whether it is in the way.
    pub(super) fn is_met(&self, with: Dependency) -> bool {
        let troubles = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.contains_key(&with)
    }

    /// All of them in words; `None` if there are none.
    pub(super) fn words(&self) -> Option<String> {
        let troubles = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&str> = troubles.values().map(String::as_str).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Notes whether the replica took what was asked of it. Only what nothing can go on without is a trouble: a change that it refuses is not.
    fn heard<T>(&self, answer: Result<T, ApplyError>) -> Result<T, ApplyError> {
        match &answer {
            Ok(_) => self.over(Dependency::Replica),
            Err(error) if error.kind.remedy() == Remedy::RetryForever => {
                let what = match error.kind {
                    ApplyErrorKind::NoRoom => "has no room",
                    _ => "is away",
                };
                let why = format!("the replica {what}: {}: {error}", error.kind.code());
                self.met(Dependency::Replica, why);
            }
            Err(_) => {}
        }
        answer
    }
}

/// A replica whose sessions tell whether it answers.
pub(super) struct Watched {
    replica: Arc<dyn Replica>,
    troubles: Arc<Troubles>,
}

impl Watched {
    /// Tells it there.
    pub(super) fn new(replica: Arc<dyn Replica>, troubles: Arc<Troubles>) -> Self {
        Watched { replica, troubles }
    }
}

#[async_trait]
impl Replica for Watched {
    async fn prepare(&self) -> Result<(), ApplyError> {
        self.replica.prepare().await
    }

    async fn fence(
        &self,
        pipeline: &str,
        partitions: &[PartitionSpec],
    ) -> Result<Vec<PartitionProgress>, ApplyError> {
        self.troubles
            .heard(self.replica.fence(pipeline, partitions).await)
    }

    async fn progress(&self, pipeline: &str) -> Result<Vec<PartitionProgress>, ApplyError> {
        self.troubles.heard(self.replica.progress(pipeline).await)
    }

    async fn lows(&self, pipeline: &str) -> Result<Vec<PartitionProgress>, ApplyError> {
        self.troubles.heard(self.replica.lows(pipeline).await)
    }

    fn writes_one_by_one(&self) -> bool {
        self.replica.writes_one_by_one()
    }

    async fn identity(&self) -> Result<String, ApplyError> {
        self.replica.identity().await
    }

    async fn session(&self) -> Result<Box<dyn ReplicaSession>, ApplyError> {
        let session = self.troubles.heard(self.replica.session().await)?;
        let troubles = self.troubles.clone();
        Ok(Box::new(WatchedSession { session, troubles }))
    }

    async fn describe(&self, table: &TableName) -> Result<Option<ReplicaTable>, ApplyError> {
        self.replica.describe(table).await
    }

    async fn create_table(&self, schema: &TableSchema) -> Result<(), ApplyError> {
        self.replica.create_table(schema).await
    }

    async fn parked(
        &self,
        pipeline: &str,
        filter: &ParkedFilter,
        limit: u32,
    ) -> Result<Vec<ParkedSummary>, ApplyError> {
        self.replica.parked(pipeline, filter, limit).await
    }

    async fn resolve_parked(
        &self,
        pipeline: &str,
        filter: &ParkedFilter,
        discard: bool,
    ) -> Result<u64, ApplyError> {
        self.replica.resolve_parked(pipeline, filter, discard).await
    }

    async fn asked_threads(&self, pipeline: &str) -> Result<Option<AskedThreads>, ApplyError> {
        self.replica.asked_threads(pipeline).await
    }

    async fn ask_threads(&self, pipeline: &str, asked: AskedThreads) -> Result<(), ApplyError> {
        self.replica.ask_threads(pipeline, asked).await
    }
}

struct WatchedSession {
    session: Box<dyn ReplicaSession>,
    troubles: Arc<Troubles>,
}

#[async_trait]
impl ReplicaSession for WatchedSession {
    async fn apply(&mut self, batch: &ApplyBatch) -> Result<Applied, ApplyError> {
        self.troubles.heard(self.session.apply(batch).await)
    }

    fn ended(&self) -> Option<Instant> {
        self.session.ended()
    }

    async fn save_low(&mut self, pipeline: &str, lows: &[PartitionLow]) -> Result<(), ApplyError> {
        self.troubles
            .heard(self.session.save_low(pipeline, lows).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_lasts_until_its_part_answers() {
        let troubles = Troubles::new("p".into());
        let fails = |kind| {
            troubles
                .heard::<()>(Err(ApplyError::new(kind, "word")))
                .ok()
        };
        fails(ApplyErrorKind::Misfit);
        assert_eq!(troubles.words(), None, "the replica answered");
        fails(ApplyErrorKind::NoRoom);
        fails(ApplyErrorKind::Misfit);
        troubles.met(Dependency::Log, "gone".to_owned());
        let words = troubles.words();
        assert_eq!(
            words.as_deref(),
            Some("gone; the replica has no room: KL-APPLY-008: word")
        );
        troubles.over(Dependency::Log);
        troubles.heard(Ok(())).ok();
        assert_eq!(troubles.words(), None);
    }
}
