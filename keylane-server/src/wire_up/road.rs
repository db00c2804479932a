//! A pipeline's parts, and what is asked of them together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keylane::envelope::SchemaCache;
use keylane::workers::apply::ApplySettings;
use keylane::workers::capture::{CaptureSettings, SessionSource};
use keylane::workers::control::{ControlReader, ControlState, TableTopic};
use keylane_core::apply::{ApplyError, PartitionProgress, Replica};
use keylane_core::capture::TablePhase;
use keylane_core::model::{Offset, Position, TopicPartition};
use keylane_core::publish::{Acceptance, Log};
use tokio::sync::{Mutex, MutexGuard};
use tracing::debug;

use super::marker::Marker;
use crate::config;
use crate::exit_code::{Exit, Failure};

/// How long the catalog of topics is waited for; without it the topics' names decide.
const CATALOG_WAIT_MAX: Duration = Duration::from_secs(1);

/// A pipeline, wired.
pub struct Road {
    /// Its name.
    pub name: Arc<str>,
    /// Its topics' prefix.
    pub prefix: Arc<str>,
    /// The log, for reading.
    pub log: Arc<dyn Log>,
    /// The replica; `None` where nothing is applied: events go into topics only.
    pub replica: Option<Arc<dyn Replica>>,
    /// What captures; `None` for topics that another tool writes.
    pub capture: Option<(Arc<dyn SessionSource>, CaptureSettings)>,
    /// How it applies.
    pub apply: ApplySettings,
    /// The tables' shapes, as they become known.
    pub schemas: Arc<SchemaCache>,
    pub(super) origin: Option<config::Origin>,
    pub(super) control: Mutex<ControlReader>,
}

impl Road {
    /// Who writes marks into its origin.
    pub fn marker(&self) -> Marker {
        Marker::new(self.origin.clone())
    }

    /// How far each partition of its topics is. What is stored of other topics is left out, since nobody applies them any more: of a former prefix, of tables
    /// that are not carried now. A partition of which nothing is stored yet stands at its beginning.
    ///
    /// # Errors
    /// If the replica does not answer.
    pub async fn progress(&self) -> Result<Vec<PartitionProgress>, ApplyError> {
        let Some(replica) = &self.replica else {
            return Ok(Vec::new());
        };
        let stored = replica.progress(&self.name).await?;
        if let Some(topics) = &self.apply.debezium_topics {
            return Ok(kept(stored, |topic| topics.iter().any(|own| own == topic)));
        }
        let control = self.catalog().await;
        match &control.state().topics {
            unknown if unknown.is_empty() => {
                Ok(kept(stored, |topic| is_under(&self.prefix, topic)))
            }
            topics => Ok(of_topics(stored, topics)),
        }
    }

    /// Whether the copy of every table is in the log, as far as the control topic tells. What is committed at the origin after that, and its mark, stand behind the
    /// copies' rows; before, a mark may pass them.
    pub async fn is_copied(&self) -> bool {
        if self.apply.debezium_topics.is_some() {
            return true;
        }
        let control = self.catalog().await;
        let ControlState {
            topics,
            tables,
            identity,
            ..
        } = control.state();
        if self.replica.is_none() && topics.is_empty() {
            // Rows of an outbox are not copied.
            return identity.is_some();
        }
        let is_done = |topic: &TableTopic| {
            tables.iter().any(|known| {
                *known.table.schema == *topic.schema
                    && *known.table.name == *topic.table
                    && matches!(known.phase, TablePhase::Done { .. })
            })
        };
        !topics.is_empty() && topics.iter().all(is_done)
    }

    /// The control topic, read to its end if it answers; else as it was read before.
    pub(super) async fn catalog(&self) -> MutexGuard<'_, ControlReader> {
        let mut control = self.control.lock().await;
        let polled = tokio::time::timeout(CATALOG_WAIT_MAX, control.poll(self.log.as_ref(), None));
        if !matches!(polled.await, Ok(Ok(_))) {
            debug!(
                pipeline = &*self.name,
                "the catalog of topics cannot be read now"
            );
        }
        control
    }

    /// Whether the replica has applied everything up to this place; where there is none, whether the log has it.
    ///
    /// # Errors
    /// If the replica does not answer.
    pub async fn has_applied(&self, place: u64) -> Result<bool, Failure> {
        if self.replica.is_none() {
            return Ok(self.catalog().await.state().confirmed >= place);
        }
        let progress = self.progress().await;
        let progress = progress.map_err(|error| {
            Failure::new(
                Exit::Unreachable,
                format!("the replica does not answer: {error}"),
            )
        })?;
        Ok(!progress.is_empty()
            && progress
                .iter()
                .all(|partition| partition.low_position.commit >= place))
    }
}

/// What is stored of topics that count.
fn kept(
    mut stored: Vec<PartitionProgress>,
    counts: impl Fn(&str) -> bool,
) -> Vec<PartitionProgress> {
    stored.retain(|progress| counts(&progress.partition.topic));
    stored
}

/// Whether a topic is a table's under this prefix: `PREFIX.SCHEMA.TABLE`, of which only the prefix may hold further dots.
fn is_under(prefix: &str, topic: &str) -> bool {
    topic
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|rest| rest.matches('.').count() == 1)
}

/// The stored progress of these topics' partitions, each once.
fn of_topics(stored: Vec<PartitionProgress>, topics: &[TableTopic]) -> Vec<PartitionProgress> {
    let mut stored: BTreeMap<TopicPartition, PartitionProgress> = stored
        .into_iter()
        .map(|progress| (progress.partition.clone(), progress))
        .collect();
    // Tables may share a topic.
    let topics: BTreeMap<&str, u32> = topics
        .iter()
        .map(|topic| (topic.topic.as_str(), topic.partitions))
        .collect();
    let partitions = topics.into_iter().flat_map(|(topic, partitions)| {
        (0..partitions).map(move |number| TopicPartition::new(topic, number))
    });
    let progress = |partition: TopicPartition| {
        stored.remove(&partition).unwrap_or(PartitionProgress {
            partition,
            owner_epoch: 0,
            low: Offset(0),
            low_position: Position::ZERO,
            acceptance: Acceptance::default(),
            lanes: BTreeMap::new(),
            parked_keys: Vec::new(),
            redrive_keys: Vec::new(),
        })
    };
    partitions.map(progress).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_of_a_longer_prefix_is_another_pipelines() {
        assert!(is_under("shop", "shop.public.orders"));
        assert!(is_under("shop.eu", "shop.eu.public.orders"));
        for other in [
            "shop2.public.orders",
            "shop.eu.public.orders",
            "shop.keylane",
            "shop",
        ] {
            assert!(!is_under("shop", other), "{other}");
        }
    }

    #[test]
    fn only_what_the_catalog_names_counts_and_all_of_it() {
        let topic = |name: &str| TableTopic {
            schema: "main".to_owned(),
            table: name.to_owned(),
            topic: name.to_owned(),
            partitions: 2,
        };
        let mut stored = of_topics(Vec::new(), &[topic("a"), topic("gone")]);
        for progress in &mut stored {
            progress.low = Offset(7);
        }
        // Two tables in one topic count it once.
        let now = of_topics(stored, &[topic("a"), topic("a"), topic("new")]);
        let lows: Vec<_> = now
            .iter()
            .map(|progress| (progress.partition.to_string(), progress.low.0))
            .collect();
        let expect = [("a/0", 7), ("a/1", 7), ("new/0", 0), ("new/1", 0)];
        assert_eq!(lows, expect.map(|(name, low)| (name.to_owned(), low)));
    }
}
