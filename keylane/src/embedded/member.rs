//! The embedded log's group: whoever joined last has every partition. Who had them before is not told, and notices by the fence.

use std::sync::Arc;

use async_trait::async_trait;
use keylane_core::model::TopicPartition;
use keylane_core::publish::{
    Committed, GroupAnswer, GroupMember, GroupNews, LogError, LogErrorKind, Membership,
};

use super::log::Open;

/// Has all partitions of the topics that it reads.
pub(super) struct SoleMember {
    open: Arc<Open>,
    topics: Vec<Arc<str>>,
    told: Vec<TopicPartition>,
}

impl SoleMember {
    /// Told nothing yet.
    pub(super) fn new(open: Arc<Open>, topics: &[Arc<str>]) -> Self {
        SoleMember {
            open,
            topics: topics.to_vec(),
            told: Vec::new(),
        }
    }

    async fn partitions_of(&self, topic: &Arc<str>) -> Result<Vec<TopicPartition>, LogError> {
        let name = topic.to_string();
        let found = self
            .open
            .keeper
            .call(move |it| it.describe(&name))
            .await??;
        let Some(info) = found else {
            let message = format!("topic {topic} is not there");
            return Err(LogError::new(LogErrorKind::TopicMismatch, message));
        };
        let numbers = 0..info.partitions;
        Ok(numbers
            .map(|number| TopicPartition::new(topic.clone(), number))
            .collect())
    }
}

#[async_trait]
impl GroupMember for SoleMember {
    fn shares(&self) -> bool {
        false
    }

    async fn news(&mut self) -> Result<GroupNews, LogError> {
        let read = |partition: &TopicPartition| self.topics.contains(&partition.topic);
        let (told, given_up): (Vec<_>, Vec<_>) = self.told.clone().into_iter().partition(read);
        if !given_up.is_empty() {
            self.told = told;
            return Ok(GroupNews::GiveUp(given_up));
        }
        let mut new = Vec::new();
        for topic in &self.topics {
            if !told.iter().any(|partition| partition.topic == *topic) {
                new.extend(self.partitions_of(topic).await?);
            }
        }
        if new.is_empty() {
            std::future::pending::<()>().await;
        }
        self.told.extend(new.clone());
        Ok(GroupNews::Take(new))
    }

    async fn answer(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    async fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<(), LogError> {
        self.topics = topics.to_vec();
        Ok(())
    }

    /// Nothing: who reads this log keeps its progress itself.
    fn committed(&self, _partitions: Vec<TopicPartition>) -> GroupAnswer<Vec<Committed>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn commit(&self, _progress: Vec<Committed>) -> GroupAnswer<Membership> {
        Box::pin(async { Ok(Membership::Outsider) })
    }

    async fn leave(self: Box<Self>) {}
}
