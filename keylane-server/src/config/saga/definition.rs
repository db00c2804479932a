//! What stands at the top of a definition, and its steps.

use std::collections::BTreeSet;

use keylane_core::saga::{Definition, Rule, STEPS_MAX};

use super::code::SagaCode;
use super::retry;
use super::step::{self, Drafted};
use crate::config::code::Code;
use crate::config::keys::{Absent, Key, Takes};
use crate::config::reader::{Block, Read, Reader, Reported};
use crate::config::reference;
use crate::config::source::{Place, Span};
use crate::config::tree::{Node, Value};

const KEYS: &[Key] = &[
    Key {
        name: "saga",
        takes: Takes::Text(
            "a lower-case letter, then such letters, digits, `-` and `_`, at most 64 bytes",
        ),
        absent: Absent::Required,
        means: "The definition's name.",
    },
    Key {
        name: "version",
        takes: Takes::Count {
            min: 1,
            max: u32::MAX as u64,
        },
        absent: Absent::Required,
        means: "Its version. What runs keeps the version that it began with, so a change is a new one.",
    },
    Key {
        name: "deadline",
        takes: retry::TIME,
        absent: Absent::Means("no deadline"),
        means: "How long after its start a saga that is not decided yet is rolled back.",
    },
    Key {
        name: "deadline_ms",
        takes: retry::MS,
        absent: Absent::Means("`deadline`"),
        means: retry::SAME_IN_MS,
    },
    Key {
        name: "patience",
        takes: retry::TIME,
        absent: Absent::Default("10m"),
        means: "How long what may not be given up (an undo, a fence, a retriable action) goes unanswered before the saga is told as stuck.",
    },
    Key {
        name: "patience_ms",
        takes: retry::MS,
        absent: Absent::Means("`patience`"),
        means: retry::SAME_IN_MS,
    },
    Key {
        name: "steps",
        takes: Takes::Blocks(step::KEYS),
        absent: Absent::Required,
        means: "The steps, 1 to 2,000.",
    },
];

/// The tables of keys in `docs/guides/sagas.md`: one section per block, one row per key.
pub fn saga_reference_markdown() -> String {
    reference::guide("The definition", KEYS)
}

/// The full name of every key, such as `steps[].retry.first`.
pub fn saga_keys() -> Vec<String> {
    reference::paths(KEYS)
}

/// A definition as far as it could be read.
pub(super) struct Draft {
    pub definition: Definition,
    /// For each step, the fields that could not be read.
    pub unread: Vec<BTreeSet<&'static str>>,
}

/// Reads it, and reports what cannot be read; not at all if it has no list of steps.
pub(super) fn read(reader: &Reader<'_>, root: &Node) -> Read<Draft> {
    let top = Span::on_line(Place { line: 1, column: 1 }, 1);
    let block = Block::open(reader, KEYS, String::new(), Some(root), top)?;
    let name = block.text("saga");
    let version = block
        .text("version")
        .and_then(|_| block.whole("version"))
        .map(Option::unwrap_or_default);
    let deadline_ms = block.ms("deadline", "deadline_ms");
    let patience_ms = block.ms("patience", "patience_ms");
    let steps = steps(&block)?;
    // Where something was not read, what stands in its place breaks no rule.
    let name = name.map_or_else(|_| "unread".to_owned(), |text| text.value);
    let mut definition = Definition::new(name, version.unwrap_or(1));
    definition.deadline_ms = match deadline_ms {
        Ok(None) if block.has_unknown_keys() => Some(1),
        Ok(deadline_ms) => deadline_ms,
        Err(Reported) => Some(1),
    };
    if let Ok(Some(patience_ms)) = patience_ms {
        definition.patience_ms = patience_ms;
    }
    let (steps, unread) = steps.into_iter().map(|it| (it.step, it.unread)).unzip();
    definition.steps = steps;
    Ok(Draft { definition, unread })
}

/// The nodes of the steps of a definition of either style. More than may be are told by a code, with what to do.
pub(in crate::config) fn step_nodes<'a>(
    block: &Block<'a>,
    too_many: Code,
    remedy: &str,
) -> Read<&'a [Node]> {
    let Some(entry) = block.entry("steps").filter(|entry| !entry.node.is_null()) else {
        return Err(block.missing("steps"));
    };
    let Value::List(items) = &entry.node.value else {
        return Err(block.wrong_kind("steps", &entry.node, "a list of steps, each begun by '- '"));
    };
    if items.len() > STEPS_MAX {
        let words = format!("steps: {} steps", items.len());
        return Err(block.report(too_many, entry.key_span, words, remedy));
    }
    Ok(items)
}

fn steps(block: &Block<'_>) -> Read<Vec<Drafted>> {
    let items = step_nodes(
        block,
        Code::Saga(SagaCode::Rule(Rule::StepCount)),
        &format!("a saga has 1 to {STEPS_MAX}; split it into several"),
    )?;
    let steps = items.iter().enumerate();
    Ok(steps
        .map(|(at, node)| step::read(block.reader, at, node))
        .collect())
}
