//! Opening a session: take the origin, take an epoch, check, open the epoch everywhere, read what was stored and every tail up to there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use keylane_core::capture::{
    Opened, Origin, OriginError, OriginErrorKind, OutboxTables, Route, Sequencer, SnapshotPlan,
    TablePhase, TableProgress,
};
use keylane_core::model::{Epoch, Offset, Position, TableName, TableSchema, TopicPartition};
use keylane_core::outbox::fault_of;
use keylane_core::publish::{
    Acceptance, Checkpoint, Header, Log, LogError, LogErrorKind, NewRecord, RecordKind, SourceId,
    TopicSpec,
};
use tracing::{debug, info};

use super::run::CaptureFailure;
use super::settings::{CaptureSettings, OriginHints, SessionSource};
use crate::envelope::SchemaCache;
use crate::workers::control::{
    ControlReader, ControlRecord, ControlState, TableTopic, control_spec, control_topic,
};
use crate::workers::stats::now_us;

/// How much of a tail is read at a time.
const TAIL_BYTES: usize = 1 << 20;
/// How many tails are read at once.
const TAILS_AT_ONCE: usize = 8;

/// A session that is open: everything is known that publishing needs.
pub(super) struct Session {
    pub epoch: Epoch,
    pub sequencer: Sequencer,
    pub checkpoints: BTreeMap<TopicPartition, Checkpoint>,
    /// What the control topic says of partitions: a topic of events of which it says nothing holds no event of this pipeline.
    pub stored: BTreeMap<TopicPartition, Checkpoint>,
    pub confirmed: u64,
    /// Where this session opened the control topic.
    pub control_opened: Offset,
}

/// Opens a session.
pub(super) async fn open(
    source: &dyn SessionSource,
    log: &dyn Log,
    settings: &CaptureSettings,
) -> Result<(Session, Box<dyn Origin>), CaptureFailure> {
    let control = control_spec(&settings.prefix, settings.replication_factor);
    let infos = log.ensure_topics(&[control]).await?;
    let (before, known_schemas) = match infos.iter().any(|info| info.created) {
        true => Default::default(),
        false => stored(log, settings, control_end(log, settings).await?).await?,
    };
    let hints = OriginHints {
        identity: before.identity,
        published_up_to: before.confirmed,
        known_schemas,
    };
    let mut origin = source.origin(hints).await?;
    let (outboxes, schemas): (Vec<_>, Vec<_>) = origin
        .tables()
        .await?
        .into_iter()
        .partition(|schema| settings.is_outbox(&schema.table));
    check_outboxes(&outboxes)?;
    let topics = ensure_topics(log, settings, &schemas, &before.topics).await?;
    let Opened {
        epoch,
        identity,
        confirmed,
    } = origin.open().await?;
    info!(
        pipeline = &*settings.pipeline,
        epoch = epoch.0,
        confirmed,
        "origin taken, opening the epoch"
    );

    let control_opened = open_control(log, settings, epoch).await?;
    let opened_at = open_partitions(log, settings, epoch, &topics).await?;
    let (state, _) = stored(log, settings, control_opened).await?;
    let checkpoints = read_tails(log, &opened_at, &state, epoch).await?;
    let tails = checkpoints
        .iter()
        .map(|(partition, checkpoint)| (partition.clone(), checkpoint.acceptance.reached))
        .collect();

    let plan = plan(settings, &schemas, &state);
    let mut sequencer = Sequencer::new(tails, confirmed, plan, settings.write_set_entries_max);
    make_routes(&mut sequencer, settings, &topics, &schemas, &outboxes);
    store_catalog(
        log, settings, epoch, &identity, &topics, &schemas, &sequencer,
    )
    .await?;
    let session = Session {
        epoch,
        sequencer,
        checkpoints,
        stored: state.checkpoints,
        confirmed,
        control_opened,
    };
    Ok((session, origin))
}

/// Tells what becomes of each table's changes.
fn make_routes(
    sequencer: &mut Sequencer,
    settings: &CaptureSettings,
    topics: &[TableTopic],
    schemas: &[Arc<TableSchema>],
    outboxes: &[Arc<TableSchema>],
) {
    for topic in topics {
        let table = TableName::new(topic.schema.as_str(), topic.table.as_str());
        let route = Route {
            guest: settings.guest(&table, schemas),
            ..Route::own(topic.topic.as_str(), topic.partitions)
        };
        sequencer.route(table, route);
    }
    if let Some(outbox) = &settings.outbox {
        let tables = outboxes.iter().map(|schema| schema.table.clone());
        let of_tables = topics.iter().map(|topic| Arc::from(topic.topic.as_str()));
        sequencer.set_outbox(OutboxTables::new(tables, outbox.rules.clone(), of_tables));
    }
}

/// Where the control topic ends. Asked for, because a read may end before: what was stored must not be taken for nothing.
async fn control_end(log: &dyn Log, settings: &CaptureSettings) -> Result<Offset, LogError> {
    let control = TopicPartition::new(control_topic(&settings.prefix), 0);
    Ok(log.bounds(&control).await?.end)
}

/// What the control topic says, up to an offset, and the tables' shapes as last published.
async fn stored(
    log: &dyn Log,
    settings: &CaptureSettings,
    up_to: Offset,
) -> Result<(ControlState, Vec<Arc<TableSchema>>), LogError> {
    let schemas = Arc::new(SchemaCache::default());
    let mut reader = ControlReader::new(&settings.prefix, schemas.clone());
    reader.poll(log, Some(up_to)).await?;
    let state = reader.state().clone();
    let latest = |topic: &TableTopic| {
        schemas.latest(&TableName::new(topic.schema.as_str(), topic.table.as_str()))
    };
    let known = state.topics.iter().filter_map(latest).collect();
    Ok((state, known))
}

fn check_outboxes(outboxes: &[Arc<TableSchema>]) -> Result<(), CaptureFailure> {
    let mut outboxes = outboxes.iter();
    let fault = outboxes.find_map(|schema| Some((&schema.table, fault_of(schema)?)));
    fault.map_or(Ok(()), |(table, fault)| {
        Err(CaptureFailure::Origin(OriginError {
            kind: OriginErrorKind::Refused,
            code: "KL-OUTBOX-005",
            message: format!(
                "table {table} cannot be an outbox: {fault}. Make it as docs/guides/outbox.md shows, or take it out of `outbox.tables`"
            ),
        }))
    })
}

async fn ensure_topics(
    log: &dyn Log,
    settings: &CaptureSettings,
    schemas: &[Arc<TableSchema>],
    known: &[TableTopic],
) -> Result<Vec<TableTopic>, CaptureFailure> {
    let specs: Vec<_> = schemas
        .iter()
        .map(|schema| settings.topic_spec(&schema.table))
        .collect();
    let shared: BTreeMap<_, _> = specs.iter().map(|spec| (&spec.name, spec)).collect();
    let once: Vec<TopicSpec> = shared.into_values().cloned().collect();
    log.ensure_topics(&once).await?;
    let mut topics = Vec::with_capacity(schemas.len());
    for (schema, spec) in schemas.iter().zip(specs) {
        let topic = TableTopic {
            schema: schema.table.schema.to_string(),
            table: schema.table.name.to_string(),
            topic: spec.name.to_string(),
            partitions: spec.partitions,
        };
        let former = known
            .iter()
            .find(|other| other.schema == topic.schema && other.table == topic.table);
        if let Some(other) = former.filter(|other| other.topic != topic.topic) {
            let message = format!(
                "the changes of {} went into topic {} and are to go into {}: what is unread in the one would be lost. Drain the road, then start with a new prefix",
                schema.table, other.topic, topic.topic
            );
            return Err(LogError::new(LogErrorKind::TopicMismatch, message).into());
        }
        let same = known.iter().find(|other| other.topic == topic.topic);
        if let Some(other) = same.filter(|other| other.partitions != topic.partitions) {
            let message = format!(
                "topic {} has {} partitions and had {}: keys have moved. Drain the road, then start with a new prefix",
                topic.topic, topic.partitions, other.partitions
            );
            return Err(LogError::new(LogErrorKind::TopicMismatch, message).into());
        }
        topics.push(topic);
    }
    Ok(topics)
}

/// Opens the epoch in the control topic; returns where.
async fn open_control(
    log: &dyn Log,
    settings: &CaptureSettings,
    epoch: Epoch,
) -> Result<Offset, LogError> {
    let record = ControlRecord::Open.record(&settings.prefix, epoch, now_us() / 1000);
    let offsets = log.append(vec![record]).await?.await?;
    offsets.first().copied().ok_or_else(|| {
        LogError::new(
            LogErrorKind::Other,
            "the log acknowledged a record without telling where it is",
        )
    })
}

/// Opens the epoch in every partition; returns where.
async fn open_partitions(
    log: &dyn Log,
    settings: &CaptureSettings,
    epoch: Epoch,
    topics: &[TableTopic],
) -> Result<BTreeMap<TopicPartition, Offset>, LogError> {
    let header = Header::plain(RecordKind::Open, epoch, Position::ZERO).encode();
    // Tables may share a topic.
    let partitions: BTreeSet<TopicPartition> = topics
        .iter()
        .flat_map(|topic| {
            (0..topic.partitions).map(|number| TopicPartition::new(topic.topic.as_str(), number))
        })
        .collect();
    let record = |partition| opening(partition, epoch, &header);
    debug!(
        pipeline = &*settings.pipeline,
        partitions = partitions.len(),
        "opening the epoch in every partition"
    );
    let offsets = log
        .append(partitions.iter().map(record).collect())
        .await?
        .await?;
    Ok(partitions.into_iter().zip(offsets).collect())
}

/// The record that opens an epoch in a partition.
pub(super) fn opening(partition: &TopicPartition, epoch: Epoch, header: &str) -> NewRecord {
    NewRecord {
        partition: partition.clone(),
        key: Some(format!("{{\"keylane\":\"open\",\"epoch\":{}}}", epoch.0).into()),
        value: None,
        headers: Vec::new(),
        keylane: header.to_owned(),
        timestamp_ms: now_us() / 1000,
    }
}

/// Reads each partition from its checkpoint up to the epoch's own record.
async fn read_tails(
    log: &dyn Log,
    opened_at: &BTreeMap<TopicPartition, Offset>,
    state: &ControlState,
    epoch: Epoch,
) -> Result<BTreeMap<TopicPartition, Checkpoint>, LogError> {
    let read = |(partition, end): (&TopicPartition, &Offset)| {
        let (partition, end) = (partition.clone(), *end);
        let stored = state.checkpoints.get(&partition).copied();
        async move {
            let checkpoint = read_tail(log, &partition, stored, end, epoch, None).await?;
            Ok::<_, LogError>((partition, checkpoint))
        }
    };
    stream::iter(opened_at.iter().map(read))
        .buffer_unordered(TAILS_AT_ONCE)
        .try_collect()
        .await
}

/// What a partition holds before the epoch's own record at `end`. In a topic of events only what came from `source` counts.
pub(super) async fn read_tail(
    log: &dyn Log,
    partition: &TopicPartition,
    stored: Option<Checkpoint>,
    end: Offset,
    epoch: Epoch,
    source: Option<SourceId>,
) -> Result<Checkpoint, LogError> {
    let mut checkpoint = stored.unwrap_or(Checkpoint {
        offset: Offset(0),
        acceptance: Acceptance::default(),
    });
    while checkpoint.offset < end {
        let records = match log.read(partition, checkpoint.offset, TAIL_BYTES).await {
            Err(error) if error.kind == LogErrorKind::OutOfRange => {
                // Retention has emptied what lies behind the checkpoint, which stands in for it.
                let start = log.bounds(partition).await?.start;
                checkpoint.offset = start.max(checkpoint.offset.next());
                continue;
            }
            other => other?,
        };
        let Some(last) = records.last().map(|record| record.offset) else {
            // The epoch's own record is there, so this is not the end: to take it for the end would publish twice.
            let message = format!("{partition} gave no records before its end");
            return Err(LogError::new(LogErrorKind::Unreachable, message));
        };
        for record in records.iter().take_while(|record| record.offset < end) {
            let header = record.keylane.as_deref().map(Header::decode);
            if let Some(Ok(header)) = header
                && header.source == source
            {
                checkpoint.acceptance.judge(&header);
            }
        }
        checkpoint.offset = last.next();
    }
    if checkpoint.acceptance.epoch >= epoch {
        let message = format!(
            "a younger capturer has opened {partition}: this session is over before it began"
        );
        return Err(LogError::new(LogErrorKind::SessionOver, message));
    }
    checkpoint.offset = end.next();
    checkpoint.acceptance.epoch = epoch;
    Ok(checkpoint)
}

fn plan(
    settings: &CaptureSettings,
    schemas: &[Arc<TableSchema>],
    state: &ControlState,
) -> SnapshotPlan {
    let fresh = if settings.snapshot {
        TablePhase::Waiting
    } else {
        TablePhase::Done {
            since: Position::ZERO,
        }
    };
    // A table that the session before did not carry has changed since, unseen: what was known of its copy no longer holds.
    let was_carried = |table: &TableName| {
        let mut topics = state.topics.iter();
        topics.any(|topic| {
            topic.schema.as_str() == &*table.schema && topic.table.as_str() == &*table.name
        })
    };
    let progress = |schema: &Arc<TableSchema>| {
        let known = state.tables.iter().find(|one| one.table == schema.table);
        let known = known.filter(|_| state.topics.is_empty() || was_carried(&schema.table));
        known.cloned().unwrap_or_else(|| TableProgress {
            table: schema.table.clone(),
            phase: fresh.clone(),
            rows: 0,
        })
    };
    SnapshotPlan::new(schemas.iter().map(progress).collect())
}

/// Stores which origin, which tables, which topics, which schemas: what an applier must know before the first change.
async fn store_catalog(
    log: &dyn Log,
    settings: &CaptureSettings,
    epoch: Epoch,
    identity: &str,
    topics: &[TableTopic],
    schemas: &[Arc<TableSchema>],
    sequencer: &Sequencer,
) -> Result<(), LogError> {
    let now_ms = now_us() / 1000;
    let mut records =
        vec![ControlRecord::Identity(identity).record(&settings.prefix, epoch, now_ms)];
    records.extend(
        schemas
            .iter()
            .map(|schema| ControlRecord::Schema(schema).record(&settings.prefix, epoch, now_ms)),
    );
    records.extend(
        sequencer
            .plan()
            .tables()
            .iter()
            .map(|table| ControlRecord::Table(table).record(&settings.prefix, epoch, now_ms)),
    );
    records.push(ControlRecord::Topics(topics).record(&settings.prefix, epoch, now_ms));
    log.append(records).await?.await?;
    debug!(
        pipeline = &*settings.pipeline,
        topic = &*control_topic(&settings.prefix),
        "catalog stored"
    );
    Ok(())
}
