//! From a partition's records to the items its lanes work on.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Offset, OrderHash, Position};
use crate::publish::{Acceptance, Header, RawRecord, RecordKind, Stamp, Verdict};

/// A change on its way to a lane. The payload is opaque to the lanes: raw bytes on the road, something small in the simulator.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<P> {
    /// Where it is in its partition.
    pub offset: Offset,
    /// Where it stands at the origin.
    pub position: Position,
    /// What puts it in a lane.
    pub order: OrderHash,
    /// What it waits for.
    pub stamp: Stamp,
    /// The record's key: one row's changes share it.
    pub key: Bytes,
    /// Memory it holds.
    pub size_bytes: usize,
    /// What is to be applied.
    pub payload: P,
}

/// What an item takes besides its record: itself, and its places in its lane's queue and in its partition's frontier.
const HELD_BYTES: usize = size_of::<Item<RawPayload>>() + 128;

/// What a record was taken as.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// A change for a lane.
    Item(Arc<Item<RawPayload>>),
    /// A schema, to be known before the changes behind it.
    Schema(Bytes),
    /// Everything up to the position is in this partition; nothing to apply.
    Marker(Position),
    /// An epoch was opened; nothing to apply.
    Opened,
    /// Skipped: of another epoch, or a replay, or a tombstone.
    Skipped(Verdict),
    /// Neither Keylane's nor readable: to be reported and passed over, because no key tells whose it is. The text says why.
    Unreadable(&'static str),
}

/// A change's value and header, to be decoded by the worker that applies it.
#[derive(Clone, Debug, PartialEq)]
pub struct RawPayload {
    /// The value (the envelope).
    pub value: Bytes,
    /// The header, if it is Keylane's own record.
    pub header: Option<Header>,
    /// The log's time of the record, milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// Takes a partition's records in, in offset order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// The state of judging.
    pub acceptance: Acceptance,
    /// Records that were skipped as stale or replayed.
    pub skipped: u64,
}

impl Intake {
    /// Goes on from a stored acceptance.
    pub fn new(acceptance: Acceptance) -> Self {
        Intake {
            acceptance,
            skipped: 0,
        }
    }

    /// Takes one of Keylane's own records.
    pub fn take(&mut self, record: RawRecord) -> Taken {
        let Some(raw) = &record.keylane else {
            return Taken::Unreadable(
                "it has no `keylane` header, and this topic is Keylane's own",
            );
        };
        let Ok(header) = Header::decode(raw) else {
            return Taken::Unreadable("its `keylane` header is malformed or of a later version");
        };
        if header.source.is_some() {
            return Taken::Unreadable("it is an event of an outbox, and this topic is a table's");
        }
        match self.acceptance.judge(&header) {
            Verdict::Opened => return Taken::Opened,
            Verdict::Take => {}
            skipped @ (Verdict::Stale | Verdict::Replay) => {
                self.skipped += u64::from(header.kind == RecordKind::Change);
                return Taken::Skipped(skipped);
            }
        }
        let size_bytes = record.size_bytes() + HELD_BYTES;
        match header.kind {
            RecordKind::Change => {
                let (Some(key), Some(value)) = (record.key, record.value) else {
                    return Taken::Unreadable("it is a change without key or value");
                };
                Taken::Item(Arc::new(Item {
                    offset: record.offset,
                    position: header.position,
                    order: header.order.unwrap_or_else(|| OrderHash::of(&key)),
                    stamp: header.stamp.clone(),
                    key,
                    size_bytes,
                    payload: RawPayload {
                        value,
                        header: Some(header),
                        timestamp_ms: record.timestamp_ms,
                    },
                }))
            }
            RecordKind::Marker => Taken::Marker(header.position),
            RecordKind::Schema => record.value.map_or(
                Taken::Unreadable("it is a schema without a value"),
                Taken::Schema,
            ),
            RecordKind::Tombstone | RecordKind::Open | RecordKind::State => {
                Taken::Skipped(Verdict::Take)
            }
        }
    }
}
