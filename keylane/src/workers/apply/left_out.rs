//! Topics that are read no more: a table was taken out, or dropped. What the replica keeps of them stays where it is for ever, and nothing may wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keylane_core::apply::PartitionProgress;
use keylane_core::model::TopicPartition;
use keylane_core::publish::LogError;
use tracing::{debug, info};

use super::road::Road;
use crate::envelope::SchemaCache;
use crate::workers::control::{ControlReader, control_topic};

/// What the log is given to tell: the group's word must not wait for long. It is asked again.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// What is known of such topics.
#[derive(Default)]
pub(super) struct LeftOut(BTreeSet<Arc<str>>);

impl LeftOut {
    /// The catalog has changed: they may be carried again.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Takes their progress out of what is stored. What others have begun to apply and this process has not heard of yet counts: a catalog that names it was written
    /// before, so one that is read now tells.
    pub(super) async fn strip(
        &mut self,
        road: &Road,
        is_read: impl Fn(&str) -> bool,
        mut stored: Vec<PartitionProgress>,
    ) -> Vec<PartitionProgress> {
        let topics = stored.iter().map(|progress| &progress.partition.topic);
        let unknown = topics.filter(|topic| !is_read(topic) && !self.0.contains(*topic));
        let unknown: BTreeSet<Arc<str>> = unknown.cloned().collect();
        if !unknown.is_empty() {
            match tokio::time::timeout(ANSWER_MAX, named(road)).await {
                Ok(Ok(named)) => self.note(road, unknown.difference(&named)),
                Ok(Err(error)) => debug!("whether {unknown:?} are carried is not known: {error}"),
                Err(_) => debug!("whether {unknown:?} are carried is not told in time"),
            }
        }
        stored.retain(|progress| {
            let topic = &progress.partition.topic;
            is_read(topic) || !self.0.contains(topic)
        });
        stored
    }

    fn note<'a>(&mut self, road: &Road, topics: impl Iterator<Item = &'a Arc<str>>) {
        for topic in topics {
            info!(
                pipeline = &*road.settings.pipeline,
                topic = &**topic,
                "no longer carried: nothing waits for what is unapplied there"
            );
            self.0.insert(topic.clone());
        }
    }
}

/// The topics that the catalog names now.
async fn named(road: &Road) -> Result<BTreeSet<Arc<str>>, LogError> {
    if let Some(topics) = &road.settings.debezium_topics {
        return Ok(topics.iter().map(|topic| topic.as_str().into()).collect());
    }
    let prefix = &road.settings.prefix;
    let control = TopicPartition::new(control_topic(prefix), 0);
    let end = road.log.bounds(&control).await?.end;
    let mut reader = ControlReader::new(prefix, Arc::new(SchemaCache::default()));
    reader.poll(road.log.as_ref(), Some(end)).await?;
    let topics = reader.state().topics.iter();
    Ok(topics.map(|topic| topic.topic.as_str().into()).collect())
}
