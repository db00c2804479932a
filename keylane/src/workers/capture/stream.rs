//! Events in, records out, acknowledgements back to the origin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use keylane_core::capture::{
    Origin, OriginError, OriginErrorKind, OriginEvent, OutboxRow, Publication, Sequenced,
    TableProgress,
};
use keylane_core::model::{
    Offset, Op, OrderHash, Position, SchemaId, TableName, TableSchema, TopicPartition,
};
use keylane_core::publish::{Header, Log, LogError, NewRecord, RecordKind};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::outbox::OutboxWork;
use super::reader::Reader;
use super::run::CaptureFailure;
use super::session::Session;
use super::settings::CaptureSettings;
use super::younger::YoungerWatch;
use crate::envelope::{SourceInfo, encode_change};
use crate::workers::control::ControlRecord;
use crate::workers::stats::{CaptureStats, now_us, raise};

/// Markers that readers wait for are not closer together than this.
const MARKER_SPACING: Duration = Duration::from_millis(5);
/// While nothing but the origin's own place moves, partitions are told this often.
const MARKER_IDLE: Duration = Duration::from_secs(10);
/// With nothing to publish for this long, a log that could be opened counts as working again.
const QUIET_MIN: Duration = Duration::from_secs(10);
/// How long a drain waits for what was handed to the log.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// What a handed-over batch means once it is durable.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) partitions: Vec<(TopicPartition, Position)>,
    resolved_end: Option<u64>,
    copied: Vec<TableProgress>,
    /// Rows of outbox tables whose events are in it, or were found in the log.
    pub(super) rows: Vec<OutboxRow>,
    pub(super) changes: u64,
    pub(super) bytes: u64,
}

type Durable = (Pending, Result<Vec<Offset>, LogError>);

/// The streaming part of a session.
pub(super) struct Stream<'a> {
    pub(super) session: Session,
    pub(super) younger: YoungerWatch,
    pub(super) reader: Reader,
    pub(super) log: &'a dyn Log,
    pub(super) settings: &'a CaptureSettings,
    pub(super) stats: &'a CaptureStats,
    pub(super) outbox: OutboxWork,
    source: SourceInfo,
    in_flight: FuturesOrdered<BoxFuture<'static, Durable>>,
    known_schemas: BTreeSet<SchemaId>,
    announced: BTreeSet<TableName>,
    reached: BTreeMap<TopicPartition, Position>,
    last_marker: Position,
    last_marker_at: Instant,
    marker_wanted: bool,
    /// Whether a change went out since the last markers.
    moved: bool,
    stored_confirmed: u64,
    stored_at: Instant,
    /// Whether the log takes what is published. After it failed, that is not known before it did.
    log_works: bool,
    opened_at: Instant,
    copy_told: bool,
}

impl<'a> Stream<'a> {
    /// Streaming from an open session. `log_works`: the session before was not ended by the log.
    pub(super) fn new(
        session: Session,
        origin: Box<dyn Origin>,
        log: &'a dyn Log,
        settings: &'a CaptureSettings,
        stats: &'a CaptureStats,
        log_works: bool,
    ) -> Self {
        let copy_told = session.sequencer.plan().current().is_none();
        let reached = session
            .checkpoints
            .iter()
            .map(|(partition, checkpoint)| (partition.clone(), checkpoint.acceptance.reached))
            .collect();
        let reader = Reader::start(origin, settings.batch_bytes);
        stats.sessions.add(1);
        stats.epoch.set(session.epoch.0);
        stats.confirmed.set(session.confirmed);
        let source = SourceInfo::new(settings.connector, &settings.prefix, &settings.database);
        let stored_confirmed = session.confirmed;
        let younger = YoungerWatch::new(&settings.prefix, session.epoch, session.control_opened);
        Stream {
            session,
            younger,
            reader,
            log,
            settings,
            stats,
            outbox: OutboxWork::default(),
            source,
            in_flight: FuturesOrdered::new(),
            known_schemas: BTreeSet::new(),
            announced: BTreeSet::new(),
            reached,
            last_marker: Position::ZERO,
            last_marker_at: Instant::now(),
            marker_wanted: true,
            moved: true,
            stored_confirmed,
            stored_at: Instant::now(),
            log_works,
            opened_at: Instant::now(),
            copy_told,
        }
    }

    /// Streams until told to stop (then drains) or until something ends the session.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<(), CaptureFailure> {
        // A stop is heard wherever the work waits, for room in the log too. What was read and not handed over is told again after the next start.
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            ended = self.work() => return ended,
        }
        self.drain().await
    }

    /// Never ends but by a failure. Dropped anywhere, it leaves what a crash there would: nothing is confirmed that is not durable.
    async fn work(&mut self) -> Result<(), CaptureFailure> {
        let mut ticker = tokio::time::interval(MARKER_SPACING);
        ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.request_chunk().await?;
            self.tell_state();
            let room = self.in_flight.len() < self.settings.batches_in_flight_max;
            tokio::select! {
                Some(durable) = self.in_flight.next(), if !self.in_flight.is_empty() => self.durable(durable).await?,
                _ = ticker.tick() => self.housekeeping().await?,
                events = self.reader.next(), if room => self.take(events?).await?,
            }
        }
    }

    fn tell_state(&self) {
        let left = self.session.sequencer.plan().current();
        self.stats
            .snapshot_tables_left
            .set(u64::from(left.is_some()));
        if !self.log_works {
            return;
        }
        match left {
            Some(table) => self.stats.state.set(
                "snapshotting",
                format!("copying {} ({} rows so far)", table.table, table.rows),
            ),
            None => self.stats.state.set("streaming", ""),
        }
    }

    async fn request_chunk(&mut self) -> Result<(), CaptureFailure> {
        let Some(request) = self.session.sequencer.next_chunk(self.settings.chunk_rows) else {
            return Ok(());
        };
        if self.announced.insert(request.table.clone()) {
            info!(pipeline = &*self.settings.pipeline, table = %request.table, "copying");
            let begun = self.session.sequencer.plan().current().cloned();
            if let Some(begun) = begun {
                let stored = self.store_table(&begun).await?;
                // A younger session that does not know of this copy would hold back changes that this one publishes of the table.
                self.younger.none_before(self.log, stored).await?;
            }
        }
        self.reader.request_chunk(request).await?;
        Ok(())
    }

    async fn store_table(&mut self, progress: &TableProgress) -> Result<Offset, CaptureFailure> {
        let record = ControlRecord::Table(progress).record(
            &self.settings.prefix,
            self.session.epoch,
            now_us() / 1000,
        );
        let offsets = self.log.append(vec![record]).await?.await?;
        Ok(offsets.first().copied().unwrap_or_default())
    }

    /// Events become records, handed over together.
    async fn take(&mut self, events: Vec<OriginEvent>) -> Result<(), CaptureFailure> {
        let mut records = Vec::new();
        let mut pending = Pending::default();
        let mut schemas: Vec<Arc<TableSchema>> = Vec::new();
        for event in events {
            self.open_named(&event).await?;
            if let Some(table) = unrouted(&event, &self.session) {
                return Err(CaptureFailure::Reopen(format!(
                    "table {table} has come since the session was opened"
                )));
            }
            for sequenced in self.session.sequencer.step(event) {
                match sequenced {
                    Sequenced::Publish(publication) => {
                        self.stats.captured.add(1);
                        self.publish(*publication, &mut records, &mut pending, &mut schemas);
                    }
                    Sequenced::Replay => {
                        self.stats.captured.add(1);
                        self.stats.replays_skipped.add(1);
                    }
                    Sequenced::Unpublished | Sequenced::ReadAgain => {}
                    Sequenced::Event(publication) => {
                        self.publish_event(*publication, &mut records, &mut pending);
                    }
                    Sequenced::EventReplay(row) => self.found(row, &mut pending),
                    Sequenced::EventRefused(refused) => self.outbox.refused.push(*refused),
                    Sequenced::KeyIncomplete(table) => return Err(key_incomplete(&table)),
                    Sequenced::Resolved { end, .. } => pending.resolved_end = Some(end),
                    Sequenced::MarkerWanted => self.marker_wanted = true,
                    Sequenced::Copied { progress, rows } => {
                        self.stats.snapshot_rows.add(rows);
                        pending.copied.push(progress);
                    }
                }
            }
        }
        self.park_refused().await?;
        self.store_schemas(&schemas).await?;
        self.add_markers(&mut records, &mut pending);
        self.hand_over(records, pending).await
    }

    fn publish(
        &mut self,
        publication: Publication,
        records: &mut Vec<NewRecord>,
        pending: &mut Pending,
        schemas: &mut Vec<Arc<TableSchema>>,
    ) {
        let Publication {
            change,
            partition,
            key,
            order,
            stamp,
        } = publication;
        if self.known_schemas.insert(change.schema.id) {
            schemas.push(change.schema.clone());
        }
        self.marker_wanted |= stamp.floor > self.last_marker || change.op == Op::Truncate;
        raise(&self.stats.last_commit_us, change.committed_at_us);
        let header = Header {
            kind: RecordKind::Change,
            epoch: self.session.epoch,
            position: change.position,
            stamp,
            order: (OrderHash::of(key.as_bytes()) != order).then_some(order),
            schema: Some(change.schema.id),
            committed_at_us: change.committed_at_us,
            source: None,
        };
        let key = bytes::Bytes::from(key);
        // Not the commit's time, which the header tells: by the records' times a broker forgets producers, and then a record sent again would be taken twice.
        let now_ms = now_us() / 1000;
        let record = NewRecord {
            partition: partition.clone(),
            key: Some(key.clone()),
            value: Some(encode_change(&change, &self.source)),
            headers: Vec::new(),
            keylane: header.encode(),
            timestamp_ms: now_ms,
        };
        pending.bytes += record.size_bytes() as u64;
        pending.changes += 1;
        self.moved = true;
        self.reached.insert(partition.clone(), change.position);
        pending
            .partitions
            .push((partition.clone(), change.position));
        records.push(record);
        if self.settings.tombstones && change.op == Op::Delete {
            let tombstone =
                Header::plain(RecordKind::Tombstone, self.session.epoch, change.position);
            pending
                .partitions
                .push((partition.clone(), change.position));
            records.push(NewRecord {
                partition,
                key: Some(key),
                value: None,
                headers: Vec::new(),
                keylane: tombstone.encode(),
                timestamp_ms: now_ms,
            });
        }
    }

    /// A schema is in the control topic before the first change that needs it is in its partition.
    async fn store_schemas(&mut self, schemas: &[Arc<TableSchema>]) -> Result<(), CaptureFailure> {
        if schemas.is_empty() {
            return Ok(());
        }
        let record = |schema: &Arc<TableSchema>| {
            ControlRecord::Schema(schema).record(
                &self.settings.prefix,
                self.session.epoch,
                now_us() / 1000,
            )
        };
        self.log
            .append(schemas.iter().map(record).collect())
            .await?
            .await?;
        Ok(())
    }

    /// Tells partitions that lie behind how far the origin is.
    fn add_markers(&mut self, records: &mut Vec<NewRecord>, pending: &mut Pending) {
        let resolved = self.session.sequencer.resolved();
        let since = self.last_marker_at.elapsed();
        let interval = if self.moved {
            self.settings
                .marker_interval
                .max(Duration::from_millis(self.reached.len() as u64))
        } else {
            MARKER_IDLE
        };
        let due = if self.marker_wanted {
            MARKER_SPACING
        } else {
            interval
        };
        if resolved <= self.last_marker || since < due {
            return;
        }
        let header = Header::plain(RecordKind::Marker, self.session.epoch, resolved).encode();
        for (partition, reached) in &mut self.reached {
            if *reached >= resolved {
                continue;
            }
            *reached = resolved;
            pending.partitions.push((partition.clone(), resolved));
            records.push(NewRecord {
                partition: partition.clone(),
                key: Some(bytes::Bytes::from_static(b"{\"keylane\":\"marker\"}")),
                value: None,
                headers: Vec::new(),
                keylane: header.clone(),
                timestamp_ms: now_us() / 1000,
            });
        }
        (self.last_marker, self.last_marker_at) = (resolved, Instant::now());
        (self.marker_wanted, self.moved) = (false, false);
    }

    async fn hand_over(
        &mut self,
        records: Vec<NewRecord>,
        pending: Pending,
    ) -> Result<(), CaptureFailure> {
        self.stats.in_flight_bytes.add(pending.bytes);
        if records.is_empty() {
            // Nothing to wait for but what went before it.
            self.in_flight
                .push_back(Box::pin(std::future::ready((pending, Ok(Vec::new())))));
            return Ok(());
        }
        let ticket = self.log.append(records).await?;
        self.in_flight.push_back(Box::pin(async move {
            let result = ticket.await;
            (pending, result)
        }));
        Ok(())
    }

    /// Batches come back in the order they went, so everything before is durable too.
    async fn durable(&mut self, (pending, result): Durable) -> Result<(), CaptureFailure> {
        let offsets = result?;
        self.log_works |= !offsets.is_empty();
        for ((partition, position), offset) in pending.partitions.into_iter().zip(offsets) {
            if let Some(checkpoint) = self.session.checkpoints.get_mut(&partition) {
                checkpoint.offset = checkpoint.offset.max(offset.next());
                checkpoint.acceptance.reached = checkpoint.acceptance.reached.max(position);
            }
        }
        self.purge_later(pending.rows).await?;
        self.stats.published.add(pending.changes);
        self.stats.in_flight_bytes.set(
            self.stats
                .in_flight_bytes
                .get()
                .saturating_sub(pending.bytes),
        );
        if let Some(end) = pending.resolved_end {
            self.session.confirmed = self.session.confirmed.max(end);
        }
        for progress in pending.copied {
            self.store_table(&progress).await?;
            self.session.sequencer.stored(&progress.table);
            if self.session.sequencer.plan().current().is_none() && !self.copy_told {
                self.copy_told = true;
                info!(
                    pipeline = &*self.settings.pipeline,
                    rows = self.stats.snapshot_rows.get(),
                    "the initial copy is complete"
                );
            }
        }
        Ok(())
    }

    async fn housekeeping(&mut self) -> Result<(), CaptureFailure> {
        // The session wrote to the log when it was opened, and there was nothing else to publish since.
        self.log_works |= self.in_flight.is_empty() && self.opened_at.elapsed() >= QUIET_MIN;
        let (mut records, mut pending) = (Vec::new(), Pending::default());
        self.add_markers(&mut records, &mut pending);
        if !records.is_empty() {
            self.hand_over(records, pending).await?;
        }
        self.look_for_topics();
        let many = Duration::from_millis(2 * self.reached.len() as u64);
        if self.session.confirmed > self.stored_confirmed
            && self.stored_at.elapsed() >= self.settings.checkpoint_interval.max(many)
        {
            self.store_checkpoint().await?;
        }
        Ok(())
    }

    /// Stored first, then what was published leaves the outbox, then the origin may forget: in any other order a crash would leave rows behind that nobody tells of again.
    async fn store_checkpoint(&mut self) -> Result<(), CaptureFailure> {
        let confirmed = self.session.confirmed;
        self.append_checkpoint().await?;
        self.purge().await?;
        self.reader.confirm(confirmed).await?;
        (self.stored_confirmed, self.stored_at) = (confirmed, Instant::now());
        self.stats.confirmed.set(confirmed);
        Ok(())
    }

    async fn drain(mut self) -> Result<(), CaptureFailure> {
        debug!(
            pipeline = &*self.settings.pipeline,
            batches = self.in_flight.len(),
            "draining"
        );
        if let Ok(drained) = tokio::time::timeout(DRAIN_MAX, self.acknowledged()).await {
            return drained;
        }
        info!(
            pipeline = &*self.settings.pipeline,
            "the log did not acknowledge in time; the next start goes on from its tail"
        );
        Ok(())
    }

    async fn acknowledged(&mut self) -> Result<(), CaptureFailure> {
        while let Some(durable) = self.in_flight.next().await {
            self.durable(durable).await?;
        }
        if self.session.confirmed > self.stored_confirmed {
            self.store_checkpoint().await?;
        }
        Ok(())
    }
}

/// A captured table that the session does not know.
fn unrouted(event: &OriginEvent, session: &Session) -> Option<TableName> {
    let schema = match event {
        OriginEvent::Insert { schema, .. }
        | OriginEvent::Update { schema, .. }
        | OriginEvent::Delete { schema, .. } => schema,
        _ => return None,
    };
    (!session.sequencer.has_route(&schema.table)).then(|| schema.table.clone())
}

/// A change that tells no order: publishing it anywhere would be a guess.
fn key_incomplete(table: &TableName) -> CaptureFailure {
    CaptureFailure::Origin(OriginError {
        kind: OriginErrorKind::Refused,
        code: "KL-PUBLISH-002",
        message: format!(
            "a change of {table} does not carry all columns of its key: set a replica identity that does (see `keylane check`)"
        ),
    })
}
