//! What was heard of a choreographed saga as stores keep it: JSON in which the same always stands as the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use keylane_core::saga::{Said, StepTrack, Track, TypeTrack};
use serde::{Deserialize, Serialize};

use super::form::Unreadable;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct TrackForm {
    first_us: Option<i64>,
    last_us: Option<i64>,
    aborted_us: Option<i64>,
    subject: Option<(i64, String)>,
    types: BTreeMap<String, TypeForm>,
    steps: BTreeMap<String, StepForm>,
}

#[derive(Serialize, Deserialize)]
struct TypeForm {
    first_us: i64,
    of_step: bool,
}

#[derive(Serialize, Deserialize)]
struct StepForm {
    said: BTreeMap<String, i64>,
    announced_us: Option<i64>,
    leaves_open: bool,
    services: BTreeSet<String>,
    by_hand: bool,
}

/// A track as it is kept.
pub(crate) fn track_text(track: &Track) -> String {
    let types = track.types.iter().map(|(name, of_type)| {
        let TypeTrack { first_us, of_step } = *of_type;
        (name.clone(), TypeForm { first_us, of_step })
    });
    let steps = track.steps.iter().map(|(id, step)| {
        let said = step.said.iter();
        let form = StepForm {
            said: said.map(|(it, at)| (it.code().to_owned(), *at)).collect(),
            announced_us: step.announced_us,
            leaves_open: step.leaves_open,
            services: step.services.clone(),
            by_hand: step.by_hand,
        };
        (id.clone(), form)
    });
    let form = TrackForm {
        first_us: track.first_us,
        last_us: track.last_us,
        aborted_us: track.aborted_us,
        subject: track.subject.clone(),
        types: types.collect(),
        steps: steps.collect(),
    };
    serde_json::to_string(&form).expect("a track's names are texts")
}

/// A track out of what is kept; `{}` is one of which nothing was heard.
pub(crate) fn track_of(text: &str) -> Result<Track, Unreadable> {
    let form: TrackForm = serde_json::from_str(text)?;
    let types = form.types.into_iter().map(|(name, of_type)| {
        let TypeForm { first_us, of_step } = of_type;
        (name, TypeTrack { first_us, of_step })
    });
    let steps = form.steps.into_iter().map(|(id, step)| {
        let said = step.said.into_iter().map(|(code, at_us)| {
            let said = Said::named(&code).ok_or_else(|| Unreadable(format!("said {code}")));
            said.map(|said| (said, at_us))
        });
        let track = StepTrack {
            said: said.collect::<Result<_, Unreadable>>()?,
            announced_us: step.announced_us,
            leaves_open: step.leaves_open,
            services: step.services,
            by_hand: step.by_hand,
        };
        Ok((id, track))
    });
    Ok(Track {
        steps: steps.collect::<Result<_, Unreadable>>()?,
        types: types.collect(),
        subject: form.subject,
        aborted_us: form.aborted_us,
        first_us: form.first_us,
        last_us: form.last_us,
    })
}

/// The steps that a saga waits for, as they are kept.
pub(crate) fn waits_text(waits: &[String]) -> String {
    serde_json::to_string(waits).expect("names are texts")
}
