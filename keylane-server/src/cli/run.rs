//! `keylane run`: the road of every pipeline, or one half of it.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use keylane::workers::stats::{ApplyStats, CaptureStats, now_us};
use keylane::workers::{apply, capture};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::runtime;
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::http::{self, SagaPaths};
use crate::notify::Watching;
use crate::reconcile::Scheduling;
use crate::shutdown;
use crate::status::{ApplyStatus, CaptureStatus, Observer, ProcessStatus, RateMeter};
use crate::wire_up::{Driving, EventIntake, Road, Sagas, roads, sagas};

/// How often the status file is replaced.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);
/// How often `--until-caught-up` looks.
const CAUGHT_UP_INTERVAL: Duration = Duration::from_millis(100);

/// The arguments of `keylane run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Run one half of the road only.
    #[arg(long, value_enum)]
    only: Option<Half>,
    /// End with 0 once everything committed at the origin before the start of the command is applied.
    #[arg(long)]
    until_caught_up: bool,
    /// Run this pipeline only; may be given several times.
    #[arg(long = "pipeline", value_name = "NAME")]
    pipelines: Vec<String>,
}

/// Half a road.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Half {
    /// Origin → log.
    Capture,
    /// Log → replica.
    Apply,
}

/// Runs until told to stop.
pub(super) fn run(config: &Config, arguments: &RunArguments) -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        let stop = CancellationToken::new();
        shutdown::on_signal(stop.clone())?;
        let roads: Vec<Arc<Road>> = roads(config, &arguments.pipelines)
            .await?
            .into_iter()
            .map(Arc::new)
            .collect();
        if let Some(road) = roads.iter().find(|road| arguments.until_caught_up && road.capture.is_none()) {
            let message = format!(
                "{}: this pipeline applies topics of another tool, whose end cannot be told: run it without --until-caught-up",
                road.name
            );
            return Err(Failure::new(Exit::Usage, message));
        }
        let nothing = |road: &&Arc<Road>| arguments.only == Some(Half::Apply) && road.replica.is_none();
        if let Some(road) = roads.iter().find(nothing) {
            let message = format!("{}: this pipeline has no replica, so nothing applies: run it without --only apply", road.name);
            return Err(Failure::new(Exit::Usage, message));
        }
        let observer = Arc::new(Observer::new(config, &[], &roads)?);
        let served = CancellationToken::new();
        let driven = driven(config, arguments).await?;
        let paths = driven.as_ref().map(|it| it.paths.clone());
        let desk = driven.as_ref().map(|it| it.sagas.desk.clone());
        let service = http::serve(&config.http, &config.state_dir, observer.clone(), (EventIntake::of(config), paths), &served).await?;
        let watching = Watching::start(config, observer, desk)?;
        let scheduling = Scheduling::start(config);
        let runs = roads
            .into_iter()
            .map(|road| pipeline(config, road, arguments, stop.clone()));
        let drives = async {
            if let Some(driven) = driven {
                driven.driving.run(stop.clone()).await;
            }
        };
        let (ends, ()) = tokio::join!(futures_util::future::join_all(runs), drives);
        if let Some(scheduling) = scheduling {
            scheduling.end().await;
        }
        if let Some(watching) = watching {
            watching.end().await;
        }
        served.cancel();
        if let Some(service) = service {
            // It has nothing to finish that anybody waits for.
            service.await.ok();
        }
        Ok(if ends.iter().all(|end| *end) {
            Exit::Ok
        } else {
            Exit::Error
        })
    })
}

/// Who drives the sagas, and how they are asked for.
struct Driven {
    sagas: Sagas,
    driving: Driving,
    paths: Arc<SagaPaths>,
}

/// If the configuration has sagas and no half of the road alone is meant.
async fn driven(config: &Config, arguments: &RunArguments) -> Result<Option<Driven>, Failure> {
    let is_whole =
        arguments.only.is_none() && arguments.pipelines.is_empty() && !arguments.until_caught_up;
    if config.saga.is_none() || !is_whole {
        return Ok(None);
    }
    let sagas = sagas(config).await?;
    let driving = Driving::of(config, &sagas)?;
    let paths = SagaPaths::new(&sagas, driving.clone());
    Ok(Some(Driven {
        sagas,
        driving,
        paths,
    }))
}

/// One pipeline, to its end. Says whether it ended well.
async fn pipeline(
    config: &Config,
    road: Arc<Road>,
    arguments: &RunArguments,
    stop: CancellationToken,
) -> bool {
    let stop = stop.child_token();
    let captures = arguments.only != Some(Half::Apply) && road.capture.is_some();
    let applies = arguments.only != Some(Half::Capture) && road.replica.is_some();
    let (capture_stats, apply_stats) = (
        Arc::new(CaptureStats::default()),
        Arc::new(ApplyStats::default()),
    );
    let ended = CancellationToken::new();
    let capturing = capturing(&road, captures, &capture_stats, &stop);
    let applying = applying(&road, applies, &apply_stats, &stop);
    let working = async {
        let (captured, applied) = tokio::join!(capturing, applying);
        ended.cancel();
        (captured.unwrap_or(false), applied.unwrap_or(false))
    };
    let status = async {
        let (mut capturing, mut applying) = (RateMeter::default(), RateMeter::default());
        loop {
            let last = ended.is_cancelled();
            let now_us = now_us();
            let mut status = ProcessStatus {
                pipeline: road.name.to_string(),
                pid: std::process::id(),
                updated_us: now_us,
                capture: captures.then(|| CaptureStatus::of(&capture_stats)),
                apply: applies.then(|| ApplyStatus::of(&apply_stats)),
            };
            if let Some(capture) = &mut status.capture {
                capture.captured_per_s = capturing.per_s(now_us, capture.captured);
            }
            if let Some(apply) = &mut status.apply {
                apply.applied_per_s = applying.per_s(now_us, apply.applied);
            }
            if let Err(error) = crate::status::write(&config.state_dir, &status) {
                warn!(
                    pipeline = &*road.name,
                    "the status file was not written: {error}"
                );
            }
            if last {
                break;
            }
            tokio::select! {
                () = ended.cancelled() => {}
                () = tokio::time::sleep(STATUS_INTERVAL) => {}
            }
        }
    };
    let watching = async {
        if arguments.until_caught_up {
            tokio::select! {
                () = ended.cancelled() => {}
                () = caught_up(&road) => stop.cancel(),
            }
        }
    };
    let ((captured, applied), (), ()) = tokio::join!(working, status, watching);
    captured && applied
}

/// Captures in a task of its own. Says whether it ended well.
fn capturing(
    road: &Arc<Road>,
    captures: bool,
    stats: &Arc<CaptureStats>,
    stop: &CancellationToken,
) -> JoinHandle<bool> {
    let (road, stats, stop) = (road.clone(), stats.clone(), stop.clone());
    tokio::spawn(async move {
        let Some((source, settings)) = road.capture.as_ref().filter(|_| captures) else {
            return true;
        };
        let end = capture::run(source.as_ref(), settings, &stats, &stop).await;
        end.inspect_err(|failure| tell(&road, failure, &stop))
            .is_ok()
    })
}

/// Applies in tasks of its own. Says whether it ended well.
fn applying(
    road: &Arc<Road>,
    applies: bool,
    stats: &Arc<ApplyStats>,
    stop: &CancellationToken,
) -> JoinHandle<bool> {
    let (road, stats, stop) = (road.clone(), stats.clone(), stop.clone());
    tokio::spawn(async move {
        let Some(replica) = road.replica.clone().filter(|_| applies) else {
            return true;
        };
        let end = apply::run(
            replica,
            road.log.clone(),
            road.schemas.clone(),
            &road.apply,
            &stats,
            &stop,
        )
        .await;
        end.inspect_err(|failure| tell(&road, failure, &stop))
            .is_ok()
    })
}

fn tell(road: &Road, failure: &dyn std::fmt::Display, stop: &CancellationToken) {
    error!(pipeline = &*road.name, "{failure}");
    stop.cancel();
}

/// Returns once everything committed at the origin before the call is applied, its copies included.
async fn caught_up(road: &Road) {
    loop {
        while !road.is_copied().await {
            tokio::time::sleep(CAUGHT_UP_INTERVAL).await;
        }
        let place = marked(road).await;
        while !road.has_applied(place).await.unwrap_or(false) {
            tokio::time::sleep(CAUGHT_UP_INTERVAL).await;
        }
        // A table that came meanwhile is copied behind the mark.
        if road.is_copied().await {
            break;
        }
    }
    info!(
        pipeline = &*road.name,
        "everything committed before the start is applied"
    );
}

/// Marks the origin, again until it takes it; where.
async fn marked(road: &Road) -> u64 {
    loop {
        match road.marker().mark().await {
            Ok(place) => return place,
            Err(failure) => warn!(
                pipeline = &*road.name,
                "no marker could be written to the origin yet: {failure}"
            ),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
