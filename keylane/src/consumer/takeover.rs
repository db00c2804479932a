//! Partitions whose progress is in a database: taken over by a fence first, and then from where the database says; taken again when another was there in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::apply::PartitionSpec;
use keylane_core::consume::Completed;
use keylane_core::model::{LaneCount, Offset, TopicPartition};
use keylane_core::publish::{Committed, Log, LogError, LogErrorKind, Membership};

use super::error::ConsumerError;
use super::lanes::Part;
use super::run::{Road, Taken, TakenPart};
use super::settings::StartAt;
use super::stats::ConsumerStats;
use super::work::Ended;
use crate::postgres::consume::{Begun, Low, PostgresProgress};

/// How often the group is asked about partitions that another process has taken over.
const SUSPECT_INTERVAL: Duration = Duration::from_millis(500);
/// The pauses between attempts while the database or the log is away.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What a take-over needs.
#[derive(Clone)]
pub(super) struct TakeOver {
    pub log: Arc<dyn Log>,
    pub store: PostgresProgress,
    pub start: StartAt,
    pub stats: Arc<ConsumerStats>,
}

impl TakeOver {
    /// Fences, reads, and says where each partition goes on. Waits for a log and a database that are away.
    pub(super) async fn of(
        self,
        partitions: Vec<TopicPartition>,
        answers: bool,
    ) -> Result<Taken, ConsumerError> {
        let mut specs = Vec::with_capacity(partitions.len());
        for partition in partitions {
            specs.push(self.persist(|| self.spec(&partition)).await?);
        }
        let mut parts = Vec::with_capacity(specs.len());
        if !specs.is_empty() {
            let fenced = self.persist(|| self.fence(&specs));
            for begun in fenced.await? {
                let low = self.persist(|| self.low(&begun)).await?;
                parts.push(TakenPart {
                    completed: Completed::from(low),
                    lanes: Some(Part {
                        owner_epoch: begun.owner_epoch,
                        next: begun.lanes,
                    }),
                    partition: begun.partition,
                });
            }
        }
        Ok(Taken { parts, answers })
    }

    async fn spec(&self, partition: &TopicPartition) -> Result<PartitionSpec, ConsumerError> {
        let topic = &partition.topic;
        let Some(info) = self.log.describe_topic(topic).await? else {
            let message = format!("topic {topic} is not there");
            return Err(LogError::new(LogErrorKind::TopicMismatch, message).into());
        };
        Ok(PartitionSpec {
            partition: partition.clone(),
            topic_id: info.id,
            partitions: info.partitions,
            lanes: LaneCount(self.store.lanes),
        })
    }

    async fn fence(&self, specs: &[PartitionSpec]) -> Result<Vec<Begun>, ConsumerError> {
        Ok(self.store.fence(specs).await?)
    }

    /// Where it goes on. Where the group begins is stored before the first record is read: behind the newest would be another place after a crash.
    async fn low(&self, begun: &Begun) -> Result<Offset, ConsumerError> {
        let partition = &begun.partition;
        let bounds = self.log.bounds(partition).await?;
        let Some(low) = begun.low else {
            let low = match self.start {
                StartAt::Earliest => bounds.start,
                StartAt::Latest => bounds.end,
            };
            let begins = Low {
                partition: partition.clone(),
                owner_epoch: begun.owner_epoch,
                low,
                held: Vec::new(),
            };
            // Of one that another has fenced meanwhile, the first transaction learns it.
            self.store.save_lows(&[begins]).await?;
            return Ok(low);
        };
        if low < bounds.start || low > bounds.end {
            return Err(ConsumerError::Gap(format!(
                "{partition} holds offsets {} to {}, and the group goes on at {}, says its database: what lies between is gone, and no offset is set anew by itself. To go on at the oldest \
                 record, set next_offset of that partition's row with lane -1 in keylane.consumer_progress to {}",
                bounds.start.0, bounds.end.0, low.0, bounds.start.0
            )));
        }
        Ok(low)
    }

    async fn persist<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ConsumerError>
    where
        F: Future<Output = Result<T, ConsumerError>>,
    {
        let (mut pause, longest) = PAUSES;
        loop {
            match ask().await {
                Err(error) if error.passes() => {
                    tracing::debug!("taking over is interrupted: {error}");
                    self.stats.troubled(&error.to_string());
                }
                answer => return answer,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}

impl<A: Future<Output = Ended>> Road<'_, A> {
    /// Partitions in which another owner was found, each as often as it was found: nothing of them goes on here until the group has said whose they are.
    pub(super) async fn suspect(
        &mut self,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), ConsumerError> {
        for partition in partitions {
            let completed = self.dispatch.completed(&partition);
            let frontier = completed.map_or(Offset(0), Completed::frontier);
            let lanes = self.lanes.as_mut();
            if !lanes.is_some_and(|lanes| lanes.suspect(&partition, frontier)) {
                continue;
            }
            tracing::info!(group = self.settings.group.name, %partition, "another process has taken it over: the group is asked");
            self.settings.stats.fenced.add(1);
            self.work.drop_partition(self.dispatch.number(&partition));
            self.dispatch.revoke(&partition);
            self.consumer.unassign(&partition).await?;
            self.kept.remove(&partition);
        }
        Ok(())
    }

    /// Asks the group, now and then, whether this process is its member still: if so, it has what it has.
    pub(super) fn ask_about_suspects(&mut self) {
        let Some(lanes) = &self.lanes else { return };
        let due = self
            .asked_at
            .is_none_or(|at| at.elapsed() >= SUSPECT_INTERVAL);
        if lanes.suspects.is_empty() || self.asking.is_some() || self.taking.is_some() || !due {
            return;
        }
        let committed = |(partition, offset): (&TopicPartition, &Offset)| Committed {
            partition: partition.clone(),
            offset: *offset,
            metadata: String::new(),
        };
        let progress = lanes.suspects.iter().map(committed).collect();
        self.asked_at = Some(Instant::now());
        self.asking = Some(self.member.commit(progress));
    }

    /// The group's answer. Whoever is no member hears next what it has lost.
    pub(super) fn take_suspects(&mut self, standing: Result<Membership, LogError>) {
        let Some(lanes) = &mut self.lanes else { return };
        if self.taking.is_some() || !matches!(standing, Ok(Membership::Member)) {
            return;
        }
        let suspects: Vec<_> = std::mem::take(&mut lanes.suspects).into_keys().collect();
        if let Some(take_over) = self.take_over() {
            self.taking = Some(Box::pin(take_over.of(suspects, false)));
        }
    }

    pub(super) fn take_over(&self) -> Option<TakeOver> {
        Some(TakeOver {
            log: self.log.clone(),
            store: self.lanes.as_ref()?.store.clone(),
            start: self.settings.start,
            stats: self.settings.stats.clone(),
        })
    }

    /// How far partitions are, as their database is told.
    pub(super) fn lows(&self, progress: &[Committed]) -> Vec<Low> {
        let Some(lanes) = &self.lanes else {
            return Vec::new();
        };
        let low = |it: &Committed| {
            Some(Low {
                partition: it.partition.clone(),
                owner_epoch: lanes.owner_epoch(&it.partition)?,
                low: it.offset,
                held: lanes.held(&it.partition),
            })
        };
        progress.iter().filter_map(low).collect()
    }
}
