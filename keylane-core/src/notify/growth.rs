//! How fast something grows that also shrinks now and then: an origin's log is let go in steps, so that two looks say little.

use std::collections::VecDeque;

/// What is remembered.
const WINDOW_US: i64 = 600_000_000;
/// Less than this says nothing.
const SPAN_MIN_US: i64 = 120_000_000;
/// Looks remembered at most.
const LOOKS_MAX: usize = 1200;

/// The looks of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Growth {
    looks: VecDeque<(i64, u64)>,
}

impl Growth {
    /// Notes a look. A clock that went back makes it begin anew.
    pub(super) fn note(&mut self, at_us: i64, value: u64) {
        if self.looks.back().is_some_and(|(last, _)| *last > at_us) {
            self.looks.clear();
        }
        self.looks.push_back((at_us, value));
        while self.looks.len() > LOOKS_MAX
            || self
                .looks
                .front()
                .is_some_and(|(at, _)| at_us.saturating_sub(*at) > WINDOW_US)
        {
            self.looks.pop_front();
        }
    }

    /// By how much each second: from the lowest of the first third to the lowest of the last, so that what is let go in between does not count as growth that
    /// is about to come again. 0 if it shrinks; `None` while it was not watched for long enough.
    pub(super) fn per_s(&self) -> Option<u64> {
        let (first, last) = (self.looks.front()?.0, self.looks.back()?.0);
        let span = last - first;
        if span < SPAN_MIN_US {
            return None;
        }
        let third = span / 3;
        let lowest = |within: &dyn Fn(i64) -> bool| {
            self.looks
                .iter()
                .filter(|(at, _)| within(*at))
                .min_by_key(|(_, value)| *value)
                .copied()
        };
        let (from_us, from) = lowest(&|at| at - first <= third)?;
        let (to_us, to) = lowest(&|at| last - at <= third)?;
        let seconds = u64::try_from((to_us - from_us) / 1_000_000).ok()?.max(1);
        Some(to.saturating_sub(from) / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: i64 = 1_000_000;

    fn per_s(values: impl Iterator<Item = u64>) -> Option<u64> {
        let mut growth = Growth::default();
        for (second, value) in values.enumerate() {
            growth.note(i64::try_from(second).unwrap_or(0) * SECOND_US, value);
        }
        growth.per_s()
    }

    #[test]
    fn steady_growth_is_measured_and_steps_down_are_not_taken_for_it() {
        assert_eq!(per_s((0..100).map(|second| second * 7)), None, "too early");
        assert_eq!(per_s((0..900).map(|second| second * 7)), Some(7));
        // A saw: as much is let go as comes.
        let saw = per_s((0..900).map(|second| second % 60 * 1000));
        assert!(saw.is_some_and(|rate| rate < 200), "{saw:?}");
        let shrinks = per_s((0..900).map(|second| 10_000 - second));
        assert_eq!(shrinks, Some(0));
    }

    #[test]
    fn a_clock_that_goes_back_begins_anew() {
        let mut growth = Growth::default();
        for second in 0..300 {
            growth.note(second * SECOND_US, 1);
        }
        assert_eq!(growth.per_s(), Some(0));
        growth.note(5 * SECOND_US, 1);
        assert_eq!(growth.per_s(), None);
    }
}
