//! The part of `keylane run` that compares by itself: one process of a machine, one pipeline after another, at the times of the configuration.

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
use super::target::{Target, of_pipelines};
use super::tell::tell;
use super::{JOURNAL, RunView};
use crate::config::{Config, Pipeline, Reconcile, TableName};
use crate::exit_code::{Exit, Failure};

/// How often the clock is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Runs that are looked through for a pipeline's last.
const LOOKED_BACK: usize = 200;
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

impl Scheduler {
    async fn run(self) {
        let mut claim = None;
        let mut trouble = String::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            if claim.is_none() {
                claim = Claim::take(&self.config.state_dir, CLAIM).ok().flatten();
            }
            if claim.is_none() {
                continue;
            }
            match self.look().await {
                Ok(()) => trouble.clear(),
                Err(failure) if failure.message == trouble => {}
                Err(failure) => {
                    warn!("comparing by itself: {failure}");
                    trouble = failure.message;
                }
            }
        }
    }

    /// Compares what is due.
    async fn look(&self) -> Result<(), Failure> {
        let journal = Journal::open(&self.config.state_dir.join(JOURNAL)).await;
        let journal = journal
            .map_err(|error| Failure::new(Exit::Error, format!("KL-RECONCILE-001: {error}")))?;
        for (name, pipeline) in &self.config.pipelines {
            if pipeline.reconcile.schedules.is_empty() || self.stop.is_cancelled() {
                continue;
            }
            let last = self.last_of(&journal, name.as_str()).await?;
            if self.is_due(&pipeline.reconcile, last.as_ref()) {
                let compared = self.compare(&journal, name.as_str(), &pipeline.reconcile, last);
                compared.await?;
            }
        }
        Ok(())
    }

    fn is_due(&self, reconcile: &Reconcile, last: Option<&Run>) -> bool {
        // A run that was cut off by its process's end goes on at once, while its window is open.
        let window_us = i64::try_from(reconcile.window.as_micros()).unwrap_or(i64::MAX);
        let open = |run: &Run| run.begun_us.saturating_add(window_us) > now_us();
        let cut_off =
            last.filter(|run| run.state == RunState::Running && run.begun_us < self.begun_us);
        if cut_off.is_some_and(open) {
            return true;
        }
        let behind_us = last.map_or(self.begun_us, |run| run.gone_on_us);
        let mut times = reconcile.schedules.iter();
        times.any(|schedule| schedule.next_us(behind_us).is_some_and(|at| at <= now_us()))
    }

    async fn last_of(&self, journal: &Journal, pipeline: &str) -> Result<Option<Run>, Failure> {
        let not_kept = |error: keylane::sqlite::journal::JournalError| {
            Failure::new(Exit::Error, format!("KL-RECONCILE-001: {error}"))
        };
        for name in journal.latest(LOOKED_BACK).await.map_err(not_kept)? {
            let run = journal.known(&name).await.map_err(not_kept)?;
            let own = run.filter(|run| {
                run.begun.scheduled && run.begun.pipeline.as_deref() == Some(pipeline)
            });
            if own.is_some() {
                return Ok(own);
            }
        }
        Ok(None)
    }

    async fn compare(
        &self,
        journal: &Journal,
        pipeline: &str,
        reconcile: &Reconcile,
        last: Option<Run>,
    ) -> Result<(), Failure> {
        let Some(target) = self.target(pipeline, reconcile).await? else {
            return Ok(());
        };
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

    async fn target(
        &self,
        pipeline: &str,
        reconcile: &Reconcile,
    ) -> Result<Option<Target>, Failure> {
        let named = [pipeline.to_owned()];
        let mut targets = of_pipelines(&self.config, &named, &[]).await?;
        let Some(mut target) = targets.pop() else {
            return Ok(None);
        };
        target.tables.retain(|table| {
            let name = TableName {
                schema: Some(table.schema.to_string()),
                table: table.name.to_string(),
            };
            let mut wanted = reconcile.tables.iter();
            reconcile.tables.is_empty() || wanted.any(|pattern| pattern.matches_name(&name))
        });
        Ok((!target.tables.is_empty()).then_some(target))
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
