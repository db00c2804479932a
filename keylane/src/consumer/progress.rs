//! What the group keeps: where it goes on after a restart, and what is done above.

use keylane_core::consume::Completed;
use keylane_core::model::TopicPartition;
use keylane_core::publish::{Bounds, Committed, Log, Membership};
use std::time::{Duration, Instant};

use super::error::ConsumerError;
use super::run::{Answer, Kept, Road, Taken, TakenPart};
use super::settings::{OnGap, StartAt};
use super::work::{Ended, Work};

/// Kafka takes 4,096 bytes by default (`offset.metadata.max.bytes`).
const MAP_BYTES_MAX: usize = 4_000;
/// What the last commit may take: a group that agrees anew takes none for a while, and what is not told is done again.
const LAST_COMMIT_MAX: Duration = Duration::from_secs(15);

impl<A: Future<Output = Ended>> Road<'_, A> {
    /// How far a partition is, as it is committed; and how many done records did not fit.
    pub(super) fn progress_of(&self, partition: &TopicPartition) -> Option<(Committed, u64)> {
        let completed = self.dispatch.completed(partition)?;
        let (metadata, left_out) = completed.map(MAP_BYTES_MAX);
        let progress = Committed {
            partition: partition.clone(),
            offset: completed.frontier(),
            metadata,
        };
        Some((progress, left_out))
    }

    pub(super) fn commit(&mut self) {
        // Behind the last word of what leaves comes none: others may have gone on from there.
        if self.committing.is_some() || self.last_commit.is_some() {
            return;
        }
        self.committed_at = Instant::now();
        let (mut changed, mut left_out) = (Vec::new(), 0);
        for state in self.dispatch.partitions() {
            let Some((progress, too_much)) = self.progress_of(&state.partition) else {
                continue;
            };
            left_out += too_much;
            let now = (progress.offset, progress.metadata.clone());
            if self.kept.get(&state.partition) != Some(&now) {
                self.kept.insert(state.partition, now);
                changed.push(progress);
            }
        }
        self.settings.stats.map_left_out.set(left_out);
        if changed.is_empty() {
            return;
        }
        let lows = self.lows(&changed);
        let told = self.member.commit(changed);
        let Some(lanes) = &self.lanes else {
            self.committing = Some(Box::pin(async { Kept::Told(told.await) }));
            return;
        };
        // The database counts; what the group is told is for tools that show its lag.
        let store = lanes.store.clone();
        self.committing = Some(Box::pin(async move {
            match store.save_lows(&lows).await {
                Ok(fenced) if fenced.is_empty() => Kept::Told(told.await),
                Ok(fenced) => Kept::Fenced(fenced),
                Err(error) => Kept::NotSaved(error),
            }
        }));
    }

    /// Whether it was taken. If not, all of it is told again.
    pub(super) async fn heed(&mut self, kept: Kept) -> Result<(), ConsumerError> {
        match kept {
            Kept::Told(Ok(Membership::Member)) => self.settings.stats.troubled(""),
            // What is lost, the group says next.
            Kept::Told(Ok(Membership::Outsider)) => self.kept.clear(),
            Kept::Told(Err(error)) => {
                self.kept.clear();
                self.settings.stats.troubled(&error.message);
            }
            Kept::Fenced(partitions) => {
                self.kept.clear();
                self.suspect(partitions).await?;
            }
            Kept::NotSaved(error) if error.passes() => {
                self.kept.clear();
                self.settings.stats.troubled(&error.message);
            }
            Kept::NotSaved(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The last commit before partitions are another's. That it was not taken is told, and nothing else can be done.
    pub(super) fn last_word(&self, progress: Vec<Committed>) -> Answer<()> {
        let group = self.settings.group.name.clone();
        let lows = self.lows(&progress);
        let committed = self.member.commit(progress);
        let store = self.lanes.as_ref().map(|lanes| lanes.store.clone());
        Box::pin(async move {
            let told = async {
                if let Some(store) = &store {
                    // Whoever takes them over finds each lane's progress; this spares it records that it would pass over.
                    let saved = store.save_lows(&lows).await;
                    tracing::debug!(group, saved = saved.is_ok(), "the last word");
                }
                committed.await
            };
            let why = match tokio::time::timeout(LAST_COMMIT_MAX, told).await {
                Ok(Ok(Membership::Member)) => return,
                // The database counts.
                _ if store.is_some() => return,
                Ok(Ok(Membership::Outsider)) => "this process is no member any more".to_owned(),
                Ok(Err(error)) => error.message,
                Err(_) => "the group does not answer".to_owned(),
            };
            tracing::warn!(
                group,
                "the last commit was not taken, what was done since the one before is done again: {why}"
            );
        })
    }

    /// Handlers that are in progress still are dropped; what is done is committed.
    pub(super) async fn end(mut self) {
        self.work = Work::new();
        let states = self.dispatch.partitions().into_iter();
        let progress = states.filter_map(|state| self.progress_of(&state.partition));
        let progress: Vec<Committed> = progress.map(|(progress, _)| progress).collect();
        if !progress.is_empty() {
            self.last_word(progress).await;
        }
        self.member.leave().await;
    }
}

/// Where each partition goes on.
pub(super) async fn begin_at(
    log: &dyn Log,
    partitions: Vec<TopicPartition>,
    committed: Vec<Committed>,
    start: StartAt,
    on_gap: OnGap,
) -> Result<Taken, ConsumerError> {
    let mut taken = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let bounds = log.bounds(&partition).await?;
        let found = committed.iter().find(|it| it.partition == partition);
        let completed = match found {
            None => Completed::from(match start {
                StartAt::Earliest => bounds.start,
                StartAt::Latest => bounds.end,
            }),
            Some(found) => goes_on(found, bounds, on_gap)?,
        };
        taken.push(TakenPart {
            partition,
            completed,
            lanes: None,
        });
    }
    Ok(Taken {
        parts: taken,
        answers: true,
    })
}

fn goes_on(found: &Committed, bounds: Bounds, on_gap: OnGap) -> Result<Completed, ConsumerError> {
    let partition = &found.partition;
    if found.offset < bounds.start || found.offset > bounds.end {
        let words = format!(
            "{partition} holds offsets {} to {}, and the group goes on at {}: retention took what lies between, or the topic was created anew",
            bounds.start.0, bounds.end.0, found.offset.0
        );
        if on_gap == OnGap::Stop {
            return Err(ConsumerError::Gap(format!(
                "{words}. Let it go on at the oldest record (on_gap), or reset the group's offsets"
            )));
        }
        tracing::warn!(
            code = "KL-CONSUME-003",
            "{words}; going on at the oldest record"
        );
        return Ok(Completed::from(bounds.start));
    }
    match Completed::restore(found.offset, &found.metadata) {
        Ok(completed) => Ok(completed),
        Err(error) => {
            tracing::warn!(%partition, "the commit's metadata is passed over, what was done above the offset is done again: {error}");
            Ok(Completed::from(found.offset))
        }
    }
}
