//! The keys of a choreography, and how they are read.

use std::time::Duration;

use keylane_core::saga::{
    Choreography, ChoreographyRule, ChoreographyStep, MS_MAX, Patience, STEPS_MAX,
};

use crate::config::code::Code;
use crate::config::from_topics::{topic_if_any, topics};
use crate::config::keys::{Absent, Key, Takes};
use crate::config::lists;
use crate::config::reader::{Block, Read, Reader, Reported};
use crate::config::reference;
use crate::config::saga::{step_nodes, step_path};
use crate::config::source::{Place, Span};
use crate::config::tree::Node;

const NAME: Takes =
    Takes::Text("a lower-case letter, then such letters, digits, `-` and `_`, at most 64 bytes");
pub(in crate::config) const TIME: Takes = Takes::Duration {
    min_ms: 1,
    max_ms: MS_MAX,
};

const KEYS: &[Key] = &[
    Key {
        name: "choreography",
        takes: NAME,
        absent: Absent::Required,
        means: "The choreography's name.",
    },
    Key {
        name: "topics",
        takes: Takes::Texts("topics"),
        absent: Absent::Required,
        means: "The topics of its events: all of them are heard.",
    },
    Key {
        name: "signal",
        takes: Takes::Text("a topic"),
        absent: Absent::Means("each of `topics`"),
        means: "The topic that an abort goes into; every service of the choreography reads it. In the embedded log it is made if it is not there.",
    },
    Key {
        name: "begins",
        takes: Takes::Texts("types of events"),
        absent: Absent::Required,
        means: "The events that begin such a saga. They come from outside: no step tells them.",
    },
    Key {
        name: "steps",
        takes: Takes::Blocks(STEP),
        absent: Absent::Required,
        means: "The steps, 1 to 2,000.",
    },
    Key {
        name: "patience",
        takes: Takes::Block(PATIENCE),
        absent: Absent::Means("its defaults"),
        means: "When a saga that does not get on is told as stuck.",
    },
];

const STEP: &[Key] = &[
    Key {
        name: "id",
        takes: NAME,
        absent: Absent::Required,
        means: "The step's name within the saga: what its events have as `sagastep`.",
    },
    Key {
        name: "consumes",
        takes: Takes::Texts("types of events"),
        absent: Absent::Required,
        means: "The events any of which sets it going.",
    },
    Key {
        name: "emits",
        takes: Takes::Texts("types of events"),
        absent: Absent::Means("`ID.done`"),
        means: "The events that it ends with and that others wait for.",
    },
];

const PATIENCE: &[Key] = &[
    Key {
        name: "step",
        takes: TIME,
        absent: Absent::Default("10m"),
        means: "From what sets a step going until it has ended.",
    },
    Key {
        name: "undo",
        takes: TIME,
        absent: Absent::Default("10m"),
        means: "From a failure, or an abort, until a step that was done is undone.",
    },
];

/// The tables of keys in `docs/guides/sagas.md`: one section per block, one row per key.
pub fn choreography_reference_markdown() -> String {
    reference::guide("The choreography", KEYS)
}

/// The full name of every key, such as `steps[].consumes`.
pub fn choreography_keys() -> Vec<String> {
    reference::paths(KEYS)
}

/// Reads it, and reports what cannot be read; not at all if what its rules are about cannot be. Something stands in the place of the rest.
pub(super) fn read(reader: &Reader<'_>, root: &Node) -> Read<Choreography> {
    let top = Span::on_line(Place { line: 1, column: 1 }, 1);
    let block = Block::open(reader, KEYS, String::new(), Some(root), top)?;
    let name = block.text("choreography");
    let topics = topics(&block, "topics").and_then(|topics| match topics.is_empty() {
        true => Err(block.missing("topics")),
        false => Ok(topics),
    });
    let signal = topic_if_any(&block, "signal");
    let begins = types(&block, "begins").and_then(|types| match types.is_empty() {
        true => Err(block.missing("begins")),
        false => Ok(types),
    });
    let patience = block.block("patience").and_then(|inner| {
        let (step, undo) = (inner.duration("step"), inner.duration("undo"));
        Ok(Patience {
            step_ms: ms(step?),
            undo_ms: ms(undo?),
            ..Patience::default()
        })
    });
    let steps = steps(&block);
    Ok(Choreography {
        name: name.map_or_else(|_| "unread".to_owned(), |text| text.value),
        topics: topics.unwrap_or_default(),
        signal: signal.unwrap_or_default(),
        begins: begins?,
        patience: patience.unwrap_or_default(),
        steps: steps?,
    })
}

pub(in crate::config) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn types(block: &Block<'_>, name: &str) -> Read<Vec<String>> {
    let texts = block.texts(name)?;
    Ok(texts.into_iter().map(|text| text.value).collect())
}

fn steps(block: &Block<'_>) -> Read<Vec<ChoreographyStep>> {
    let items = step_nodes(
        block,
        Code::Choreography(ChoreographyRule::StepCount),
        &format!("a choreography has 1 to {STEPS_MAX}"),
    )?;
    let steps = items.iter().enumerate();
    lists::all(steps.map(|(at, node)| step(block.reader, at, node)))
}

fn step(reader: &Reader<'_>, at: usize, node: &Node) -> Read<ChoreographyStep> {
    let block = Block::open(reader, STEP, step_path(at, node), Some(node), node.span)?;
    let id = block.text("id");
    let consumes = match block.is_written("consumes") {
        true => types(&block, "consumes"),
        false => Err(block.missing("consumes")),
    };
    let emits = match block.is_written("emits") {
        true => types(&block, "emits").map(Some),
        false => Ok(None),
    };
    let id = id?.value;
    if block.has_unknown_keys() {
        // Any of them may stand for one that is missed.
        return Err(Reported);
    }
    Ok(ChoreographyStep {
        consumes: consumes?,
        emits: emits?.unwrap_or_else(|| vec![format!("{id}.done")]),
        id,
    })
}
