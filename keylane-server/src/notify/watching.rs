//! The part of `keylane run` that looks at the figures, makes the digest and sends. One process of a machine does, for all pipelines that run or ran there; it
//! takes nothing of the road along if it fails, and the road takes it along only for a bounded time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keylane::workers::notify::{Channels, deliver};
use keylane::workers::stats::now_us;
use keylane_core::notify::{
    AllTerms, DigestOrder, Observation, Outbox, OutboxError, Rules, SagasRule, Watch,
};
use keylane_core::saga::{SagaDesk, State};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::looks::{line, look};
use super::notifier::log;
use super::{rules_of, terms};
use crate::config::Config;
use crate::exit_code::Failure;
use crate::status::{Observer, PipelineView, ProcessStatus, read_all};
use crate::wire_up;

/// How often is looked, unless a rule asks for more.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How often at most.
const LOOK_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// How long after the start is looked first: this process has written its own status by then.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How often is asked whether it is this process's turn.
const TURN_INTERVAL: Duration = Duration::from_secs(2);
/// What may be sent at a shutdown, besides the attempts that are under way.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How long a look at the sagas may take.
const SAGAS_MAX: Duration = Duration::from_secs(10);
/// What choreographed sagas are called that belong to no known choreography.
const NO_DEFINITION: &str = "(no choreography)";

/// Watching, in a task of its own.
pub struct Watching {
    ended: CancellationToken,
    task: JoinHandle<()>,
}

impl Watching {
    /// Begins; `sagas` are those that this process drives. `None` if the configuration has no channel.
    ///
    /// # Errors
    /// If a channel's address cannot be used.
    pub fn start(
        config: &Config,
        observer: Arc<Observer>,
        sagas: Option<Arc<dyn SagaDesk>>,
    ) -> Result<Option<Watching>, Failure> {
        if config.notify.channels.is_empty() {
            return Ok(None);
        }
        let ended = CancellationToken::new();
        let watches = config.pipelines.iter().map(|(name, pipeline)| {
            let rules = rules_of(config, pipeline);
            let name = name.as_str().to_owned();
            (name.clone(), Watch::new(&name, rules))
        });
        let watcher = Watcher {
            watches: watches.collect(),
            interval: interval(config),
            terms: Arc::new(terms(config)),
            channels: wire_up::channels(config)?,
            config: config.clone(),
            sagas: sagas.zip(config.saga.as_ref().and_then(|saga| saga.stuck)),
            observer,
            ended: ended.clone(),
            trouble: None,
        };
        let task = tokio::spawn(watcher.run());
        Ok(Some(Watching { ended, task }))
    }

    /// A last look, and what can be sent within seconds; what cannot stays in the outbox. To be called once the pipelines have ended and said why.
    pub async fn end(self) {
        self.ended.cancel();
        if self.task.await.is_err() {
            error!("the notifier broke down; what it did not send is in the outbox");
        }
    }
}

/// A rule that must hold for a moment only is looked at more often.
fn interval(config: &Config) -> Duration {
    let holds = config.pipelines.values().flat_map(|pipeline| {
        let Rules {
            lag,
            slot,
            parked,
            stuck,
        } = rules_of(config, pipeline);
        [
            lag.map(|rule| rule.hold_ms),
            slot.map(|rule| rule.hold_ms),
            parked.map(|rule| rule.hold_ms),
            stuck.map(|rule| rule.hold_ms),
        ]
    });
    let shortest = holds.flatten().filter(|ms| *ms > 0).min();
    let wanted = shortest.map_or(LOOK_INTERVAL, |ms| Duration::from_millis(ms / 4));
    wanted.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL)
}

struct Watcher {
    config: Config,
    observer: Arc<Observer>,
    sagas: Option<(Arc<dyn SagaDesk>, SagasRule)>,
    watches: BTreeMap<String, Watch>,
    terms: Arc<AllTerms>,
    channels: Channels,
    interval: Duration,
    ended: CancellationToken,
    /// What is in the way, as it was logged.
    trouble: Option<String>,
}

impl Watcher {
    async fn run(mut self) {
        self.rest(FIRST_LOOK.min(self.interval)).await;
        let Some((_turn, outbox)) = self.begin().await else {
            return;
        };
        let stop = CancellationToken::new();
        let sending = {
            let (outbox, channels, stop) = (outbox.clone(), self.channels.clone(), stop.clone());
            tokio::spawn(async move { deliver(outbox, &channels, &stop, DRAIN_MAX).await })
        };
        while !self.ended.is_cancelled() {
            self.look(outbox.as_ref()).await;
            self.rest(self.interval).await;
        }
        self.last_look(outbox.as_ref()).await;
        stop.cancel();
        if sending.await.is_err() {
            error!("sending broke down; what was not sent is in the outbox");
        }
    }

    /// Waits, not beyond the end.
    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = self.ended.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// The turn and the outbox, once both are to be had. `None` if there is nothing to do any more: another process has the turn, or the outbox cannot be used.
    async fn begin(&mut self) -> Option<(impl Send + use<>, Arc<dyn Outbox>)> {
        loop {
            let turn = wire_up::turn(&self.config);
            match turn {
                Ok(Some(turn)) => match wire_up::outbox(&self.config).await {
                    Ok(outbox) => {
                        self.over();
                        return Some((turn, outbox));
                    }
                    Err(error) => self.met(&error),
                },
                Ok(None) => {}
                Err(error) => self.met(&error),
            }
            if self.ended.is_cancelled() {
                return None;
            }
            self.rest(TURN_INTERVAL).await;
        }
    }

    async fn look(&mut self, outbox: &dyn Outbox) {
        let processes = read_all(&self.config.state_dir);
        let ran = |name: &str| processes.iter().any(|process| process.pipeline == name);
        let views = self.observer.views_of(&ran).await;
        self.judge(outbox, &processes, &views).await;
        let Some(at) = self.config.notify.digest else {
            return;
        };
        let order = DigestOrder {
            at,
            pipelines: views.iter().map(line).collect(),
            channels: self.channels.keys().cloned().collect(),
        };
        match outbox.digest(order, self.terms.clone(), now_us()).await {
            Ok(true) => info!("notify: the day's digest"),
            Ok(false) => {}
            Err(error) => self.met(&error),
        }
    }

    /// Out of the last words of the processes alone: no part is asked any more.
    async fn last_look(&mut self, outbox: &dyn Outbox) {
        let processes = read_all(&self.config.state_dir);
        self.judge(outbox, &processes, &[]).await;
    }

    async fn judge(
        &mut self,
        outbox: &dyn Outbox,
        processes: &[ProcessStatus],
        views: &[PipelineView],
    ) {
        let now_us = now_us();
        let mut observations = Vec::new();
        for (name, watch) in &mut self.watches {
            let view = views.iter().find(|view| view.name == *name);
            observations.extend(watch.look(&look(name, processes, view, now_us)));
        }
        observations.extend(self.stuck_sagas().await);
        let taken = outbox
            .observe(observations, self.terms.clone(), now_us)
            .await;
        match taken {
            Ok(taken) => {
                self.over();
                taken.iter().for_each(log);
            }
            // Looked at again: a figure that is not well stays so.
            Err(error) => self.met(&error),
        }
    }

    /// Nothing where they cannot be asked: that is not known to be well.
    async fn stuck_sagas(&self) -> Option<Observation> {
        let (desk, rule) = self.sagas.as_ref()?;
        let figures = tokio::time::timeout(SAGAS_MAX, desk.figures()).await;
        let stuck = figures.ok()?.ok()?.counts.into_iter();
        let stuck = stuck.filter(|count| count.state == State::Stuck);
        let definitions = stuck.map(|count| {
            let definition = count.definition;
            (
                definition.unwrap_or_else(|| NO_DEFINITION.to_owned()),
                count.sagas,
            )
        });
        Some(rule.look(definitions.collect(), now_us()))
    }

    /// Logged once for each trouble.
    fn met(&mut self, error: &OutboxError) {
        let why = error.to_string();
        if self.trouble.as_deref() != Some(why.as_str()) {
            warn!("nobody is told for now: {why}");
            self.trouble = Some(why);
        }
    }

    fn over(&mut self) {
        if self.trouble.take().is_some() {
            info!("notify: the outbox can be used again");
        }
    }
}
