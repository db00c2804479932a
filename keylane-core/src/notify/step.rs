//! One observation of one subject: what its standing is then, and whether somebody is told.
//!
//! What holds, whatever the observations: a message is made only for a change of the told state, at most one for each change; and the last message about a
//! subject names the state that it was last seen to hold for as long as it must. A subject that changes too often is told as flapping once, and its state
//! again when it rests.

use std::ops::AddAssign;

use super::message::{Detail, Message, News};
use super::report::TableReport;
use super::state::{Severity, State};
use super::subject::{Subject, What};
use super::terms::Terms;

/// More changes than this within [`FLAP_WINDOW_US`] are flapping.
pub const FLAP_CHANGES: usize = 10;
/// The time within which changes are counted, and for which a flapping subject must rest.
pub const FLAP_WINDOW_US: i64 = 3_600_000_000;
/// Between two observations further apart nobody knows what was: what has not been told must hold anew.
const GAP_US: i64 = 300_000_000;
/// Runs that are remembered, so that one which is told again changes nothing.
const RUNS_REMEMBERED: usize = 8;

/// What was seen of a subject at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Of what.
    pub subject: Subject,
    /// The state; `None`: nothing was proved.
    pub state: Option<State>,
    /// The run that saw it, of a table.
    pub run: Option<String>,
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// How long the state must hold before it is told.
    pub hold_ms: u64,
    /// The figures.
    pub detail: Detail,
}

impl Observation {
    /// Of a table. Its state is told at once: a verdict is proved.
    pub fn of_table(report: TableReport, at_us: i64) -> Observation {
        Observation {
            subject: Subject {
                pipeline: report.pipeline.clone(),
                what: What::Table(report.table.clone()),
            },
            state: report.state(),
            run: Some(report.run.clone()),
            at_us,
            hold_ms: 0,
            detail: Detail::Table(Box::new(report)),
        }
    }
}

/// What happened since the last digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Runs of a table.
    pub runs: u64,
    /// Of these, such that proved nothing.
    pub unproved: u64,
    /// Of these, such that found fewer rows than are told.
    pub below: u64,
    /// Rows that differed.
    pub found: u64,
    /// Rows that were repaired.
    pub repaired: u64,
    /// Changes of the told state.
    pub changes: u64,
}

impl AddAssign for Day {
    fn add_assign(&mut self, other: Day) {
        self.runs += other.runs;
        self.unproved += other.unproved;
        self.below += other.below;
        self.found += other.found;
        self.repaired += other.repaired;
        self.changes += other.changes;
    }
}

/// A subject that changes too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// Changes since that was told, none of which was.
    pub changes: u32,
}

/// What is known of a subject, kept durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The state that people were told last, or that it began with.
    pub told: State,
    /// Since when.
    pub told_us: i64,
    /// In how many runs it was found, of a table; the first included.
    pub runs: u32,
    /// The state that was seen last.
    pub seen: State,
    /// Since when without a break.
    pub seen_us: i64,
    /// The last observation's time.
    pub at_us: i64,
    /// The last runs that were taken in.
    pub known_runs: Vec<String>,
    /// When the told state changed of late.
    pub changes_us: Vec<i64>,
    /// Whether it is flapping.
    pub flapping: Option<Flapping>,
    /// What happened since the last digest.
    pub day: Day,
    /// The figures that were seen last.
    pub last: Option<Detail>,
}

/// Why nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// The state has been told; it was found in so many runs now.
    Repeat(u32),
    /// The run was taken in before.
    Known,
    /// Nothing was proved.
    Unproved,
    /// Fewer rows than are told.
    Below,
    /// The state has not held long enough.
    Waiting,
    /// It changes too often.
    Folded,
}

/// What an observation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is known from now on.
    pub standing: Standing,
    /// What is told, in this order; two if a subject that had rested changes.
    pub messages: Vec<Message>,
    /// Why nothing is, where nothing is.
    pub quiet: Option<Quiet>,
}

impl Standing {
    /// Of a subject that nothing was seen of: well, as far as is known.
    pub fn new(now_us: i64) -> Standing {
        Standing {
            told: State::Ok,
            told_us: now_us,
            runs: 0,
            seen: State::Ok,
            seen_us: now_us,
            at_us: now_us,
            known_runs: Vec::new(),
            changes_us: Vec::new(),
            flapping: None,
            day: Day::default(),
            last: None,
        }
    }

    /// A flapping subject that has rested: what it is now. To be asked now and then, since rest makes no observation.
    pub fn rest(&mut self, subject: &Subject, now_us: i64) -> Option<Message> {
        let flapping = self.flapping?;
        let last = self.changes_us.last().copied().unwrap_or(i64::MIN);
        if now_us.saturating_sub(last) < FLAP_WINDOW_US {
            return None;
        }
        self.flapping = None;
        self.changes_us.clear();
        // Nothing changed since it was told as flapping, and the state along with it.
        if flapping.changes == 0 {
            return None;
        }
        let news = News::Settled {
            state: self.told,
            changes: flapping.changes,
        };
        Some(Message {
            subject: Some(subject.clone()),
            news,
            severity: self.told.severity(),
            at_us: now_us,
            detail: self.last.clone().unwrap_or(Detail::Test),
        })
    }

    fn takes_in(&mut self, run: &str) -> bool {
        if self.known_runs.iter().any(|known| known == run) {
            return false;
        }
        self.known_runs.push(run.to_owned());
        let too_many = self.known_runs.len().saturating_sub(RUNS_REMEMBERED);
        self.known_runs.drain(..too_many);
        true
    }

    fn sees(&mut self, state: State, now_us: i64) {
        let since_last = now_us.saturating_sub(self.at_us);
        let unwatched = !(0..=GAP_US).contains(&since_last);
        if state != self.seen || unwatched {
            (self.seen, self.seen_us) = (state, now_us);
        }
        self.at_us = now_us;
    }

    /// Takes another state for the told one. The message, unless it changes too often.
    fn changes(&mut self, to: State, observation: &Observation, detail: Detail) -> Option<Message> {
        let now_us = observation.at_us;
        let (from, runs) = (self.told, self.runs);
        let first = self.last.is_none() && self.changes_us.is_empty();
        let lasted_us = if first { 0 } else { now_us - self.told_us };
        (self.told, self.told_us, self.runs) = (to, now_us, 1);
        self.last = Some(detail.clone());
        self.day.changes += 1;
        self.changes_us
            .retain(|at| now_us.saturating_sub(*at) < FLAP_WINDOW_US);
        self.changes_us.push(now_us);
        let count = self.changes_us.len();
        let too_many = count.saturating_sub(FLAP_CHANGES + 1);
        self.changes_us.drain(..too_many);
        if let Some(flapping) = &mut self.flapping {
            flapping.changes = flapping.changes.saturating_add(1);
            return None;
        }
        let mut severity = to.severity();
        let news = if count > FLAP_CHANGES {
            self.flapping = Some(Flapping { changes: 0 });
            severity = severity.max(Severity::Warning);
            let first = self.changes_us.first().copied().unwrap_or(now_us);
            News::Flapping {
                state: to,
                changes: u32::try_from(count).unwrap_or(u32::MAX),
                within_ms: millis(now_us - first),
            }
        } else {
            let lasted_ms = millis(lasted_us);
            News::Changed {
                from,
                to,
                lasted_ms,
                runs,
            }
        };
        Some(Message {
            subject: Some(observation.subject.clone()),
            news,
            severity,
            at_us: now_us,
            detail,
        })
    }
}

/// Takes an observation in. Observations of one subject come one after another, runs of a table in their order.
pub fn step(standing: Option<Standing>, observation: &Observation, terms: &Terms) -> Step {
    let now_us = observation.at_us;
    let mut standing = standing.unwrap_or_else(|| Standing::new(now_us));
    let mut messages: Vec<Message> = standing
        .rest(&observation.subject, now_us)
        .into_iter()
        .collect();
    let quiet = take_in(&mut standing, observation, terms, &mut messages);
    Step {
        quiet: quiet.filter(|_| messages.is_empty()),
        standing,
        messages,
    }
}

fn take_in(
    standing: &mut Standing,
    observation: &Observation,
    terms: &Terms,
    messages: &mut Vec<Message>,
) -> Option<Quiet> {
    if let Some(run) = &observation.run
        && !standing.takes_in(run)
    {
        return Some(Quiet::Known);
    }
    let mut detail = observation.detail.clone();
    let mut is_below = false;
    if let Detail::Table(report) = detail {
        is_below = report.is_below(terms.min_rows, terms.min_ratio);
        standing.day.runs += 1;
        standing.day.found += report.found();
        standing.day.repaired += report.repaired;
        detail = Detail::Table(Box::new(report.bounded(terms.values)));
    }
    let Some(state) = observation.state else {
        standing.day.unproved += 1;
        return Some(Quiet::Unproved);
    };
    if is_below {
        standing.day.below += 1;
        standing.runs = standing.runs.saturating_add(1);
        return Some(Quiet::Below);
    }
    standing.sees(state, observation.at_us);
    if state == standing.told {
        standing.runs = standing
            .runs
            .saturating_add(u32::from(observation.run.is_some()));
        standing.last = Some(detail);
        return Some(Quiet::Repeat(standing.runs));
    }
    let held_ms = millis(observation.at_us - standing.seen_us);
    if held_ms < observation.hold_ms {
        return Some(Quiet::Waiting);
    }
    let told = standing.changes(state, observation, detail);
    let quiet = told.is_none().then_some(Quiet::Folded);
    messages.extend(told);
    quiet
}

fn millis(us: i64) -> u64 {
    u64::try_from(us / 1000).unwrap_or(0)
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
