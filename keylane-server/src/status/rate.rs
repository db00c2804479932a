//! Rates over the last seconds, kept by the process that counts: a reader of one status file needs no second look.

use std::collections::VecDeque;

/// The window.
const WINDOW_US: i64 = 5_000_000;
/// The shortest span a rate is told over.
const SPAN_MIN_US: i64 = 400_000;

/// How fast a counter grows.
#[derive(Clone, Debug, Default)]
pub struct RateMeter(VecDeque<(i64, u64)>);

impl RateMeter {
    /// Takes note of the counter at a time (microseconds since 1970); tells its rate per second over at most the last 5 s, or `None` as long as that is
    /// unknown.
    pub fn per_s(&mut self, now_us: i64, count: u64) -> Option<f64> {
        self.0.push_back((now_us, count));
        while self
            .0
            .front()
            .is_some_and(|(at, _)| now_us - at > WINDOW_US)
            && self.0.len() > 2
        {
            self.0.pop_front();
        }
        let (at, earlier) = *self.0.front()?;
        let span_us = now_us - at;
        if span_us < SPAN_MIN_US {
            return None;
        }
        let grown = count.saturating_sub(earlier);
        Some((grown as f64 * 10_000_000.0 / span_us as f64).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::RateMeter;

    #[test]
    fn a_rate_is_unknown_first_and_then_that_of_the_last_seconds() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.per_s(0, 0), None);
        assert_eq!(meter.per_s(500_000, 50), Some(100.0));
        for step in 2..=40 {
            meter.per_s(step * 500_000, 50);
        }
        assert_eq!(meter.per_s(20_500_000, 50), Some(0.0));
    }
}
