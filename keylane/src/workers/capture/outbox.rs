//! Rows of outbox tables: their topics are opened as rows name them, and what becomes of a row is written back to the origin.
//!
//! A topic of events is opened like a table's: the epoch's own record in every partition, then the tails up to there. Before the first event ever goes into one, that it holds none is
//! stored in the control topic; so a later session knows which tails to read, and a topic that others fill is never read from its start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use keylane_core::capture::{EventPublication, EventTopic, OriginEvent, OutboxRow, RefusedRow};
use keylane_core::model::{Offset, Position, TopicPartition};
use keylane_core::publish::{
    Acceptance, Checkpoint, Header, LogError, LogErrorKind, NewRecord, RecordKind, SourceId,
    TopicInfo,
};
use tracing::{debug, info, warn};

use super::run::CaptureFailure;
use super::session::{opening, read_tail};
use super::stream::{Pending, Stream};
use crate::workers::control::ControlRecord;
use crate::workers::stats::{now_us, raise};

/// Rows that are published and still in their table, at most; then they are deleted before the next checkpoint.
const PURGE_MAX: usize = 10_000;
/// How often a topic that was not there is asked for anew, if rows still name it.
const MISSING_FOR: Duration = Duration::from_secs(10);

/// What is to be written back.
#[derive(Default)]
pub(super) struct OutboxWork {
    /// Rows of this batch that cannot be published.
    pub(super) refused: Vec<RefusedRow>,
    /// Rows whose events the log holds durably.
    published: Vec<OutboxRow>,
    /// Since when topics are known to be missing.
    missing_since: Option<Instant>,
}

impl Stream<'_> {
    /// Opens the topic that an event names, if it is not open yet.
    pub(super) async fn open_named(&mut self, event: &OriginEvent) -> Result<(), CaptureFailure> {
        let outbox = self.session.sequencer.outbox();
        let Some(name) = outbox.and_then(|outbox| outbox.unknown_topic(event)) else {
            return Ok(());
        };
        let Some(info) = self.find(&name).await? else {
            self.outbox.missing_since.get_or_insert_with(Instant::now);
            if let Some(outbox) = self.session.sequencer.outbox_mut() {
                outbox.missing(name);
            }
            return Ok(());
        };
        let tails = self.open_topic(&info).await?;
        debug!(
            pipeline = &*self.settings.pipeline,
            topic = &*name,
            partitions = info.partitions,
            "a topic of events is open"
        );
        if let Some(outbox) = self.session.sequencer.outbox_mut() {
            let topic = EventTopic {
                partitions: info.partitions,
                record_bytes_max: info.record_bytes_max,
            };
            outbox.open(name, topic, tails);
        }
        Ok(())
    }

    /// The topic; one that the configuration names in full is made if it is missing.
    async fn find(&mut self, name: &Arc<str>) -> Result<Option<TopicInfo>, LogError> {
        if let Some(info) = self.log.describe_topic(name).await? {
            return Ok(Some(info));
        }
        let rules = self.settings.outbox.iter().map(|outbox| &outbox.rules);
        let mut patterns = rules.flat_map(|rules| &rules.topics);
        if !patterns.any(|pattern| pattern.exact() == Some(name)) {
            return Ok(None);
        }
        let spec = self.settings.event_topic_spec(name);
        let mut made = self.log.ensure_topics(&[spec]).await?;
        info!(
            pipeline = &*self.settings.pipeline,
            topic = &**name,
            "made a topic of events"
        );
        Ok(made.pop())
    }

    /// Opens the epoch in every partition and reads how far each is.
    async fn open_topic(
        &mut self,
        info: &TopicInfo,
    ) -> Result<BTreeMap<TopicPartition, Position>, CaptureFailure> {
        let (epoch, source) = (self.session.epoch, self.source_id());
        let header = Header {
            source: Some(source),
            ..Header::plain(RecordKind::Open, epoch, Position::ZERO)
        };
        let partitions: Vec<TopicPartition> = (0..info.partitions)
            .map(|number| TopicPartition::new(info.name.clone(), number))
            .collect();
        let header = header.encode();
        let record = |partition| opening(partition, epoch, &header);
        let opened = self.log.append(partitions.iter().map(record).collect());
        let offsets = opened.await?.await?;
        let mut tails = BTreeMap::new();
        let mut is_first = false;
        for (partition, end) in partitions.into_iter().zip(offsets) {
            let stored = self.session.stored.get(&partition).copied();
            is_first |= stored.is_none();
            let checkpoint = match stored {
                Some(_) => {
                    read_tail(self.log, &partition, stored, end, epoch, Some(source)).await?
                }
                None => Checkpoint {
                    offset: end.next(),
                    acceptance: Acceptance {
                        epoch,
                        reached: Position::ZERO,
                    },
                },
            };
            tails.insert(partition.clone(), checkpoint.acceptance.reached);
            self.session.checkpoints.insert(partition, checkpoint);
        }
        if is_first {
            let stored = self.append_checkpoint().await?;
            // A younger session that does not know of it would not read these tails, and publish again what this one is about to.
            self.younger.none_before(self.log, stored).await?;
        }
        Ok(tails)
    }

    /// Stores how far everything is. Returns where it stands in the control topic.
    pub(super) async fn append_checkpoint(&mut self) -> Result<Offset, CaptureFailure> {
        let record = ControlRecord::Checkpoint {
            confirmed: self.session.confirmed,
            partitions: &self.session.checkpoints,
        };
        let record = record.record(&self.settings.prefix, self.session.epoch, now_us() / 1000);
        let offsets = self.log.append(vec![record]).await?.await?;
        let told = offsets.first().copied();
        Ok(told.ok_or_else(|| {
            let message = "the log acknowledged a record without telling where it is";
            LogError::new(LogErrorKind::Other, message)
        })?)
    }

    pub(super) fn publish_event(
        &mut self,
        publication: EventPublication,
        records: &mut Vec<NewRecord>,
        pending: &mut Pending,
    ) {
        let EventPublication {
            event,
            partition,
            position,
            committed_at_us,
            row,
            ..
        } = publication;
        self.stats.captured.add(1);
        raise(&self.stats.last_commit_us, committed_at_us);
        let header = Header {
            committed_at_us,
            source: Some(self.source_id()),
            ..Header::plain(RecordKind::Change, self.session.epoch, position)
        };
        let record = NewRecord {
            partition: partition.clone(),
            headers: event.record_headers(),
            key: event.key.map(Bytes::from),
            value: event.payload,
            keylane: header.encode(),
            timestamp_ms: now_us() / 1000,
        };
        pending.bytes += record.size_bytes() as u64;
        pending.changes += 1;
        pending.partitions.push((partition, position));
        pending.rows.push(row);
        records.push(record);
    }

    /// The log holds a row's event: its capturer died before the row was deleted.
    pub(super) fn found(&self, row: OutboxRow, pending: &mut Pending) {
        self.stats.captured.add(1);
        self.stats.replays_skipped.add(1);
        pending.rows.push(row);
    }

    /// Writes the rows of this batch that cannot be published back, before the origin may forget them.
    pub(super) async fn park_refused(&mut self) -> Result<(), CaptureFailure> {
        let Some(first) = self.outbox.refused.first() else {
            return Ok(());
        };
        let count = self.outbox.refused.len();
        warn!(
            pipeline = &*self.settings.pipeline,
            table = %first.row.table,
            seq = first.row.seq,
            rows = count,
            "not published, parked in the outbox: {}",
            first.refusal
        );
        self.stats.events_parked.add(count as u64);
        let refused = std::mem::take(&mut self.outbox.refused);
        Ok(self.reader.park(refused).await?)
    }

    /// These rows' events are durable: the rows go with the next checkpoint, or now if there are many.
    pub(super) async fn purge_later(&mut self, rows: Vec<OutboxRow>) -> Result<(), CaptureFailure> {
        self.outbox.published.extend(rows);
        match self.outbox.published.len() >= PURGE_MAX {
            true => self.purge().await,
            false => Ok(()),
        }
    }

    /// Deletes the rows whose events are durable.
    pub(super) async fn purge(&mut self) -> Result<(), CaptureFailure> {
        if self.outbox.published.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.outbox.published);
        Ok(self.reader.purge(rows).await?)
    }

    /// Topics that were not there may have been made since.
    pub(super) fn look_for_topics(&mut self) {
        let since = self.outbox.missing_since;
        if since.is_some_and(|since| since.elapsed() >= MISSING_FOR) {
            self.outbox.missing_since = None;
            if let Some(outbox) = self.session.sequencer.outbox_mut() {
                outbox.forget_missing();
            }
        }
    }

    fn source_id(&self) -> SourceId {
        SourceId::of(&self.settings.prefix)
    }
}
