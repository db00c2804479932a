//! A consumer of the embedded log: looks for new records when this process committed some, and every few milliseconds for other processes' ones.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{LogConsumer, LogError, RawRecord};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::read::{Found, Reader, Wish};
use crate::own_thread::OwnThread;

/// The pause between two looks: short while records come, longer while none do.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(25);

/// Reads many partitions; holds nothing ahead of what it gave away.
pub(super) struct EmbeddedConsumer {
    pub(super) reader: OwnThread<Reader>,
    pub(super) commits: watch::Receiver<u64>,
    pub(super) buffer_bytes: usize,
    /// The next offset to be given away, and the partition's end as last seen.
    pub(super) assigned: BTreeMap<TopicPartition, (Offset, Offset)>,
}

impl EmbeddedConsumer {
    async fn look(&self, wishes: Vec<Wish>) -> Result<Found, LogError> {
        let bytes_max = self.buffer_bytes;
        self.reader
            .call(move |reader| reader.look(&wishes, bytes_max))
            .await?
    }

    fn wishes(&self, room: &[(TopicPartition, usize)]) -> Vec<Wish> {
        let wish = |(partition, bytes_max): &(TopicPartition, usize)| {
            let (from, _) = self.assigned.get(partition)?;
            Some(Wish {
                partition: partition.clone(),
                from: *from,
                bytes_max: *bytes_max,
            })
        };
        room.iter().filter_map(wish).collect()
    }

    /// The only place where a partition's next offset moves: with the records in hand and nothing left to wait for.
    fn give(&mut self, found: Found) -> Vec<(TopicPartition, Vec<RawRecord>)> {
        for (partition, end) in found.ends {
            if let Some((_, known)) = self.assigned.get_mut(&partition) {
                *known = end;
            }
        }
        for (partition, records) in &found.records {
            let next = records.last().map(|record| record.offset.next());
            if let (Some(next), Some((from, _))) = (next, self.assigned.get_mut(partition)) {
                *from = next;
            }
        }
        found.records
    }
}

#[async_trait]
impl LogConsumer for EmbeddedConsumer {
    async fn assign(&mut self, partition: &TopicPartition, from: Offset) -> Result<(), LogError> {
        let place = partition.clone();
        let bounds = self
            .reader
            .call(move |reader| reader.bounds(&place))
            .await??;
        self.assigned.insert(partition.clone(), (from, bounds.end));
        Ok(())
    }

    async fn unassign(&mut self, partition: &TopicPartition) -> Result<(), LogError> {
        self.assigned.remove(partition);
        Ok(())
    }

    async fn fetch(
        &mut self,
        room: &[(TopicPartition, usize)],
        wait: Duration,
    ) -> Result<Vec<(TopicPartition, Vec<RawRecord>)>, LogError> {
        let deadline = Instant::now() + wait;
        let mut pause = PAUSE_MIN;
        loop {
            self.commits.mark_unchanged();
            let found = self.look(self.wishes(room)).await?;
            let given = self.give(found);
            if !given.is_empty() || Instant::now() >= deadline {
                return Ok(given);
            }
            let until = deadline.min(Instant::now() + pause);
            if let Ok(Err(_)) = timeout_at(until, self.commits.changed()).await {
                // The log was dropped: other processes' records still come.
                sleep(until.saturating_duration_since(Instant::now())).await;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn ends(&self) -> Vec<(TopicPartition, Offset)> {
        let ends = self.assigned.iter();
        ends.map(|(partition, (_, end))| (partition.clone(), *end))
            .collect()
    }
}
