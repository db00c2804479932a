//! SIGTERM and SIGINT ask for a drain; a second one ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::exit_code::{Exit, Failure};

/// Cancels `stop` at the first SIGTERM or SIGINT, ends the process at the second.
///
/// # Errors
/// If the process cannot listen for signals.
pub fn on_signal(stop: CancellationToken) -> Result<(), Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(Exit::Error, format!("cannot listen for signals: {error}"))
        })
    };
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    tokio::spawn(async move {
        for asked in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked > 0 {
                std::process::exit(130);
            }
            info!("asked to stop: draining; once more ends at once");
            stop.cancel();
        }
    });
    Ok(())
}
