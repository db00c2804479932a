//! What the group says: partitions come, and leave. Of those that leave nothing more is handed out, handlers in progress may end, progress is committed, and only
//! then does the group hear.

use std::time::Instant;

use keylane_core::model::TopicPartition;
use keylane_core::publish::GroupNews;

use super::error::ConsumerError;
use super::progress::begin_at;
use super::run::{Road, Taken};
use super::work::Ended;

/// Partitions that are leaving.
pub(super) struct Leaving {
    pub partitions: Vec<TopicPartition>,
    /// Handlers that are in progress then are dropped.
    pub until: Instant,
}

impl<A: Future<Output = Ended>> Road<'_, A> {
    pub(super) async fn hear(&mut self, news: GroupNews) -> Result<(), ConsumerError> {
        match news {
            GroupNews::Take(partitions) => {
                if let Some(take_over) = self.take_over() {
                    self.taking = Some(Box::pin(take_over.of(partitions, true)));
                    return Ok(());
                }
                let committed = self.member.committed(partitions.clone());
                let (log, settings) = (self.log.clone(), self.settings);
                let (start, on_gap) = (settings.start, settings.on_gap);
                let taking = async move {
                    let committed = committed.await?;
                    begin_at(&*log, partitions, committed, start, on_gap).await
                };
                self.taking = Some(Box::pin(taking));
            }
            GroupNews::GiveUp(partitions) => {
                for partition in &partitions {
                    self.dispatch.leave(partition);
                }
                let until = Instant::now() + self.settings.drain_max;
                self.leaving = Some(Leaving { partitions, until });
            }
            GroupNews::Lost(partitions) => {
                for partition in &partitions {
                    self.work.drop_partition(self.dispatch.number(partition));
                }
                // It speaks of what another may have by now.
                self.committing = None;
                self.kept.clear();
                self.left(&partitions).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn take(&mut self, taken: Taken) -> Result<(), ConsumerError> {
        for part in taken.parts {
            let (partition, completed) = (part.partition, part.completed);
            self.consumer
                .assign(&partition, completed.frontier())
                .await?;
            self.work.drop_partition(self.dispatch.number(&partition));
            self.dispatch.assign(&partition, completed);
            if let (Some(lanes), Some(part)) = (&mut self.lanes, part.lanes) {
                lanes.take(partition, part);
            }
        }
        if taken.answers {
            self.member.answer().await?;
            self.settings.stats.set_member(true);
        }
        self.settings.stats.troubled("");
        Ok(())
    }

    /// Once nothing of what leaves is in progress, or it took too long.
    pub(super) fn last_commit_of_what_leaves(&mut self) {
        let Some(leaving) = self.leaving.as_ref().filter(|_| self.last_commit.is_none()) else {
            return;
        };
        let working = leaving.partitions.iter();
        let working: usize = working.map(|it| self.dispatch.working_in(it)).sum();
        if working > 0 && Instant::now() < leaving.until {
            return;
        }
        let mut last = Vec::new();
        for partition in &leaving.partitions {
            self.work.drop_partition(self.dispatch.number(partition));
            last.extend(self.progress_of(partition).map(|(progress, _)| progress));
        }
        self.last_commit = Some(self.last_word(last));
    }

    /// The group hears that they are free.
    pub(super) async fn left(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<(), ConsumerError> {
        for partition in partitions {
            self.dispatch.revoke(partition);
            self.consumer.unassign(partition).await?;
            self.kept.remove(partition);
            if let Some(lanes) = &mut self.lanes {
                lanes.forget(partition);
            }
        }
        Ok(self.member.answer().await?)
    }
}
