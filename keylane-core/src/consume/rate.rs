//! How many records may be begun in a second: smoothly, with a burst after a pause. No clock: the time is told.

/// A token bucket (Turner 1986, as the generic cell rate algorithm counts it: by the time at which it will be full again). What was begun beyond what is there, as a batch is, is waited for
/// afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Records a second.
    per_second: f64,
    /// Records that may be begun at once after a pause.
    burst: f64,
    /// Records that may be begun at `at_us`; below 0 after a batch.
    there: f64,
    at_us: u64,
}

impl Rate {
    /// Of `per_second` records (at least a thousandth), full at first. `burst` is at least 1.
    pub fn new(per_second: f64, burst: f64) -> Self {
        let burst = burst.max(1.0);
        Rate {
            per_second: per_second.max(0.001),
            burst,
            there: burst,
            at_us: 0,
        }
    }

    /// How long until one may be begun, in microseconds; 0: now.
    pub fn wait_us(&mut self, now_us: u64) -> u64 {
        let passed_us = now_us.saturating_sub(self.at_us);
        self.at_us = self.at_us.max(now_us);
        let came = passed_us as f64 * self.per_second / 1e6;
        self.there = (self.there + came).min(self.burst);
        if self.there >= 1.0 {
            return 0;
        }
        ((1.0 - self.there) / self.per_second * 1e6).ceil() as u64
    }

    /// So many were begun.
    pub fn begun(&mut self, records: usize) {
        self.there -= records as f64;
    }

    /// Another rate from now on. What is owed stays owed.
    pub fn change(&mut self, per_second: f64, burst: f64) {
        let there = self.there;
        *self = Rate {
            at_us: self.at_us,
            ..Rate::new(per_second, burst)
        };
        self.there = there.min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many single records are begun until `end_us`, each as soon as it may be.
    fn count(rate: &mut Rate, from_us: u64, end_us: u64) -> u64 {
        let (mut now_us, mut count) = (from_us, 0);
        loop {
            let wait_us = rate.wait_us(now_us);
            if wait_us == 0 {
                rate.begun(1);
                count += 1;
            }
            now_us += wait_us;
            if now_us >= end_us {
                return count;
            }
        }
    }

    #[test]
    fn over_any_time_there_are_no_more_than_the_rate_and_a_burst_and_hardly_fewer() {
        for (per_second, burst) in [(100.0, 1.0), (2500.0, 50.0), (0.5, 3.0)] {
            let mut rate = Rate::new(per_second, burst);
            let count = count(&mut rate, 0, 20_000_000) as f64;
            let most = per_second * 20.0 + burst;
            assert!(
                count <= most + 1e-6 && count >= most - 1.0,
                "{per_second}: {count}"
            );
        }
    }

    #[test]
    fn after_a_pause_of_any_length_no_more_than_a_burst_goes_at_once() {
        let mut rate = Rate::new(1000.0, 10.0);
        count(&mut rate, 0, 1_000_000);
        assert_eq!(count(&mut rate, 60_000_000, 60_000_001), 10);
    }

    #[test]
    fn a_batch_is_waited_for_afterwards() {
        let mut rate = Rate::new(10.0, 1.0);
        assert_eq!(rate.wait_us(0), 0);
        rate.begun(6);
        assert_eq!(rate.wait_us(0), 600_000);
        rate.change(100.0, 1.0);
        assert_eq!(rate.wait_us(0), 60_000);
        assert_eq!(rate.wait_us(60_000), 0);
    }
}
