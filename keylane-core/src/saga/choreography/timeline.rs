//! The timeline of a choreographed saga: what was heard first of what, and what was asked.

use super::{Track, Tracked};
use crate::saga::event::What;
use crate::saga::port::Line;

/// What a line tells of an event that tells of no step.
const HEARD: &str = "heard";

impl Tracked {
    /// Its timeline, oldest first.
    pub fn timeline(&self) -> Vec<Line> {
        // What is heard because of what was asked has its time.
        let mut lines = self.asked.clone();
        lines.extend(self.track.lines());
        lines.sort_by_key(|line| line.at_us);
        lines
    }
}

impl Track {
    fn lines(&self) -> Vec<Line> {
        let line = |at_us: i64, what: &str, step: Option<&String>, reason: Option<String>| Line {
            at_us,
            what: what.to_owned(),
            step: step.cloned(),
            attempt: None,
            actor: None,
            reason,
        };
        let types = self.types.iter().filter(|(_, of_type)| !of_type.of_step);
        let types =
            types.map(|(name, of_type)| line(of_type.first_us, HEARD, None, Some(name.clone())));
        let steps = self.steps.iter().flat_map(|(id, step)| {
            let said = step.said.iter();
            said.map(move |(said, at_us)| line(*at_us, said.code(), Some(id), None))
        });
        let back = self.goes_back_us().map(|at_us| {
            let code = What::GoesBack.code();
            line(at_us, code, None, self.why_back())
        });
        types.chain(steps).chain(back).collect()
    }
}
