//! A log without faults: every change stamped and in its partition, with markers.

use std::collections::BTreeMap;
use std::sync::Arc;

use keylane_core::capture::Place;
use keylane_core::model::{Change, Epoch, Offset, Position, TableSchema, TopicPartition};
use keylane_core::publish::{Header, RawRecord, RecordKind, Stamp};

use super::Routes;
use crate::Chance;

const EPOCH: Epoch = Epoch(1);

/// A whole log by partition.
pub(crate) type Written = BTreeMap<TopicPartition, Vec<RawRecord>>;

/// The whole log: stamped records, and markers at random moments and at the end.
pub(crate) fn written(
    tables: &[Arc<TableSchema>],
    changes: &[Arc<Change>],
    routes: Routes,
    mut stamp: impl FnMut(&Change, Place) -> Stamp,
    chance: &mut Chance,
) -> Written {
    let mut log: Written = routes
        .all(tables)
        .into_iter()
        .map(|partition| (partition, Vec::new()))
        .collect();
    let plain = |kind, position| RawRecord {
        headers: Vec::new(),
        offset: Offset(0),
        key: None,
        value: None,
        keylane: Some(Header::plain(kind, EPOCH, position).encode().into()),
        timestamp_ms: 0,
    };
    let append = |records: &mut Vec<RawRecord>, mut record: RawRecord| {
        record.offset = Offset(records.len() as u64);
        records.push(record);
    };
    for records in log.values_mut() {
        append(records, plain(RecordKind::Open, Position::ZERO));
    }
    let last = changes.len().saturating_sub(1);
    for (number, change) in changes.iter().enumerate() {
        let (partition, place) = routes.place(change);
        let stamp = stamp(change, place);
        let record = routes.record(number as u32, change, stamp, EPOCH);
        append(log.entry(partition).or_default(), record);
        if number == last || chance.percent(10) {
            let commit = change.position.commit;
            let goes_on = changes.get(number + 1).map(|next| next.position.commit) == Some(commit);
            let reached = if goes_on {
                change.position
            } else {
                Position::end_of(commit)
            };
            for records in log.values_mut() {
                append(records, plain(RecordKind::Marker, reached));
            }
        }
    }
    log
}
