//! A batch of items, decoded, applied, settled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::apply::{
    Applied, ApplyBatch, ApplyError, Batch, BatchItem, BatchKind, Disposition, InTurn, Mode,
    MustHit, Outcome, ParkedEntry, ReplicaSession, Work, WorkAction,
};
use keylane_core::consume::RawPayload;
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Change, Offset};
use rand::Rng as _;
use tokio::sync::watch;

use super::road::Road;
use super::turn::{self, Beginning};
use crate::envelope::{DebeziumDecoder, decode};
use crate::workers::stats::{now_us, raise};

/// The code of a change that stands behind a parked one.
const BEHIND: &str = "KL-APPLY-011";

/// Works until told to stop, or until there are to be no more than `number` workers; what is in work is finished.
pub(super) async fn work(road: &Arc<Road>, number: usize) {
    let mut session: Option<Session> = None;
    let mut workers = road.workers.subscribe();
    while !road.stop.is_cancelled() && number < *workers.borrow_and_update() {
        let Some((batch, connected)) = next(road, &mut workers, &mut session).await else {
            continue;
        };
        road.stats.busy.add(1);
        let (id, outcome) = one(road, batch, connected, &mut session).await;
        if matches!(outcome, Outcome::RolledBack(_) | Outcome::OutOfTurn) {
            road.stats.retries.add(1);
        }
        if let Outcome::RolledBack(error) = &outcome {
            if matches!(error.kind, ApplyErrorKind::Unreachable) {
                session = None;
                road.lost_sight();
            }
            if matches!(error.kind, ApplyErrorKind::MissingObject) {
                road.tables.forget_ready().await;
                if let Some(foreign) = &road.foreign {
                    foreign.forget();
                }
            }
        }
        let jitter = rand::rng().random_range(0.0..1.0);
        let now_ms = road.now_ms();
        let mut lanes = road.lanes();
        let notices = lanes.settle(id, outcome, &road.settings.policy, now_ms, jitter);
        let ready = lanes.has_ready();
        drop(lanes);
        road.heed(notices);
        road.stats.busy.take_off(1);
        road.room.notify_one();
        road.tell_settled();
        if ready {
            road.work.notify_one();
        }
    }
    // A wake-up that was meant for this one is the next one's.
    road.work.notify_one();
}

type Session = Box<dyn ReplicaSession>;

/// The next batch and a connection for it; `None` after a wake-up that brought none.
///
/// The connection is there before the batch is taken: one that is made for what was taken before might go to a replica that was restored in between, of which the batch
/// believes too much.
async fn next(
    road: &Road,
    workers: &mut watch::Receiver<usize>,
    session: &mut Option<Session>,
) -> Option<(Batch<RawPayload>, Result<Session, ApplyError>)> {
    let (is_ready, wait) = is_ready(road);
    if is_ready {
        let connected = match session.take().and_then(|it| road.still_good(it)) {
            Some(connected) => Ok(connected),
            None => road.replica.session().await,
        };
        match connected {
            Err(error) if error.kind == ApplyErrorKind::Unreachable => road.lost_sight(),
            connected => match take(road) {
                Some(batch) => return Some((batch, connected)),
                None => *session = connected.ok(),
            },
        }
    }
    tokio::select! {
        () = road.stop.cancelled() => {}
        () = road.work.notified() => {}
        _ = workers.changed() => {}
        () = tokio::time::sleep(wait) => {}
    }
    None
}

/// Whether there is work, and how long until a pause ends.
fn is_ready(road: &Road) -> (bool, Duration) {
    let mut lanes = road.lanes();
    let wait_ms = lanes.tick(road.now_ms()).unwrap_or(1000);
    let wait = Duration::from_millis(wait_ms.clamp(1, 1000));
    (lanes.has_ready(), wait)
}

fn take(road: &Road) -> Option<Batch<RawPayload>> {
    let mut lanes = road.lanes();
    let batch = lanes.take(road.settings.limits);
    if batch.is_some() && lanes.has_ready() {
        road.work.notify_one();
    }
    batch
}

async fn one(
    road: &Arc<Road>,
    batch: Batch<RawPayload>,
    connected: Result<Session, ApplyError>,
    session: &mut Option<Session>,
) -> (keylane_core::apply::BatchId, Outcome) {
    let id = batch.id;
    let mut connected = match connected {
        Ok(connected) => connected,
        Err(error) => return (id, Outcome::RolledBack(error)),
    };
    let (mut apply, undecoded) = match prepare(road, &batch).await {
        Ok(prepared) => prepared,
        Err(error) => {
            *session = Some(connected);
            return (id, Outcome::RolledBack(error));
        }
    };
    if let (true, Some((0, error))) = (apply.work.is_empty(), &undecoded) {
        *session = Some(connected);
        return (id, Outcome::Partly(0, error.clone()));
    }
    let early = match turn::begin(road, id).await {
        Beginning::InTurn => None,
        Beginning::Early(early) => Some(early),
        Beginning::Never => {
            *session = Some(connected);
            return (id, Outcome::OutOfTurn);
        }
    };
    apply.turn = early.clone().map(|early| early as Arc<dyn InTurn>);
    let began = Instant::now();
    let applied = tokio::select! {
        applied = connected.apply(&apply) => applied,
        () = road.is_rolled_back(id) => {
            // Its connection ends with it, so the replica lets go of what it locked.
            let message = "the transaction was still open when its partition was given up";
            return (id, Outcome::RolledBack(ApplyError::new(ApplyErrorKind::Unreachable, message)));
        }
    };
    *session = Some(connected);
    if applied.is_ok() {
        road.stats.transaction_took(began.elapsed());
    }
    let outcome = match (applied, early) {
        (Ok(applied), _) => committed(road, &batch, applied, undecoded),
        (Err(error), Some(early)) => early.outcome(error),
        (Err(error), None) => Outcome::RolledBack(error),
    };
    (id, outcome)
}

/// Counts what was done, up to the change that failed.
fn committed(
    road: &Road,
    batch: &Batch<RawPayload>,
    applied: Applied,
    undecoded: Option<(usize, ApplyError)>,
) -> Outcome {
    road.stats.rows_written.add(applied.rows);
    road.stats.transactions.add(1);
    // While a table is being copied, a change may come before its row.
    let missing = if road.foreign.is_some() || road.tables.are_copied() {
        applied.missing
    } else {
        BTreeMap::new()
    };
    road.stats.missing_rows.add(missing.values().sum());
    for (table, count) in missing {
        tracing::warn!(pipeline = &*road.settings.pipeline, code = "KL-APPLY-012", %table, count, "updates or deletes hit no row");
    }
    let failed = applied.failed.or(undecoded);
    let all = batch.items.len();
    let done = failed.as_ref().map_or(all, |(index, _)| *index);
    tell(road, batch.items.get(..done).unwrap_or_default());
    failed.map_or(Outcome::Committed, |(index, error)| {
        Outcome::Partly(index, error)
    })
}

fn tell(road: &Road, done: &[BatchItem<RawPayload>]) {
    road.stats.applied.add(done.len() as u64);
    let times = done
        .iter()
        .filter_map(|item| item.item.payload.header.as_ref())
        .map(|header| header.committed_at_us)
        .filter(|time| *time > 0);
    if let Some(oldest) = times.clone().min() {
        road.stats
            .lag_ms
            .set(u64::try_from((now_us() - oldest) / 1000).unwrap_or(0));
    }
    if let Some(newest) = times.max() {
        raise(&road.stats.last_commit_us, newest);
    }
}

/// The transaction's work. In careful mode, an item that cannot be decoded ends it: what stands before goes, and the item's index and error come back.
async fn prepare(
    road: &Road,
    batch: &Batch<RawPayload>,
) -> Result<(ApplyBatch, Option<(usize, ApplyError)>), ApplyError> {
    let mode = match (batch.kind, road.settings.fold) {
        (BatchKind::Careful, _) => Mode::Careful,
        (BatchKind::Together, _) => Mode::Together,
        (BatchKind::Plain, true) => Mode::Folded,
        (BatchKind::Plain, false) => Mode::Unfolded,
    };
    if batch.lanes.iter().any(|lane| !lane.redrives.is_empty()) {
        road.tables.all_ready(road.replica.as_ref()).await?;
    }
    let mut work = Vec::with_capacity(batch.items.len());
    for (step, lane) in batch.lanes.iter().enumerate() {
        let redrive = |key: &bytes::Bytes| Work {
            step,
            offset: Offset(0),
            key: key.clone(),
            action: WorkAction::Redrive,
        };
        work.extend(lane.redrives.iter().map(redrive));
    }
    let mut steps: Vec<_> = batch.lanes.iter().map(|lane| lane.step.clone()).collect();
    for (index, item) in batch.items.iter().enumerate() {
        let action = match action(road, batch, item).await {
            Ok(action) => action,
            Err(error)
                if batch.kind == BatchKind::Careful
                    && error.kind != ApplyErrorKind::Unreachable =>
            {
                let last = index.checked_sub(1).and_then(|last| batch.items.get(last));
                if let (Some(last), Some(step)) = (last, steps.first_mut()) {
                    (step.next, step.position) = (last.item.offset.next(), last.item.position);
                }
                return Ok((
                    ApplyBatch {
                        pipeline: road.settings.pipeline.clone(),
                        steps,
                        work,
                        mode,
                        must_hit: must_hit(road),
                        turn: None,
                    },
                    Some((index, error)),
                ));
            }
            Err(error) => return Err(error),
        };
        work.push(Work {
            step: item.lane,
            offset: item.item.offset,
            key: item.item.key.clone(),
            action,
        });
    }
    Ok((
        ApplyBatch {
            pipeline: road.settings.pipeline.clone(),
            steps,
            work,
            mode,
            must_hit: must_hit(road),
            turn: None,
        },
        None,
    ))
}

/// Where an update or delete that hits no row is to stop the pipeline. What another tool writes tells a row before its changes.
fn must_hit(road: &Road) -> MustHit {
    match (road.settings.stop_at_missing_rows, &road.foreign) {
        (false, _) => MustHit::Nowhere,
        (true, None) => MustHit::In(road.tables.copied()),
        (true, Some(_)) => MustHit::Everywhere,
    }
}

async fn action(
    road: &Road,
    batch: &Batch<RawPayload>,
    item: &BatchItem<RawPayload>,
) -> Result<WorkAction, ApplyError> {
    let (code, error, attempts) = match &item.disposition {
        Disposition::Apply => return Ok(WorkAction::Apply(Arc::new(change(road, item).await?))),
        Disposition::Park {
            code,
            error,
            attempts,
        } => (code.clone(), error.clone(), *attempts),
        Disposition::ParkBehind => (
            BEHIND.to_owned(),
            "stands behind a parked change of its key".to_owned(),
            0,
        ),
    };
    let payload = &item.item.payload;
    let schema = payload
        .header
        .as_ref()
        .and_then(|header| header.schema)
        .and_then(|id| road.tables.schemas.get(id));
    let lane = batch.lanes.get(item.lane).ok_or_else(|| {
        ApplyError::new(ApplyErrorKind::Other, "an item of the batch has no lane")
    })?;
    Ok(WorkAction::Park(Box::new(ParkedEntry {
        table: match &road.foreign {
            Some(_) => DebeziumDecoder::table(&payload.value),
            None => schema.map(|schema| schema.table.clone()),
        },
        partition: lane.step.partition.clone(),
        offset: item.item.offset,
        lane: lane.step.lane,
        key: item.item.key.clone(),
        value: payload.value.clone(),
        header: payload
            .header
            .as_ref()
            .map(keylane_core::publish::Header::encode),
        code,
        error,
        attempts,
    })))
}

async fn change(road: &Road, item: &BatchItem<RawPayload>) -> Result<Change, ApplyError> {
    let payload = &item.item.payload;
    if let Some(foreign) = &road.foreign {
        let replica = road.replica.as_ref();
        let change = foreign
            .change(&item.item.key, &payload.value, replica)
            .await?;
        road.tables.ready(&change.schema, replica).await?;
        return Ok(change);
    }
    if let Some(id) = payload.header.as_ref().and_then(|header| header.schema) {
        let schema = road.tables.schema(id, road.log.as_ref()).await?;
        road.tables.ready(&schema, road.replica.as_ref()).await?;
    }
    decode(
        &payload.value,
        payload.header.as_ref(),
        &road.tables.schemas,
    )
    .map_err(|error| {
        ApplyError::new(
            ApplyErrorKind::Corrupt,
            format!(
                "the record at offset {} cannot be read: {error}",
                item.item.offset.0
            ),
        )
    })
}
