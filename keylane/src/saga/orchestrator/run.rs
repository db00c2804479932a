//! The loop: what has come in and what is due, turn by turn; and beside it the beat of the leases, what a crash left in the outbox, and what is forgotten.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::saga::{
    BATCH_MAX, COMMAND_LIFE_US, Participant, SagaDesk, SagaStore, StoreErrorKind, Unsent,
};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::dispatch::Dispatcher;
use super::event::Incoming;
use super::inbox::{BATCH_KIB_MAX, Door, Waiting, inbox};
use super::kafka;
use super::leases::{self, Held};
use super::plans::Plans;
use super::settings::OrchestratorSettings;
use super::starts;
use super::stats::{OrchestratorStats, ParticipantFigures};
use super::turner::{Besides, Ended, Turner};
use crate::consumer::ConsumerError;
use crate::workers::stats::now_us;

/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(50);
/// How often the outbox is looked through.
const RELAY_INTERVAL: Duration = Duration::from_millis(200);
/// How often parked answers are looked through.
const PARKED_INTERVAL: Duration = Duration::from_secs(5);
/// How often a topic is tried to be read after that was not possible.
const TOPIC_INTERVAL: Duration = Duration::from_secs(5);
/// How often what is old is forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);
/// The pauses after a store did not do it.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// How long commands on their way may take at a shutdown.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Drives sagas.
pub struct Orchestrator {
    turner: Turner,
    desk: Arc<dyn SagaDesk>,
    settings: OrchestratorSettings,
    door: Door,
    waiting: Mutex<mpsc::Receiver<Waiting>>,
    dispatcher: Arc<Dispatcher>,
    held: Arc<Held>,
}

impl std::fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orchestrator")
            .field("owner", &self.settings.owner)
            .finish_non_exhaustive()
    }
}

impl Orchestrator {
    /// Of a store and what is kept there. Nothing runs yet.
    ///
    /// # Errors
    /// In words, if TLS cannot be set up.
    pub fn new(
        store: Arc<dyn SagaStore>,
        desk: Arc<dyn SagaDesk>,
        plans: Arc<Plans>,
        settings: OrchestratorSettings,
    ) -> Result<Self, String> {
        let (door, waiting) = inbox();
        let stats = Arc::new(OrchestratorStats::default());
        let dispatcher = Dispatcher::new(settings.clone(), door.clone(), stats.clone())?;
        Ok(Orchestrator {
            turner: Turner {
                store,
                plans,
                stats,
            },
            desk,
            settings,
            door,
            waiting: Mutex::new(waiting),
            dispatcher,
            held: Arc::default(),
        })
    }

    /// Where sagas are begun and asked things of, and answers come in.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// The shards that it drives, as far as it knows.
    pub fn shards(&self) -> Vec<u16> {
        self.held.believed().keys().copied().collect()
    }

    /// Its figures.
    pub fn stats(&self) -> Arc<OrchestratorStats> {
        self.turner.stats.clone()
    }

    /// Figures of each participant, by name.
    pub fn participants(&self) -> Vec<ParticipantFigures> {
        self.dispatcher.figures()
    }

    /// Drives sagas until `stop`; then takes in the answers to what is on its way, for some seconds, and gives its shards up. To be run once.
    pub async fn run(&self, stop: CancellationToken) {
        let ended = CancellationToken::new();
        let beat = tokio::spawn(leases::beat(
            self.turner.store.clone(),
            self.settings.owner.clone(),
            self.settings.hold,
            self.held.clone(),
            self.turner.stats.clone(),
            ended.clone(),
        ));
        tokio::join!(
            self.turns(&stop, &ended),
            self.relay(&stop),
            self.answers(&stop),
            self.starts(&stop),
            self.forget(&stop)
        );
        // Answered or not, the beat is over before the shards are given up.
        let _ = beat.await;
        if let Err(error) = self.turner.store.release(&self.settings.owner).await {
            tracing::warn!(
                "KL-SAGA-201: the shards were not given up, and are free once their leases end: {error}"
            );
        }
    }

    async fn turns(&self, stop: &CancellationToken, ended: &CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        let mut left: Vec<Incoming> = Vec::new();
        let mut backs: Vec<Participant> = Vec::new();
        let mut parked_at = Instant::now();
        let mut due_at = Instant::now();
        let mut pause = PAUSE_FIRST;
        let mut drained_by = None;
        loop {
            if stop.is_cancelled() {
                self.dispatcher.stop();
                let until = *drained_by.get_or_insert_with(|| Instant::now() + DRAIN_MAX);
                let is_drained =
                    self.dispatcher.running() == 0 && waiting.is_empty() && left.is_empty();
                if is_drained || Instant::now() > until {
                    break;
                }
            }
            gather(&mut waiting, &mut left).await;
            for participant in self.dispatcher.take_backs() {
                if !backs.contains(&participant) {
                    backs.push(participant);
                }
            }
            let besides = Besides {
                due: !stop.is_cancelled() && due_at.elapsed() >= TICK,
                parked: parked_at.elapsed() > PARKED_INTERVAL,
                back: backs.clone(),
            };
            let turned = self
                .turner
                .turn(std::mem::take(&mut left), &self.held.believed(), &besides)
                .await;
            match turned {
                Ok(ended) => {
                    pause = PAUSE_FIRST;
                    self.turner.stats.set_trouble(None);
                    if besides.parked {
                        parked_at = Instant::now();
                    }
                    // Where there was more than fits a batch, the rest is due at once.
                    if besides.due && ended.besides < BATCH_MAX {
                        due_at = Instant::now();
                    }
                    if ended.besides < BATCH_MAX {
                        backs.clear();
                    }
                    left = self.go_on(ended);
                }
                Err((back, error)) => {
                    left = self.refused(back, &error).await;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        // Who still waits hears that nobody decides any more.
        waiting.close();
        while waiting.try_recv().is_ok() {}
        ended.cancel();
    }

    /// What follows from a turn: commands go out. What has to be decided again.
    fn go_on(&self, ended: Ended) -> Vec<Incoming> {
        self.held.lost(&ended.lost);
        self.dispatcher.deleted(&ended.sent);
        for unsent in ended.unsent {
            // What finds no room is in the outbox.
            self.offer(unsent);
        }
        ended.again
    }

    fn offer(&self, unsent: Unsent) -> bool {
        let plan = self.turner.plans.of_hash(unsent.hash);
        let step = plan
            .as_ref()
            .and_then(|plan| plan.step(plan.place(&unsent.command.step)?));
        let answer_ms = step.map_or(10_000, |step| step.retry.answer_ms);
        self.dispatcher
            .offer(unsent, Duration::from_millis(answer_ms))
    }

    /// The store did not do it: everything is tried again. Only what it refuses by itself is given up, and told.
    async fn refused(
        &self,
        back: Vec<Incoming>,
        error: &keylane_core::saga::StoreError,
    ) -> Vec<Incoming> {
        self.turner.stats.set_trouble(Some(error.to_string()));
        if error.kind != StoreErrorKind::Refused {
            tracing::warn!("KL-SAGA-201: nothing is decided for now: {error}");
            return back;
        }
        tracing::error!("KL-SAGA-201: a batch was refused, each of it is tried by itself: {error}");
        let mut left = Vec::new();
        for one in back {
            let held = self.held.believed();
            let alone = self
                .turner
                .turn(vec![one], &held, &Besides::default())
                .await;
            match alone {
                Ok(ended) => left.extend(self.go_on(ended)),
                Err((back, error)) if error.kind == StoreErrorKind::Refused => {
                    for one in back {
                        // What was sent may be sent again.
                        self.dispatcher.deleted(number_of(&one).as_slice());
                        one.fail(&error);
                    }
                }
                Err((back, _)) => left.extend(back),
            }
        }
        left
    }

    /// Commands that nobody is about to send: those of a process that died, those that somebody asked for beside this one, and those that found no room. What is on its way already is known by its
    /// number.
    async fn relay(&self, stop: &CancellationToken) {
        let mut pause = RELAY_INTERVAL;
        let mut has_more = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.dispatcher.has_room(), if has_more => {}
                () = tokio::time::sleep(pause) => {}
            }
            has_more = false;
            self.dispatcher.reads_outbox();
            let shards = self.shards();
            if shards.is_empty() {
                continue;
            }
            let limit = BATCH_MAX + self.dispatcher.holds();
            let shut = self.dispatcher.shut();
            let store = &self.turner.store;
            let unsent = match store.unsent(&shards, &shut, limit).await {
                Ok(unsent) => unsent,
                Err(error) => {
                    tracing::warn!("KL-SAGA-201: the outbox was not read: {error}");
                    pause = PAUSE_MAX;
                    continue;
                }
            };
            pause = RELAY_INTERVAL;
            has_more = unsent.len() == limit;
            if unsent
                .iter()
                .any(|it| self.turner.plans.of_hash(it.hash).is_none())
                && let Err(error) = self.turner.plans.refresh(store.as_ref()).await
            {
                tracing::warn!("KL-SAGA-201: the definitions were not read: {error}");
            }
            let mut refused: HashSet<String> = HashSet::new();
            for one in unsent {
                let name = one.command.participant.name().to_owned();
                if !refused.contains(&name) && !self.offer(one) {
                    refused.insert(name);
                }
            }
            has_more |= !refused.is_empty();
        }
    }

    /// Answers that come by a topic.
    async fn answers(&self, stop: &CancellationToken) {
        let Some(way) = &self.settings.kafka else {
            return;
        };
        let read = async || kafka::answers(way, &self.door, stop.clone()).await;
        let told = |error: ConsumerError| {
            tracing::error!(
                topic = way.reply_topic,
                "KL-SAGA-207: no answers come in: {error}"
            );
        };
        again(read, told, stop).await;
    }

    /// Sagas that events begin.
    async fn starts(&self, stop: &CancellationToken) {
        let Some(way) = &self.settings.starts else {
            return;
        };
        let Turner { plans, store, .. } = &self.turner;
        let kept = (plans.as_ref(), store.as_ref());
        let read = async || starts::starts(way, &self.door, kept, stop.clone()).await;
        let told = |error: ConsumerError| {
            tracing::error!(
                topic = way.topic,
                "KL-SAGA-208: events begin no sagas: {error}"
            );
        };
        again(read, told, stop).await;
    }

    async fn forget(&self, stop: &CancellationToken) {
        let kept_us = i64::try_from(self.settings.retention.as_micros()).unwrap_or(i64::MAX);
        loop {
            let now_us = now_us();
            match self
                .desk
                .forget(now_us.saturating_sub(kept_us), now_us - COMMAND_LIFE_US)
                .await
            {
                Ok(0) => {}
                // There may be more.
                Ok(_) if !stop.is_cancelled() => continue,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("KL-SAGA-201: what is old was not forgotten: {error}");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FORGET_INTERVAL) => {}
            }
        }
    }
}

/// Reads a topic until `stop`, anew after what only a person can help with.
async fn again(
    read: impl AsyncFn() -> Result<(), ConsumerError>,
    told: impl Fn(ConsumerError),
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        if let Err(error) = read().await {
            told(error);
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(TOPIC_INTERVAL) => {}
            }
        }
    }
}

/// What has come in: waits a little for something that somebody waits for, then takes what is there. That a command went out can wait a little too: it is only deleted, with what comes next.
async fn gather(waiting: &mut mpsc::Receiver<Waiting>, left: &mut Vec<Incoming>) {
    let mut kib = 0;
    let mut can_wait = left.iter().all(Incoming::can_wait);
    let until = tokio::time::Instant::now() + TICK;
    while left.len() < BATCH_MAX && kib < BATCH_KIB_MAX {
        let next = match can_wait {
            true => tokio::time::timeout_at(until, waiting.recv()).await,
            false => Ok(waiting.try_recv().ok()),
        };
        let Ok(Some(one)) = next else { return };
        kib += one.kib;
        can_wait &= one.incoming.can_wait();
        left.push(one.incoming);
    }
}

fn number_of(incoming: &Incoming) -> Option<i64> {
    match incoming {
        Incoming::Sent { number, .. } => Some(*number),
        _ => None,
    }
}
