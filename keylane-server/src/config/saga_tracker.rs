//! `saga.tracker`: how choreographed sagas are followed.

use keylane_core::saga::Patience;

use super::choreography::{TIME, ms};
use super::code::Code;
use super::from_topics::{topic_if_any, topics};
use super::keys::{Absent, Key, Takes};
use super::reader::{Block, Read};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "topics",
        takes: Takes::Texts("topics"),
        absent: Absent::Means("none but those of `choreographies`"),
        means: "Topics that are heard besides those of `choreographies`: their sagas are followed by what their events announce.",
    },
    Key {
        name: "signal",
        takes: Takes::Text("a topic"),
        absent: Absent::Means("each of `topics`"),
        means: "The topic that an abort of a saga of no known choreography goes into. In the embedded log it is made if it is not there.",
    },
    Key {
        name: "group",
        takes: Takes::Text("a consumer group"),
        absent: Absent::Default("keylane-tracker"),
        means: "The group that hears. All processes that share the sagas name the same, others at the cluster another. Under a new name everything is heard anew, which changes nothing in what is known.",
    },
    Key {
        name: "patience",
        takes: Takes::Block(PATIENCE),
        absent: Absent::Means("its defaults"),
        means: "Of sagas of no known choreography: when they are told as stuck.",
    },
];

const PATIENCE: &[Key] = &[
    Key {
        name: "step",
        takes: TIME,
        absent: Absent::Default("10m"),
        means: "From what announces a step until it has ended.",
    },
    Key {
        name: "undo",
        takes: TIME,
        absent: Absent::Default("10m"),
        means: "From a failure, or an abort, until a step that was done is undone.",
    },
    Key {
        name: "silence",
        takes: TIME,
        absent: Absent::Default("1d"),
        means: "How long nothing may be heard of a saga of which it is not known whether it has ended.",
    },
];

/// How choreographed sagas are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaTracker {
    /// Topics that are heard besides those of the choreographies.
    pub topics: Vec<String>,
    /// Where an abort of a saga of no known choreography goes.
    pub signal: Option<String>,
    /// The group that hears.
    pub group: String,
    /// How long what may take in sagas of no known choreography.
    pub patience: Patience,
}

pub(super) fn read(block: &Block<'_>) -> Read<SagaTracker> {
    let (topics, signal) = (topics(block, "topics"), topic_if_any(block, "signal"));
    let group = block.text("group").and_then(|text| {
        let fits = !text.value.is_empty() && text.value.len() <= 249;
        match fits && !text.value.chars().any(char::is_control) {
            true => Ok(text.value),
            false => Err(block.bad(
                Code::BadName,
                "group",
                &text,
                "is not the name of a consumer group (1 to 249 bytes)",
            )),
        }
    });
    let patience = block.block("patience").and_then(|inner| {
        let times = ["step", "undo", "silence"].map(|name| inner.duration(name));
        let [step, undo, silence] = times;
        Ok(Patience {
            step_ms: ms(step?),
            undo_ms: ms(undo?),
            silence_ms: ms(silence?),
        })
    });
    Ok(SagaTracker {
        topics: topics?,
        signal: signal?,
        group: group?,
        patience: patience?,
    })
}
