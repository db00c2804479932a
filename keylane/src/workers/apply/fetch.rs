//! Records in: each partition up to its fair share of the buffer, judged, and offered to its lanes.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use keylane_core::apply::{PartitionProgress, ReceivedAs};
use keylane_core::consume::{Intake, Taken};
use keylane_core::model::TopicPartition;
use keylane_core::publish::{LogConsumer, LogError, RawRecord};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::warn;

use super::foreign::Foreign;
use super::road::Road;
use super::run::ApplyFailure;
use super::troubles::Dependency;

/// How long a fetch waits for the first record.
const FETCH_WAIT: Duration = Duration::from_millis(200);
/// A partition is fetched again when this part of its share is free (hysteresis).
const FREE_PART: usize = 4;
/// How often a log that was away is asked whether it is back.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// The smallest share of a partition.
const SHARE_MIN: usize = 64 * 1024;

/// Other partitions from now on.
pub(super) struct Order {
    pub kind: OrderKind,
    /// Told when it is done.
    pub done: oneshot::Sender<()>,
}

/// What is to be done.
pub(super) enum OrderKind {
    /// Fenced ones, from where they are. Their lanes are made ready by the same task that fills them: nothing fetched before comes in between.
    Take(Vec<PartitionProgress>),
    /// Not any more.
    GiveUp(Vec<TopicPartition>),
}

/// Fetches until told to stop.
pub(super) async fn fetch(
    road: &Road,
    mut consumer: Box<dyn LogConsumer>,
    mut orders: mpsc::Receiver<Order>,
) {
    let mut intakes: HashMap<TopicPartition, Intake> = HashMap::new();
    let mut pause = road.settings.backoff.0;
    let mut answers = Answers::default();
    while !road.stop.is_cancelled() {
        // Half of the budget is for the client's own queues.
        let share = (road.settings.buffer_bytes / 2 / intakes.len().max(1)).max(SHARE_MIN);
        let room = room(road, share);
        let fetching = async {
            if room.is_empty() {
                road.room.notified().await;
                return Ok(Vec::new());
            }
            consumer.fetch(&room, FETCH_WAIT).await
        };
        let fetched = tokio::select! {
            biased;
            () = road.stop.cancelled() => break,
            Some(order) = orders.recv() => Err(order),
            fetched = fetching => Ok(fetched),
        };
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(order) => match follow(road, consumer.as_mut(), &mut intakes, order).await {
                Ok(()) => continue,
                Err(error) => return road.fail(ApplyFailure::Log(error)),
            },
        };
        match fetched {
            Ok(fetched) => {
                pause = road.settings.backoff.0;
                answers.look(road, !fetched.is_empty());
                take_in(road, fetched, &mut intakes);
                behind(road, consumer.as_ref());
            }
            Err(error) => {
                let Some(away) = error.kind.away() else {
                    return road.fail(ApplyFailure::Log(error));
                };
                let why = format!("KL-CONSUME-002: {away}: {error}");
                road.troubles.met(Dependency::Log, why);
                tokio::select! {
                    () = road.stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(road.settings.backoff.1);
            }
        }
    }
}

async fn follow(
    road: &Road,
    consumer: &mut dyn LogConsumer,
    intakes: &mut HashMap<TopicPartition, Intake>,
    Order { kind, done }: Order,
) -> Result<(), LogError> {
    match kind {
        OrderKind::Take(taken) => {
            for progress in taken {
                let partition = &progress.partition;
                let mut from = progress.low;
                if road.foreign.is_some() {
                    // Another tool's retention: what it has dropped before the first start is not ours to miss.
                    from = from.max(road.log.bounds(partition).await?.start);
                }
                consumer.assign(partition, from).await?;
                intakes.insert(partition.clone(), Intake::new(progress.acceptance));
                road.lanes().assign(&progress);
            }
            if road.lanes().has_ready() {
                road.work.notify_one();
            }
        }
        OrderKind::GiveUp(given_up) => {
            for partition in given_up {
                consumer.unassign(&partition).await?;
                intakes.remove(&partition);
            }
        }
    }
    // Who ordered it may be gone.
    done.send(()).ok();
    Ok(())
}

/// Whether a log that was away answers again. That no record comes does not tell: there may be none.
#[derive(Default)]
struct Answers {
    asked: Option<(Instant, JoinHandle<()>)>,
}

impl Answers {
    fn look(&mut self, road: &Road, records_came: bool) {
        if records_came {
            return road.troubles.over(Dependency::Log);
        }
        let waits = self
            .asked
            .as_ref()
            .is_some_and(|(at, asking)| at.elapsed() < ASK_INTERVAL || !asking.is_finished());
        if waits || !road.troubles.is_met(Dependency::Log) {
            return;
        }
        let first = road.lanes().lows().into_iter().next();
        let Some(partition) = first.map(|low| low.partition) else {
            return;
        };
        let (log, troubles) = (road.log.clone(), road.troubles.clone());
        let asking = tokio::spawn(async move {
            if log.bounds(&partition).await.is_ok() {
                troubles.over(Dependency::Log);
            }
        });
        self.asked = Some((Instant::now(), asking));
    }
}

/// The room of partitions that have any.
fn room(road: &Road, share: usize) -> Vec<(TopicPartition, usize)> {
    let (states, lacking) = {
        let lanes = road.lanes();
        (lanes.partitions(), lanes.incomplete())
    };
    let free = |buffered: usize| share.saturating_sub(buffered);
    let mut room: Vec<(TopicPartition, usize)> = states
        .iter()
        .map(|state| (state.partition.clone(), free(state.buffered_bytes)))
        .filter(|(_, free)| *free >= share / FREE_PART)
        .collect();
    let Some((commit, lacking)) = lacking else {
        return room;
    };
    // Nothing else can go before the next transaction is whole: its partitions may have what the others leave, and the client's half as well.
    let full: Vec<TopicPartition> = lacking
        .into_iter()
        .filter(|partition| room.iter().all(|(other, _)| other != partition))
        .collect();
    let buffered: usize = states.iter().map(|state| state.buffered_bytes).sum();
    let buffer_bytes = road.settings.buffer_bytes;
    if !full.is_empty() && buffered >= buffer_bytes {
        road.fail(ApplyFailure::TooLarge {
            commit,
            buffer_bytes,
        });
        return Vec::new();
    }
    room.extend(full.into_iter().map(|partition| (partition, share)));
    room
}

fn take_in(
    road: &Road,
    fetched: Vec<(TopicPartition, Vec<RawRecord>)>,
    intakes: &mut HashMap<TopicPartition, Intake>,
) {
    if fetched.is_empty() {
        return;
    }
    let mut lanes = road.lanes();
    for (partition, records) in fetched {
        let Some(intake) = intakes.get_mut(&partition) else {
            continue;
        };
        for record in records {
            let offset = record.offset;
            let skipped = intake.skipped;
            let taken = match &road.foreign {
                Some(_) => Foreign::take(&partition, &mut intake.acceptance, record),
                None => intake.take(record),
            };
            match taken {
                Taken::Item(item) => {
                    road.hot.note(&partition, offset, &item.key);
                    if lanes.offer(&partition, item, intake.acceptance) == ReceivedAs::Replay {
                        road.stats.replays_skipped.add(1);
                    }
                }
                Taken::Marker(position) => {
                    lanes.passed(&partition, offset, Some(position), intake.acceptance)
                }
                Taken::Unreadable(why) => {
                    road.stats.unreadable.add(1);
                    warn!(pipeline = &*road.settings.pipeline, code = "KL-CONSUME-001", %partition, offset = offset.0, "passing a record over: {why}");
                    lanes.passed(&partition, offset, None, intake.acceptance);
                }
                Taken::Schema(_) | Taken::Opened | Taken::Skipped(_) => {
                    road.stats.replays_skipped.add(intake.skipped - skipped);
                    lanes.passed(&partition, offset, None, intake.acceptance);
                }
            }
        }
    }
    lanes.received();
    let ready = lanes.has_ready();
    drop(lanes);
    if ready {
        road.work.notify_one();
    }
}

fn behind(road: &Road, consumer: &dyn LogConsumer) {
    let lows = road.lows();
    let behind = |(partition, end): (TopicPartition, keylane_core::model::Offset)| {
        lows.get(&partition)
            .map_or(0, |low| end.0.saturating_sub(low.0))
    };
    let ends = consumer.ends();
    road.ends_known
        .store(ends.len() >= lows.len(), Ordering::Relaxed);
    road.stats
        .records_behind
        .set(ends.into_iter().map(behind).sum());
}
