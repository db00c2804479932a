//! How many handlers at once, and how many records a second: both may change while the consumer runs.

use std::time::{Duration, Instant};

use keylane_core::consume::Rate;

use super::run::Road;
use super::work::Ended;

/// A burst of less would not be told from none: timers are no finer than a millisecond, and a loop may be late.
const BURST_SECONDS_MIN: f64 = 0.02;

/// The rate as it was last set, and its bucket.
#[derive(Default)]
pub(super) struct Pace {
    set: Option<(f64, u32)>,
    bucket: Option<Rate>,
    /// Nothing is begun before.
    pub until: Option<Instant>,
}

impl Pace {
    /// Whether a record may be begun, `since` the consumer began; without a rate nobody looks at the clock.
    pub(super) fn may_begin(
        &mut self,
        set: Option<(f64, u32)>,
        since: impl FnOnce() -> Duration,
    ) -> bool {
        self.until = None;
        if set.is_none() {
            (self.set, self.bucket) = (None, None);
            return true;
        }
        let now_us = u64::try_from(since().as_micros()).unwrap_or(u64::MAX);
        if set != self.set {
            self.set = set;
            self.bucket = set.map(|(per_second, burst)| {
                let burst = f64::from(burst).max(per_second * BURST_SECONDS_MIN);
                let mut bucket = self.bucket.unwrap_or(Rate::new(per_second, burst));
                // What came by now came at the former rate.
                bucket.wait_us(now_us);
                bucket.change(per_second, burst);
                bucket
            });
        }
        let Some(bucket) = &mut self.bucket else {
            return true;
        };
        let wait_us = bucket.wait_us(now_us);
        if wait_us > 0 {
            self.until = Some(Instant::now() + Duration::from_micros(wait_us));
        }
        wait_us == 0
    }

    pub(super) fn begun(&mut self, records: usize) {
        if let Some(bucket) = &mut self.bucket {
            bucket.begun(records);
        }
    }
}

impl<A: Future<Output = Ended>> Road<'_, A> {
    /// Handlers in progress at most.
    pub(super) fn concurrency(&self) -> usize {
        let set = self.settings.stats.concurrency(self.settings.concurrency);
        match &self.lanes {
            Some(lanes) => set.min(lanes.store.connections),
            None => set,
        }
    }

    /// Handlers in progress at most, of which none begins while the consumer pauses; and the rate.
    pub(super) fn limits(&self) -> (usize, Option<(f64, u32)>) {
        let stats = &self.settings.stats;
        match stats.is_paused() {
            true => (0, None),
            false => (self.concurrency(), stats.rate()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_may_be_set_changed_and_lifted_while_it_counts() {
        let mut pace = Pace::default();
        let at = Duration::from_millis;
        let mut begun = |set, since| {
            let mut count = 0;
            while count < 1000 && pace.may_begin(set, || since) {
                pace.begun(1);
                count += 1;
            }
            count
        };
        assert_eq!(begun(None, at(0)), 1000);
        assert_eq!(begun(Some((10.0, 5)), at(0)), 5);
        assert_eq!(begun(Some((10.0, 5)), at(200)), 2);
        assert_eq!(begun(Some((1000.0, 1)), at(300)), 1);
        assert_eq!(begun(Some((1000.0, 1)), at(400)), 20);
        assert_eq!(begun(None, at(400)), 1000);
    }
}
