//! When a pipeline's replica may be relied on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::status::{PipelineView, State};

/// A replica this close behind has caught up: under load there is always something on its way.
const LAG_MS_MAX: u64 = 5_000;

/// Which pipelines have caught up since they last could not do their work.
#[derive(Debug, Default)]
pub(super) struct Readiness(BTreeMap<String, Streaming>);

/// A pipeline that does its work.
#[derive(Debug)]
struct Streaming {
    /// Since when, as far as was seen.
    since: Instant,
    has_caught_up: bool,
}

impl Readiness {
    /// Whether the pipeline does its work and has caught up: not before its initial copy is applied, and not while a part is away. A lag that grows later is
    /// told by the lag's own figures. `looked` is when the view was made.
    pub(super) fn is_ready(&mut self, view: &PipelineView, looked: &Range<Instant>) -> bool {
        if !matches!(view.state, State::CaughtUp | State::Streaming) {
            self.0.remove(&view.name);
            return false;
        }
        let name = view.name.clone();
        let streaming = self.0.entry(name).or_insert(Streaming {
            since: looked.end,
            has_caught_up: false,
        });
        let since = looked.start.saturating_duration_since(streaming.since);
        // What is applied now must be younger than all that was copied or missed before; without a change applied, its age is not known yet.
        let is_close = view.applied > Some(0)
            && view
                .lag_ms
                .is_some_and(|ms| ms <= LAG_MS_MAX && Duration::from_millis(ms) < since);
        streaming.has_caught_up |= view.state == State::CaughtUp || is_close;
        streaming.has_caught_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Facts, Halves, view};

    #[test]
    fn ready_is_what_has_caught_up_since_it_last_could_not() {
        let mut readiness = Readiness::default();
        let both = Halves {
            captures: true,
            applies: true,
        };
        let began = Instant::now();
        let mut ready = |at_s: u64, state: State, applied: Option<u64>, lag_ms: Option<u64>| {
            let mut view = view("shop", both, &[], &|_| true, &Facts::default(), 0);
            (view.state, view.applied, view.lag_ms) = (state, applied, lag_ms);
            let at = began + Duration::from_secs(at_s);
            readiness.is_ready(&view, &(at..at))
        };
        assert!(!ready(0, State::Degraded, None, None));
        assert!(!ready(10, State::Snapshotting, Some(9), Some(1)));
        assert!(
            !ready(20, State::Streaming, Some(9), Some(1_000)),
            "a part of the copy"
        );
        assert!(
            !ready(30, State::Streaming, Some(0), Some(0)),
            "nothing applied yet"
        );
        assert!(!ready(90, State::Streaming, Some(9), Some(60_000)));
        assert!(ready(91, State::Streaming, Some(99), Some(1_000)));
        assert!(
            ready(92, State::Streaming, Some(999), Some(60_000)),
            "a lag that grew later"
        );
        assert!(!ready(93, State::Degraded, Some(999), None));
        assert!(
            !ready(94, State::Streaming, Some(999), Some(60_000)),
            "behind what was missed"
        );
        assert!(
            !ready(96, State::Streaming, Some(999), Some(3_000)),
            "in the middle of what was missed"
        );
        assert!(ready(98, State::Streaming, Some(999), Some(3_000)));
        assert!(!ready(99, State::Stopped, Some(999), None));
        assert!(ready(100, State::CaughtUp, Some(9_999), Some(0)));
    }
}
