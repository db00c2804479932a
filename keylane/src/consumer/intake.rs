//! What comes in: records that the log has fetched, as many as there is room for.

use std::time::Instant;

use keylane_core::consume::{Batch, Buffer, KeepOrder};
use keylane_core::model::TopicPartition;
use keylane_core::publish::{LogError, LogErrorKind, RawRecord};

use super::error::ConsumerError;
use super::order::{is_beginning, order_of};
use super::record::{Record, StoredRecord};
use super::run::{AWAY, Road};
use super::work::Ended;

/// What a record takes here beside its bytes: its place in a queue, which grows by doubling, and what its shared parts are counted by.
const BESIDE_BYTES: usize = 320;
/// Of a partition that has so many keys whose next record may be handled at once no more is taken in. The client goes on fetching, in its own queue.
const READY_ENOUGH: usize = 64;

impl<A: Future<Output = Ended>> Road<'_, A> {
    /// Partitions with room, and how many bytes they have room for.
    pub(super) fn room(&self) -> Vec<(TopicPartition, usize)> {
        if self.away_until.is_some_and(|until| Instant::now() < until) {
            return Vec::new();
        }
        let buffer = Buffer {
            // The other half is the client's.
            bytes: self.settings.buffer_bytes / 2,
            ready_enough: match self.settings.batch {
                Batch::Single => READY_ENOUGH,
                Batch::OfDistinctKeys(most) => READY_ENOUGH.max(4 * most),
                // A batch is as long as its key's queue.
                Batch::OfOneKey(_) => usize::MAX,
            },
        };
        let mut room = buffer.room(self.dispatch.partitions());
        if let Some(leaving) = &self.leaving {
            room.retain(|(partition, _)| !leaving.partitions.contains(partition));
        }
        room
    }

    pub(super) fn fetched(
        &mut self,
        fetched: Result<Vec<(TopicPartition, Vec<RawRecord>)>, LogError>,
    ) -> Result<(), ConsumerError> {
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(error) if error.kind == LogErrorKind::OutOfRange => {
                return Err(ConsumerError::Gap(error.message));
            }
            Err(error) if error.kind.away().is_some() => {
                self.away_until = Some(Instant::now() + AWAY.0);
                self.settings.stats.troubled(&error.message);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if !fetched.is_empty() {
            self.away_until = None;
            self.settings.stats.troubled("");
        }
        for (partition, records) in fetched {
            let Some(mut incoming) = self.dispatch.incoming(&partition) else {
                continue;
            };
            for raw in records {
                if is_beginning(&raw) {
                    incoming.pass(raw.offset);
                    continue;
                }
                let size_bytes = raw.size_bytes() + BESIDE_BYTES;
                let record = Record::from(StoredRecord {
                    order: order_of(&raw),
                    topic: partition.topic.clone(),
                    partition: partition.partition,
                    offset: raw.offset,
                    key: raw.key,
                    value: raw.value,
                    headers: raw.headers,
                    timestamp_ms: raw.timestamp_ms,
                });
                if let (KeepOrder::Key, Some(key)) = (self.settings.order, &record.key) {
                    self.hot.note(key);
                }
                let order = match &self.lanes {
                    None => Some(record.order),
                    Some(lanes) => lanes.place(&partition, &record).map(Some),
                };
                let new = match order {
                    Some(order) => incoming.offer(raw.offset, order, size_bytes, record),
                    None => {
                        incoming.pass(raw.offset);
                        false
                    }
                };
                if !new {
                    self.settings.stats.replays_skipped.add(1);
                }
            }
        }
        Ok(())
    }
}
