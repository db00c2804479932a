//! When a pipeline's replica may be relied on.

use std::collections::BTreeSet;

use crate::status::{PipelineView, State};

/// A replica this close behind has caught up: under load there is always something on its way.
const LAG_MS_MAX: u64 = 5_000;

/// Which pipelines have caught up since they last could not do their work.
#[derive(Debug, Default)]
pub(super) struct Readiness(BTreeSet<String>);

impl Readiness {
    /// Whether the pipeline does its work and has caught up: not before its initial copy is applied, and not while a part is away. A lag that grows later is
    /// told by the lag's own figures.
    pub(super) fn is_ready(&mut self, view: &PipelineView) -> bool {
        let has_caught_up = match view.state {
            State::CaughtUp => true,
            // Without a change applied, the lag is not known yet.
            State::Streaming => {
                self.0.contains(&view.name)
                    || (view.applied > Some(0) && view.lag_ms.is_some_and(|ms| ms <= LAG_MS_MAX))
            }
            State::Snapshotting | State::Degraded | State::Stopped => false,
        };
        match has_caught_up {
            true => self.0.insert(view.name.clone()),
            false => self.0.remove(&view.name),
        };
        has_caught_up
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
        let mut ready = |state: State, applied: Option<u64>, lag_ms: Option<u64>| {
            let mut view = view("shop", both, &[], &|_| true, &Facts::default(), 0);
            (view.state, view.applied, view.lag_ms) = (state, applied, lag_ms);
            readiness.is_ready(&view)
        };
        assert!(!ready(State::Degraded, None, None));
        assert!(!ready(State::Snapshotting, Some(9), Some(1)));
        assert!(
            !ready(State::Streaming, Some(0), Some(0)),
            "nothing applied yet"
        );
        assert!(!ready(State::Streaming, Some(9), Some(60_000)));
        assert!(ready(State::Streaming, Some(99), Some(1_000)));
        assert!(
            ready(State::Streaming, Some(999), Some(60_000)),
            "a lag that grew later"
        );
        assert!(!ready(State::Degraded, Some(999), None));
        assert!(
            !ready(State::Streaming, Some(999), Some(60_000)),
            "behind what was missed"
        );
        assert!(ready(State::CaughtUp, Some(9_999), Some(0)));
    }
}
