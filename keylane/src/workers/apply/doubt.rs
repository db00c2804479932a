//! What a replica that has gone back asks for: it was restored from an older backup, or a standby took over without the last transactions.

use keylane_core::apply::PartitionProgress;
use keylane_core::model::TopicPartition;
use tracing::warn;

use super::road::Road;

/// If the replica holds less than it held, every partition is to be taken over again.
pub(super) fn doubted(road: &Road, stored: &[PartitionProgress]) -> Vec<TopicPartition> {
    let mut lanes = road.lanes();
    let gone_back = stored.iter().find(|stored| lanes.has_gone_back(stored));
    let doubted = match gone_back {
        Some(_) => lanes.doubt_all(),
        None => Vec::new(),
    };
    drop(lanes);
    if let Some(partition) = gone_back.map(|stored| &stored.partition) {
        warn!(
            pipeline = &*road.settings.pipeline,
            code = "KL-APPLY-017",
            %partition,
            "the replica holds less than was applied to it: it was restored from an older state; going on from what it holds"
        );
    }
    doubted
}
