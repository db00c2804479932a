//! How long a sleep really takes. A handler's work is a sleep, and when it is over the machine must have time to notice: what is lost to that is no consumer's doing.

use super::nap::nap;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// How long it is tried, about.
const TRIED: Duration = Duration::from_secs(1);
const TIMES_MIN: u64 = 5;

/// What was measured so far.
#[derive(Default)]
pub(crate) struct Timer {
    sleeps: BTreeMap<(u64, u64), Duration>,
}

impl Timer {
    /// The mean sleep of `work_ms` with so many at once, one after another, and nothing besides.
    pub(crate) fn sleep(&mut self, runtime: &Runtime, work_ms: u64, at_once: f64) -> Duration {
        let at_once = at_once.round().max(1.0) as u64;
        let measured = || runtime.block_on(measure(work_ms, at_once));
        *self
            .sleeps
            .entry((work_ms, at_once))
            .or_insert_with(measured)
    }
}

async fn measure(work_ms: u64, at_once: u64) -> Duration {
    let work = Duration::from_millis(work_ms);
    let times = (TRIED.as_millis() as u64 / work_ms.max(1)).max(TIMES_MIN);
    let mut sleepers = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..at_once {
        sleepers.spawn(async move {
            for _ in 0..times {
                nap(work).await;
            }
        });
    }
    sleepers.join_all().await;
    begun.elapsed() / u32::try_from(times).unwrap_or(u32::MAX)
}
