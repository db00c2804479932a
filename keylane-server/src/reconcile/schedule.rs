//! The part of `keylane run` that compares by itself: one process of a machine, one pipeline after another, at the times of the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use keylane::sqlite::journal::{Claim, Journal, Run, RunState};
use keylane::workers::reconcile::Comparing;
use keylane::workers::stats::now_us;
use keylane_core::reconcile::Brakes;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::repair::RepairTerms;
use super::run::{RunTerms, resume, start};
use super::target::named_in_config;
use super::target::{Target, of_pipelines};
use super::tell::tell;
use super::{RunView, journal, not_kept};
use crate::config::{Config, Pipeline, Reconcile};
use crate::exit_code::{Exit, Failure};

/// How often the clock is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// After what could not be compared, it is tried again.
const RETRY_US: i64 = 30_000_000;
/// The name of the lock that the process holds that compares.
const CLAIM: &str = "schedule";

/// Comparing by itself, in a task of its own.
pub struct Scheduling {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Scheduling {
    /// Begins. `None` if no pipeline has a schedule.
    pub fn start(config: &Config) -> Option<Scheduling> {
        let has_one = |pipeline: &Pipeline| !pipeline.reconcile.schedules.is_empty();
        config.pipelines.values().any(has_one).then(|| {
            let stop = CancellationToken::new();
            let scheduler = Scheduler {
                config: config.clone(),
                stop: stop.clone(),
                begun_us: now_us(),
            };
            Scheduling {
                task: tokio::spawn(scheduler.run()),
                stop,
            }
        })
    }

    /// A run that is under way stops where it is, and goes on at the next start.
    pub async fn end(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            error!("comparing by itself broke down; `keylane reconcile list` tells how far it was");
        }
    }
}

struct Scheduler {
    config: Config,
    stop: CancellationToken,
    begun_us: i64,
}

/// When a pipeline is compared next, microseconds since 1970, and what was told of it last.
#[derive(Default)]
struct Next {
    at_us: i64,
    trouble: String,
}

impl Scheduler {
    async fn run(self) {
        let Some((_claim, journal)) = self.turn().await else {
            return;
        };
        let mut next: BTreeMap<&str, Next> = BTreeMap::new();
        while !self.stop.is_cancelled() {
            for (name, pipeline) in &self.config.pipelines {
                let (name, reconcile) = (name.as_str(), &pipeline.reconcile);
                let next = next.entry(name).or_default();
                if reconcile.schedules.is_empty() || next.at_us > now_us() {
                    continue;
                }
                match self.look(&journal, name, reconcile).await {
                    Ok(at_us) => {
                        *next = Next {
                            at_us,
                            ..Next::default()
                        }
                    }
                    Err(failure) => {
                        tell_once(&mut next.trouble, name, &failure.message);
                        next.at_us = now_us() + RETRY_US;
                    }
                }
            }
            self.pause(LOOK_INTERVAL).await;
        }
    }

    /// Waits until this process is the one that compares; `None` if it is to stop before.
    async fn turn(&self) -> Option<(Claim, Journal)> {
        let state_dir = &self.config.state_dir;
        let mut trouble = String::new();
        while !self.stop.is_cancelled() {
            let had = match Claim::take(state_dir, CLAIM) {
                Ok(None) => Ok(None),
                Ok(Some(claim)) => journal(state_dir).await.map(|it| Some((claim, it))),
                Err(error) => Err(not_kept(error)),
            };
            match had {
                Ok(Some(turn)) => return Some(turn),
                Ok(None) => {}
                Err(failure) => tell_once(&mut trouble, "", &failure.message),
            }
            self.pause(LOOK_INTERVAL).await;
        }
        None
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Compares a pipeline if it is due; when it is due next.
    async fn look(
        &self,
        journal: &Journal,
        pipeline: &str,
        reconcile: &Reconcile,
    ) -> Result<i64, Failure> {
        let last = journal.last_scheduled(pipeline).await.map_err(not_kept)?;
        let at_us = self.due_us(reconcile, last.as_ref());
        if at_us > now_us() {
            return Ok(at_us);
        }
        self.compare(journal, pipeline, reconcile, last).await?;
        let last = journal.last_scheduled(pipeline).await.map_err(not_kept)?;
        Ok(self.due_us(reconcile, last.as_ref()))
    }

    fn due_us(&self, reconcile: &Reconcile, last: Option<&Run>) -> i64 {
        // A run that was cut off by its process's end goes on at once, while its window is open.
        let window_us = i64::try_from(reconcile.window.as_micros()).unwrap_or(i64::MAX);
        let open = |run: &Run| run.begun_us.saturating_add(window_us) > now_us();
        let cut_off =
            last.filter(|run| run.state == RunState::Running && run.begun_us < self.begun_us);
        if cut_off.is_some_and(open) {
            return 0;
        }
        let behind_us = last.map_or(self.begun_us, |run| run.gone_on_us);
        let times = reconcile.schedules.iter();
        let times = times.filter_map(|schedule| schedule.next_us(behind_us));
        times.min().unwrap_or(i64::MAX)
    }

    async fn compare(
        &self,
        journal: &Journal,
        pipeline: &str,
        reconcile: &Reconcile,
        last: Option<Run>,
    ) -> Result<(), Failure> {
        let target = self.target(pipeline, reconcile).await?;
        let stop = self.stop.child_token();
        let state_dir = &self.config.state_dir;
        let terms = terms(reconcile);
        let run = async {
            match last.filter(|run| run.state == RunState::Running) {
                Some(run) => {
                    let name = run.begun.run;
                    info!(pipeline, "comparing: run {name} goes on");
                    resume(journal, state_dir, &target, &terms, &name, &stop).await
                }
                None => start(journal, state_dir, &target, &terms, &stop).await,
            }
        };
        let closing = async {
            tokio::time::sleep(reconcile.window).await;
            stop.cancel();
            std::future::pending::<()>().await;
        };
        let done = tokio::select! {
            done = run => done,
            () = closing => return Ok(()),
        };
        match done {
            Ok(run) => {
                told(pipeline, &run);
                tell(&self.config, journal, &run).await;
                Ok(())
            }
            Err(failure) if failure.exit == Exit::Interrupted => {
                info!(pipeline, "comparing stopped before its end; it goes on");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    async fn target(&self, pipeline: &str, reconcile: &Reconcile) -> Result<Target, Failure> {
        let named = [pipeline.to_owned()];
        let mut targets = of_pipelines(&self.config, &named, &[]).await?;
        for target in &mut targets {
            target.tables.retain(|table| {
                let name = named_in_config(table);
                let mut wanted = reconcile.tables.iter();
                reconcile.tables.is_empty() || wanted.any(|pattern| pattern.matches_name(&name))
            });
        }
        targets.retain(|target| !target.tables.is_empty());
        targets.pop().ok_or_else(|| {
            let message = "the pipeline carries none of the tables under reconcile.tables";
            Failure::new(Exit::Error, message)
        })
    }
}

/// A failure that lasts is told once.
fn tell_once(told: &mut String, pipeline: &str, failure: &str) {
    if told != failure {
        warn!(pipeline, "comparing by itself: {failure}");
        failure.clone_into(told);
    }
}

fn terms(reconcile: &Reconcile) -> RunTerms {
    let repair = RepairTerms {
        brakes: Brakes {
            rows_max: reconcile.max_rows,
            share_max: f64::from(reconcile.max_share_percent) / 100.0,
        },
        dry_run: false,
        tables: reconcile.repair.clone(),
    };
    RunTerms {
        comparing: Comparing {
            load: f64::from(reconcile.load_percent) / 100.0,
            method: reconcile.method,
            ..Comparing::default()
        },
        mark_within: reconcile.mark_within,
        filter: None,
        count_only: false,
        repair: (!reconcile.repair.is_empty()).then_some(repair),
        scheduled: true,
        quiet: true,
    }
}

fn told(pipeline: &str, run: &RunView) {
    let verdicts: Vec<String> = run
        .tables
        .iter()
        .map(|table| format!("{} {}", table.table, table.verdict))
        .collect();
    info!(
        pipeline,
        "compared, run {}: {}",
        run.run,
        verdicts.join(", ")
    );
}
