//! Sessions one after another, with pauses that grow while they fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::capture::{Origin, OriginError, OriginErrorKind};
use keylane_core::publish::{Log, LogError, LogErrorKind};
use rand::Rng as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::session::{Session, open};
use super::settings::{CaptureSettings, SessionSource};
use super::stream::Stream;
use crate::workers::stats::CaptureStats;

/// A session that lived this long ends the growth of pauses.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// What ends a capture session.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CaptureFailure {
    /// The origin.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The log.
    #[error("KL-PUBLISH-001: {0}")]
    Log(#[from] LogError),
    /// Something came that a new session must take up.
    #[error("{0}")]
    Reopen(String),
}

impl CaptureFailure {
    /// Whether only a person can help.
    pub fn is_final(&self) -> bool {
        match self {
            CaptureFailure::Origin(error) => {
                matches!(error.kind, OriginErrorKind::Lost | OriginErrorKind::Refused)
            }
            CaptureFailure::Log(error) => {
                matches!(
                    error.kind,
                    LogErrorKind::Denied
                        | LogErrorKind::TopicMismatch
                        | LogErrorKind::TooLarge
                        | LogErrorKind::Other
                )
            }
            CaptureFailure::Reopen(_) => false,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            CaptureFailure::Origin(error) if error.kind == OriginErrorKind::Busy => {
                "waiting for another capturer to let go"
            }
            CaptureFailure::Origin(_) => "the origin is not reachable",
            CaptureFailure::Log(error) => error.kind.away().unwrap_or("the log is not reachable"),
            CaptureFailure::Reopen(_) => "opening a new session",
        }
    }
}

/// Captures until told to stop.
///
/// # Errors
/// What only a person can help with: a lost or foreign source, wrong rights or settings, topics that are not as they were.
pub async fn run(
    source: &dyn SessionSource,
    settings: &CaptureSettings,
    stats: &CaptureStats,
    stop: &CancellationToken,
) -> Result<(), CaptureFailure> {
    let (shortest, longest) = settings.backoff;
    let mut pause = shortest;
    let mut log_works = true;
    while !stop.is_cancelled() {
        stats.state.set("starting", "opening a session");
        let began = Instant::now();
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(None),
            opened = opened(source, settings) => opened.map(Some),
        };
        let ended = match ended {
            Ok(Some((session, origin, log))) => {
                Stream::new(session, origin, log.as_ref(), settings, stats, log_works)
                    .run(stop)
                    .await
            }
            Ok(None) => Ok(()),
            Err(failure) => Err(failure),
        };
        let Err(failure) = ended else { break };
        if failure.is_final() {
            stats.state.set("stopped", failure.to_string());
            return Err(failure);
        }
        log_works = !matches!(failure, CaptureFailure::Log(_));
        if began.elapsed() > HEALTHY_AFTER || matches!(failure, CaptureFailure::Reopen(_)) {
            pause = shortest;
        }
        stats
            .state
            .set("degraded", format!("{}: {failure}", failure.word()));
        warn!(
            pipeline = &*settings.pipeline,
            pause_ms = pause.as_millis() as u64,
            "{}: {failure}",
            failure.word()
        );
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(jittered) => {}
        }
        pause = (pause * 2).min(longest);
    }
    info!(pipeline = &*settings.pipeline, "capture stopped");
    stats.state.set("stopped", "asked to stop");
    Ok(())
}

async fn opened(
    source: &dyn SessionSource,
    settings: &CaptureSettings,
) -> Result<(Session, Box<dyn Origin>, Arc<dyn Log>), CaptureFailure> {
    let log = source.log().await?;
    let (session, origin) = open(source, log.as_ref(), settings).await?;
    Ok((session, origin, log))
}
