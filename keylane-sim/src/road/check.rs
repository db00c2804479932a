//! The checkers of the whole road: over the log, with a reader of its own, and over the replica's audit.

use std::collections::{BTreeMap, BTreeSet};

use super::log::Log;
use super::wal::Wal;
use crate::model::Replica;
use crate::verdict::{Checker, Failure};

/// `no_duplicate_position_in_accepted_log`: in each partition, the data of the epoch that is current where it stands has strictly ascending positions.
pub(super) fn accepted_once(log: &Log) -> Result<(), Failure> {
    for (partition, records) in &log.partitions {
        let (mut current, mut last) = (0, (0, 0));
        for record in records {
            let fields = fields(record.keylane.as_deref().unwrap_or_default());
            let epoch = number(&fields, "e");
            match fields.get("k").map(String::as_str) {
                Some("o") => current = current.max(epoch),
                Some("c") if epoch == current => {
                    let place = place(&fields);
                    if place <= last {
                        return Err(Failure::new(
                            Checker::NoDuplicatePositionInAcceptedLog,
                            format!("{partition}: {place:?} stands behind {last:?}"),
                        ));
                    }
                    last = place;
                }
                _ => {}
            }
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

fn fields(header: &[u8]) -> BTreeMap<String, String> {
    String::from_utf8_lossy(header)
        .split(' ')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn number(fields: &BTreeMap<String, String>, name: &str) -> u64 {
    let text = fields.get(name).map_or("", String::as_str);
    u64::from_str_radix(text, 16).unwrap_or(0)
}

fn place(fields: &BTreeMap<String, String>) -> (u64, u64) {
    let text = fields.get("p").map_or("", String::as_str);
    let (commit, ordinal) = text.split_once('.').unwrap_or(("", ""));
    let hex = |text| u64::from_str_radix(text, 16).unwrap_or(0);
    (hex(commit), 1 + hex(ordinal))
}
