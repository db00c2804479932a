//! The choreographies that are known, and what follows from them for what was heard of a saga: a row in which everything but the clock is decided, so that it is the same whenever it is made.

use super::{Alarm, Choreography, Expected, Patience, Said, Track};
use crate::model::fingerprint;
use crate::saga::state::State;

/// The choreographies that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choreographies {
    known: Vec<Choreography>,
    others: Patience,
    terms: u64,
}

/// A saga as it is kept beside its [`Track`]: all that follows from that, but for the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackRow {
    /// The choreography that it belongs to, as far as one is known.
    pub definition: Option<String>,
    /// Where it stands as long as it is not stuck.
    pub state: State,
    /// What it is about, by its first event that says so.
    pub key: Option<String>,
    /// When its first event was made, microseconds since 1970.
    pub started_us: i64,
    /// When its last event was made.
    pub updated_us: i64,
    /// When it ended, if it has.
    pub ended_us: Option<i64>,
    /// The steps that it waits for: that they end, or that what came before them is heard.
    pub waits: Vec<String>,
    /// Why it goes back, if it does.
    pub why: Option<String>,
    /// When it is stuck, if nothing more is heard.
    pub stuck_us: Option<i64>,
    /// The step that it is stuck at then.
    pub stuck_step: Option<String>,
    /// And why.
    pub stuck_why: Option<String>,
}

/// Where a saga stands at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its row.
    pub row: TrackRow,
    /// What users are told.
    pub state: State,
    /// What is wrong.
    pub alarms: Vec<Alarm>,
    /// What is expected of which step, and by when, microseconds since 1970, if there is a time.
    pub next: Vec<(String, Option<i64>)>,
}

impl Choreographies {
    /// These, in any order, each under a name of its own; how long what may take in sagas that belong to none of them.
    pub fn new(mut known: Vec<Choreography>, others: Patience) -> Self {
        known.sort_by(|one, other| one.name.cmp(&other.name));
        let terms = fingerprint(&format!("1 {known:?} {others:?}"));
        Choreographies {
            known,
            others,
            terms,
        }
    }

    /// All, by name.
    pub fn all(&self) -> &[Choreography] {
        &self.known
    }

    /// A number for all that rows follow from: rows that were made by another are to be made anew.
    pub fn terms(&self) -> u64 {
        self.terms
    }

    /// The one that a saga belongs to: that which knows most of its steps and types; of several the first by name.
    pub fn of(&self, track: &Track) -> Option<&Choreography> {
        let knows = |one: &&Choreography| {
            let steps = one
                .steps
                .iter()
                .filter(|it| track.steps.contains_key(&it.id));
            let emits = one.steps.iter().flat_map(|it| &it.emits);
            let types = one.begins.iter().chain(emits);
            steps.count() + types.filter(|it| track.types.contains_key(*it)).count()
        };
        let candidates = self.known.iter().map(|one| (knows(&one), one));
        let candidates = candidates.filter(|(known, _)| *known > 0);
        // Of equals the last is taken: here the first by name.
        let best = candidates.rev().max_by_key(|(known, _)| *known);
        best.map(|(_, one)| one)
    }

    fn terms_of<'a>(&'a self, track: &Track) -> (Expected<'a>, Patience) {
        match self.of(track) {
            Some(one) => (Expected::ByDefinition(one), one.patience),
            None => (Expected::ByAnnouncement, self.others),
        }
    }

    /// The steps before which something must have been told that was not heard.
    pub(super) fn unheard_before(&self, track: &Track) -> Vec<String> {
        track.unheard_before(self.terms_of(track).0)
    }

    /// What is kept of a saga beside what was heard of it.
    pub fn row(&self, track: &Track) -> TrackRow {
        let (expected, patience) = self.terms_of(track);
        let state = track.heading(expected);
        let (first_us, last_us) = (track.first_us.unwrap_or(0), track.last_us.unwrap_or(0));
        let stuck = track.stuck(expected, patience);
        let mut waits = track.waits(expected);
        for step in track.unheard_before(expected) {
            if !waits.contains(&step) {
                waits.push(step);
            }
        }
        TrackRow {
            definition: self.of(track).map(|one| one.name.clone()),
            state,
            key: track.subject.as_ref().map(|(_, subject)| subject.clone()),
            started_us: first_us,
            updated_us: last_us,
            ended_us: state.is_end().then_some(last_us),
            waits,
            why: track.why_back(),
            stuck_us: stuck.as_ref().map(|(due_us, _)| *due_us),
            stuck_step: stuck
                .as_ref()
                .and_then(|(_, it)| it.step().map(str::to_owned)),
            stuck_why: stuck.as_ref().map(|(_, alarm)| alarm.to_string()),
        }
    }

    /// Where a saga stands at this time.
    pub fn standing(&self, track: &Track, now_us: i64) -> Standing {
        let (expected, patience) = self.terms_of(track);
        let row = self.row(track);
        let next = row.waits.iter().map(|step| {
            let due_us = track.due_us(step, expected, patience);
            (step.clone(), due_us)
        });
        Standing {
            state: track.state(expected, patience, now_us),
            alarms: track.alarms(expected, patience, now_us),
            next: next.collect(),
            row,
        }
    }
}

impl Track {
    /// Why it goes back: what said so first.
    pub(super) fn why_back(&self) -> Option<String> {
        let failed = self.steps.iter().filter_map(|(id, step)| {
            let at_us = step.said.get(&Said::Failed)?;
            Some((*at_us, format!("{id} failed")))
        });
        let aborted = self
            .aborted_us
            .map(|at_us| (at_us, "it was aborted".to_owned()));
        failed.chain(aborted).min().map(|(_, why)| why)
    }
}
