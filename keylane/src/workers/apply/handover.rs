//! What handing a partition over takes: that the log still holds what is missing, that nothing of it is in work, that its progress is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keylane_core::apply::{ApplyError, BatchId, PartitionLow, PartitionProgress};
use keylane_core::model::{Offset, TopicPartition};

use super::road::Road;
use super::run::ApplyFailure;

/// Saves how far they are.
pub(super) async fn save(road: &Road, lows: &[PartitionLow]) -> Result<(), ApplyError> {
    let mut session = road.replica.session().await?;
    session.save_low(&road.settings.pipeline, lows).await
}

/// Takes partitions out of the lanes. Returns how far they are, and the batches in work that hold any of them.
pub(super) fn let_go(
    road: &Road,
    partitions: &[TopicPartition],
) -> (Vec<PartitionLow>, BTreeSet<BatchId>) {
    let mut lanes = road.lanes();
    let mut lows = lanes.lows();
    lows.retain(|low| partitions.contains(&low.partition));
    let mut open = BTreeSet::new();
    for partition in partitions {
        open.extend(lanes.in_work(partition));
        lanes.revoke(partition);
    }
    (lows, open)
}

/// Waits until none of these batches is in work; `false` if that takes too long.
pub(super) async fn settled(road: &Road, batches: &BTreeSet<BatchId>, within: Duration) -> bool {
    let none_is_in_work = road.look_until(within, |lanes| {
        let in_work = batches.iter().any(|id| lanes.is_in_work(*id));
        (!in_work).then_some(())
    });
    let waited = tokio::time::timeout(within, none_is_in_work).await;
    waited.is_ok_and(|settled| settled.is_some())
}

/// The log must still hold the first record that is not applied.
pub(super) async fn no_gap(road: &Road, progress: &PartitionProgress) -> Result<(), ApplyFailure> {
    let bounds = road.log.bounds(&progress.partition).await?;
    let first_start = road.foreign.is_some() && progress.low == Offset(0);
    if first_start {
        return Ok(());
    }
    if bounds.start <= progress.low
        || (progress.low == Offset(0) && bounds.start == bounds.end && bounds.end == Offset(0))
    {
        return Ok(());
    }
    Err(ApplyFailure::Gap(format!(
        "{} begins at offset {}, and this replica has applied up to {}: what lies between is gone. Copy anew: start the pipeline under another prefix \
         with an empty replica, or restore a replica whose progress is at least {}",
        progress.partition, bounds.start.0, progress.low.0, bounds.start.0
    )))
}

/// `topic[0, 1, 2]`, for logs.
pub(super) fn in_words(partitions: &[TopicPartition]) -> String {
    let mut numbers: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for partition in partitions {
        let of_topic = numbers.entry(&partition.topic).or_default();
        of_topic.push(partition.partition);
    }
    let words = numbers
        .iter()
        .map(|(topic, numbers)| format!("{topic}{numbers:?}"));
    words.collect::<Vec<_>>().join(" ")
}
