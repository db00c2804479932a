//! SIGTERM and SIGINT ask for a drain; a second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::exit_code::{Exit, Failure};

/// Which signal asked for the end.
#[derive(Clone, Debug, Default)]
pub struct Asked(Arc<AtomicBool>);

impl Asked {
    /// How a command ends that has no result because of it.
    pub fn exit(&self) -> Exit {
        match self.0.load(Ordering::Relaxed) {
            true => Exit::Terminated,
            false => Exit::Interrupted,
        }
    }
}

/// Cancels `stop` at the first SIGTERM or SIGINT, ends the process at the second.
///
/// # Errors
/// If the process cannot listen for signals.
pub fn on_signal(stop: CancellationToken) -> Result<Asked, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(Exit::Error, format!("cannot listen for signals: {error}"))
        })
    };
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let asked = Asked::default();
    let by = asked.clone();
    tokio::spawn(async move {
        for times in 0.. {
            tokio::select! {
                _ = terminate.recv() => by.0.store(true, Ordering::Relaxed),
                _ = interrupt.recv() => by.0.store(false, Ordering::Relaxed),
            }
            if times > 0 {
                std::process::exit(i32::from(by.exit().code()));
            }
            info!("asked to stop: draining; once more ends at once");
            stop.cancel();
        }
    });
    Ok(asked)
}
