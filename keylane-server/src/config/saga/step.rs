//! A step, read as far as it can be: what could not be read is named, so that the rules are asked about the rest.

use std::collections::BTreeSet;

use keylane_core::saga::{Participant, STEPS_MAX, Step, StepKind, is_name};

use super::{condition, input, participant, retry};
use crate::config::code::Code;
use crate::config::keys::{Absent, Key, Takes};
use crate::config::reader::{Block, Read, Reader};
use crate::config::tree::{Node, Value};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "id",
        takes: Takes::Text(
            "a lower-case letter, then such letters, digits, `-` and `_`, at most 64 bytes",
        ),
        absent: Absent::Required,
        means: "The step's name within the saga.",
    },
    Key {
        name: "kind",
        takes: Takes::Word(&["compensatable", "pivot", "retriable"]),
        absent: Absent::Required,
        means: "`compensatable`: can be undone · `pivot`: decides · `retriable`: succeeds in the end, however often it takes.",
    },
    Key {
        name: "kafka",
        takes: Takes::Text("a topic"),
        absent: Absent::Means("`http` or `participant`"),
        means: "Who does it: whoever reads this topic of commands.",
    },
    Key {
        name: "http",
        takes: Takes::Text("an `http://` or `https://` address without user and password"),
        absent: Absent::Means("`kafka` or `participant`"),
        means: "Who does it: whoever answers at this address.",
    },
    Key {
        name: "participant",
        takes: Takes::Text("a name"),
        absent: Absent::Means("`kafka` or `http`"),
        means: "Who does it: one that the configuration gives an address.",
    },
    Key {
        name: "action",
        takes: Takes::Text("a command's type, at most 512 bytes"),
        absent: Absent::Required,
        means: "The command that does it.",
    },
    Key {
        name: "undo",
        takes: Takes::Text("a command's type, at most 512 bytes"),
        absent: Absent::Means("it cannot be undone"),
        means: "The command that undoes it. A compensatable step has one, others have none.",
    },
    Key {
        name: "after",
        takes: Takes::Texts("steps' ids"),
        absent: Absent::Means("the step above it"),
        means: "The steps that must have ended before it; `[]`: none. Independent steps run side by side.",
    },
    Key {
        name: "input",
        takes: Takes::Named("values, or a list, or a single value"),
        absent: Absent::Default("$"),
        means: "What its commands carry; a text that begins with `$` is a path, `$` alone the saga's data.",
    },
    Key {
        name: "if",
        takes: Takes::Text("a condition, at most 2,000 bytes"),
        absent: Absent::Means("it runs"),
        means: "Where it does not hold, the step is passed over.",
    },
    Key {
        name: "timeout",
        takes: retry::TIME,
        absent: Absent::Means("no time-out"),
        means: "How long after its first command an action without a verdict is given up. Not for a retriable step.",
    },
    Key {
        name: "timeout_ms",
        takes: retry::MS,
        absent: Absent::Means("`timeout`"),
        means: retry::SAME_IN_MS,
    },
    Key {
        name: "retry",
        takes: Takes::Block(retry::KEYS),
        absent: Absent::Means("its defaults"),
        means: "How its commands are repeated: the pauses grow from `first` to `cap`.",
    },
];

/// A step as far as it could be read.
pub(super) struct Drafted {
    pub step: Step,
    /// The fields, by their canonical names, in whose place something else stands.
    pub unread: BTreeSet<&'static str>,
}

/// What [`Drafted::unread`] holds where an unknown key may stand for any other.
pub(super) const UNKNOWN: &str = "";

impl Drafted {
    /// Nothing of a step.
    fn nothing(at: usize) -> Drafted {
        let nobody = Participant::Named("unread".into());
        Drafted {
            // No other step has it: names have no spaces.
            step: Step::retriable(format!("unread {at}"), nobody, "unread"),
            unread: BTreeSet::new(),
        }
    }

    fn put<T>(&mut self, field: &'static str, read: Read<T>, into: impl FnOnce(&mut Step, T)) {
        match read {
            Ok(value) => into(&mut self.step, value),
            Err(_) => {
                self.unread.insert(field);
            }
        }
    }
}

/// Reads the step at a place of the list.
pub(super) fn read(reader: &Reader<'_>, at: usize, node: &Node) -> Drafted {
    let mut drafted = Drafted::nothing(at);
    let Ok(block) = Block::open(reader, KEYS, path(at, node), Some(node), node.span) else {
        let fields = KEYS.iter().map(|key| key.name);
        drafted.unread = fields.chain([UNKNOWN, "timeout_ms"]).collect();
        return drafted;
    };
    if block.has_unknown_keys() {
        drafted.unread.insert(UNKNOWN);
    }
    let kind = block.choice("kind", &StepKind::ALL);
    let text = |name| block.text(name).map(|text| text.value);
    drafted.put("id", text("id"), |step, it| step.id = it);
    drafted.put("kind", kind, |step, it| step.kind = it);
    drafted.put("participant", participant::read(&block), |step, it| {
        step.participant = it;
    });
    drafted.put("action", text("action"), |step, it| step.action = it);
    let undo = block.text_if_written("undo");
    drafted.put("undo", undo, |step, it| {
        step.undo = it.map(|text| text.value)
    });
    drafted.put("after", after(&block), |step, it| step.after = it);
    drafted.put("input", input::read(&block), |step, it| step.input = it);
    drafted.put("if", condition::read(&block), |step, it| {
        step.condition = it;
    });
    let timeout_ms = block.ms("timeout", "timeout_ms");
    drafted.put("timeout_ms", timeout_ms, |step, it| step.timeout_ms = it);
    drafted.put("retry", retry::read(&block), |step, it| step.retry = it);
    drafted
}

/// How messages call a step: by its name, if it has one.
pub(in crate::config) fn path(at: usize, node: &Node) -> String {
    let id = node.entry("id").map(|entry| &entry.node.value);
    match id {
        Some(Value::Scalar(scalar)) if is_name(&scalar.text) => scalar.text.clone(),
        _ => format!("steps[{at}]"),
    }
}

fn after(block: &Block<'_>) -> Read<Option<Vec<String>>> {
    let Some(entry) = block.entry("after").filter(|entry| !entry.node.is_null()) else {
        return Ok(None);
    };
    if let Value::List(items) = &entry.node.value
        && items.len() > STEPS_MAX
    {
        let message = format!(
            "{} names more steps than there can be",
            block.path_of("after")
        );
        let remedy = "name the steps that it waits for itself, each once";
        return Err(block.report(Code::OutOfRange, entry.node.span, message, remedy));
    }
    let texts = block.texts_of("after", &entry.node)?;
    Ok(Some(texts.into_iter().map(|text| text.value).collect()))
}
