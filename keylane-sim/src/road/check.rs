//! The checkers of the whole road: over the log, with a reader of its own, and over the replica's audit.

use std::collections::{BTreeMap, BTreeSet};

use super::wal::Wal;
use crate::model::Replica;
use crate::model::log::{Log, accepted};
use crate::verdict::{Checker, Failure};

/// `no_duplicate_position_in_accepted_log`: in each partition, the data of the epoch that is current where it stands has strictly ascending positions.
pub(super) fn accepted_once(log: &Log) -> Result<(), Failure> {
    for (partition, records) in &log.partitions {
        let (mut current, mut last) = (0, None);
        let places = accepted(records, |opens, epoch| {
            current = if opens { epoch.max(current) } else { current };
            epoch == current
        });
        for place in places {
            if last.is_some_and(|last| last >= place) {
                return Err(Failure::new(
                    Checker::NoDuplicatePositionInAcceptedLog,
                    format!("{partition}: {place:?} stands behind {last:?}"),
                ));
            }
            last = Some(place);
        }
    }
    Ok(())
}

/// `no_loss` and `no_double_effect`: each change's effect is in the audit exactly once.
pub(super) fn each_once(wal: &Wal, replica: &Replica) -> Result<(), Failure> {
    let mut effects: BTreeMap<(u64, u32), u32> = BTreeMap::new();
    for effect in &replica.audit {
        let place = (effect.position.commit, effect.position.ordinal);
        *effects.entry(place).or_default() += 1;
    }
    if let Some((place, count)) = effects.iter().find(|(_, count)| **count > 1) {
        return Err(Failure::new(
            Checker::NoDoubleEffect,
            format!("{place:?} took effect {count} times"),
        ));
    }
    let expected: BTreeSet<(u64, u32)> = wal
        .positions
        .iter()
        .flat_map(|(commit, count)| (0..*count).map(|ordinal| (*commit, ordinal)))
        .collect();
    match expected.iter().find(|place| !effects.contains_key(place)) {
        None => Ok(()),
        Some(place) => Err(Failure::new(
            Checker::NoLoss,
            format!("{place:?} never took effect"),
        )),
    }
}
