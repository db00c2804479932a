//! What the apply worker's tasks share, and how they wake each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keylane_core::apply::{BatchId, Lanes, Notice, Replica, ReplicaSession};
use keylane_core::consume::RawPayload;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::Log;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::foreign::Foreign;
use super::hot::Hot;
use super::run::ApplyFailure;
use super::settings::{ApplySettings, Consistency};
use super::tables::Tables;
use super::troubles::{Troubles, Watched};
use crate::workers::control::TableTopic;
use crate::workers::stats::ApplyStats;

/// Partitions that may be another's.
#[derive(Default)]
struct Suspects {
    partitions: BTreeSet<TopicPartition>,
    /// When the group or the replica could not tell.
    looked: Option<Instant>,
}

/// Shared by all tasks of one apply run.
pub(super) struct Road {
    pub settings: ApplySettings,
    pub log: Arc<dyn Log>,
    pub replica: Arc<dyn Replica>,
    pub stats: Arc<ApplyStats>,
    pub tables: Tables,
    /// For topics that another tool wrote.
    pub foreign: Option<Foreign>,
    /// Parked keys whose redrive is asked for, as of the last look: they do not count as too many.
    pub redriving: AtomicUsize,
    /// No new batches: finish what is in work.
    pub stop: CancellationToken,
    /// How many workers there are to be.
    pub workers: watch::Sender<usize>,
    /// What is read, as the control topic tells it.
    pub topics: watch::Sender<Vec<TableTopic>>,
    /// Batches that are to roll back: their partitions are given up.
    pub rolled_back: watch::Sender<BTreeSet<BatchId>>,
    settled: Notify,
    /// There are suspects.
    pub suspected: Notify,
    /// A worker may find something to do.
    pub work: Notify,
    /// A buffer may have room.
    pub room: Notify,
    /// What is in the way now.
    pub troubles: Arc<Troubles>,
    /// Whether the log has told how far each partition goes: before, having nothing to do does not mean to have caught up.
    pub ends_known: AtomicBool,
    pub hot: Hot,
    /// When it was last looked what the replica holds.
    sight: Mutex<Instant>,
    lanes: Mutex<Lanes<RawPayload>>,
    suspects: Mutex<Suspects>,
    named: AtomicBool,
    failure: Mutex<Option<ApplyFailure>>,
    began: Instant,
}

impl Road {
    /// A road without partitions.
    pub(super) fn new(
        settings: ApplySettings,
        log: Arc<dyn Log>,
        replica: Arc<dyn Replica>,
        stats: Arc<ApplyStats>,
        tables: Tables,
        stop: CancellationToken,
    ) -> Self {
        let foreign = settings.debezium_topics.as_ref().map(|_| Foreign::new());
        let lanes = match (&foreign, settings.consistency) {
            (Some(_), _) => Lanes::of_foreign_topics(settings.lanes),
            (None, Consistency::Key) => Lanes::new(settings.lanes),
            (None, Consistency::Transaction) => Lanes::in_commit_order(settings.lanes),
        };
        let lanes = Mutex::new(lanes);
        let troubles = Arc::new(Troubles::new(settings.pipeline.clone()));
        Road {
            settings,
            log,
            replica: Arc::new(Watched::new(replica, troubles.clone())),
            stats,
            tables,
            foreign,
            redriving: AtomicUsize::new(0),
            stop,
            workers: watch::Sender::new(0),
            topics: watch::Sender::new(Vec::new()),
            rolled_back: watch::Sender::new(BTreeSet::new()),
            settled: Notify::new(),
            suspected: Notify::new(),
            work: Notify::new(),
            room: Notify::new(),
            troubles,
            ends_known: AtomicBool::new(false),
            hot: Hot::default(),
            sight: Mutex::new(Instant::now()),
            lanes,
            suspects: Mutex::default(),
            named: AtomicBool::new(false),
            failure: Mutex::new(None),
            began: Instant::now(),
        }
    }

    /// The lanes. Held for decisions only, never over I/O.
    pub(super) fn lanes(&self) -> MutexGuard<'_, Lanes<RawPayload>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offset of each partition below which everything is applied.
    pub(super) fn lows(&self) -> BTreeMap<TopicPartition, Offset> {
        let lows = self.lanes().lows().into_iter();
        lows.map(|low| (low.partition, low.low)).collect()
    }

    /// Milliseconds since the run began.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Ends the run; the first failure counts.
    pub(super) fn fail(&self, failure: ApplyFailure) {
        let mut slot = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(failure);
        self.stop.cancel();
    }

    /// Partitions of which a transaction found another owner, or another place than this process left it at.
    pub(super) fn suspect(&self, partitions: impl IntoIterator<Item = TopicPartition>) {
        self.suspects().partitions.extend(partitions);
        self.suspected.notify_one();
    }

    /// Those are to be looked at again, a little later.
    pub(super) fn suspect_again(&self, partitions: BTreeSet<TopicPartition>) {
        let mut suspects = self.suspects();
        suspects.partitions.extend(partitions);
        suspects.looked = Some(Instant::now());
    }

    /// The connection to the replica was lost: nothing is handed out before it was looked whether the replica holds what it held.
    pub(super) fn lost_sight(&self) {
        self.lanes().hold();
        self.suspected.notify_one();
    }

    /// What the replica holds was looked at, at this moment or later: work goes on.
    pub(super) fn looked(&self, at: Instant) {
        *self.sight.lock().unwrap_or_else(PoisonError::into_inner) = at;
        let mut lanes = self.lanes();
        lanes.go_on();
        if lanes.has_ready() {
            self.work.notify_one();
        }
    }

    /// A session that is still good, or has something to tell; `None` for one that lost its connection before the replica was last looked at.
    pub(super) fn still_good(
        &self,
        session: Box<dyn ReplicaSession>,
    ) -> Option<Box<dyn ReplicaSession>> {
        let looked = *self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = session.ended().is_some_and(|ended| ended < looked);
        (!is_over).then_some(session)
    }

    /// Whether there are suspects, or a look is waited for, and none was taken for that long.
    pub(super) fn are_suspects_due(&self, after: Duration) -> bool {
        let held = self.lanes().is_held();
        let suspects = self.suspects();
        let waited = suspects.looked.is_none_or(|at| at.elapsed() >= after);
        waited && (held || !suspects.partitions.is_empty())
    }

    /// The suspects; from here on there are none.
    pub(super) fn take_suspects(&self) -> BTreeSet<TopicPartition> {
        std::mem::take(&mut self.suspects().partitions)
    }

    fn suspects(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group has said which partitions this process has, if any; or this process has lost the group, and with it all of them.
    pub(super) fn group_spoke(&self, names: bool) {
        self.named.store(names, Ordering::Relaxed);
    }

    /// Whether it has said so last.
    pub(super) fn has_group_spoken(&self) -> bool {
        self.named.load(Ordering::Relaxed)
    }

    /// A batch was settled.
    pub(super) fn tell_settled(&self) {
        self.settled.notify_waiters();
    }

    /// Looks at the lanes, now and whenever a batch was settled, until there is an answer. `None`: none was settled for so long.
    pub(super) async fn look_until<T>(
        &self,
        patience: Duration,
        mut look: impl FnMut(&Lanes<RawPayload>) -> Option<T>,
    ) -> Option<T> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            let answer = look(&self.lanes());
            if answer.is_some() {
                return answer;
            }
            tokio::time::timeout(patience, settled).await.ok()?;
        }
    }

    /// Returns once a batch is to roll back.
    pub(super) async fn is_rolled_back(&self, id: BatchId) {
        let mut batches = self.rolled_back.subscribe();
        // The sender lives as long as this does.
        let _ = batches.wait_for(|batches| batches.contains(&id)).await;
    }

    /// The failure that ended the run.
    pub(super) fn failure(&self) -> Option<ApplyFailure> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// What the lanes want known.
    pub(super) fn heed(&self, notices: Vec<Notice>) {
        for notice in notices {
            match notice {
                Notice::WillPark {
                    partition,
                    offset,
                    error,
                } => {
                    self.stats.parked.add(1);
                    tracing::warn!(
                        pipeline = &*self.settings.pipeline,
                        code = error.kind.code(),
                        %partition,
                        offset = offset.0,
                        "parking a change and its key's later ones: {error}"
                    );
                }
                Notice::Fenced(partitions) => {
                    let mut lanes = self.lanes();
                    for partition in &partitions {
                        lanes.revoke(partition);
                    }
                    drop(lanes);
                    self.suspect(partitions);
                }
                Notice::Stop(error) => self.fail(ApplyFailure::Stopped(error)),
            }
        }
    }
}
