//! Waiting for conditions. The only place of this crate that pauses.

use crate::error::{PartsError, Result};
use std::time::{Duration, Instant};

/// Polls `holds` until it is true.
///
/// `awaited` names the condition for whoever reads the failure.
///
/// # Errors
/// [`PartsError::TimedOut`] when `within` has passed, or the first error of `holds`.
pub fn wait_until(
    awaited: &str,
    within: Duration,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if holds()? {
            return Ok(());
        }
        if began.elapsed() >= within {
            return Err(PartsError::TimedOut {
                awaited: awaited.to_owned(),
                after: within,
                log_tail: String::new(),
            });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
