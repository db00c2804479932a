//! `from_topics`: topics that another tool writes.

use super::code::Code;
use super::keys::{Absent, Key, Takes};
use super::lists;
use super::reader::{Block, Read, Text};

pub(super) const KEYS: &[Key] = &[Key {
    name: "debezium",
    takes: Takes::Texts("names of topics"),
    absent: Absent::Required,
    means: "Topics in Debezium's JSON envelope, with or without schemas. Keylane tells at start which guarantee their positions allow.",
}];

/// Topics that another tool writes, applied instead of captured ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromTopics {
    /// Topics in Debezium's JSON envelope; at least one, each once.
    pub debezium: Vec<String>,
}

/// What is said of a text that [`is_topic`] refuses.
pub(super) const NO_TOPIC: &str =
    "is not the name of a Kafka topic (letters, digits, '.', '_', '-')";

/// A topic that may be left out.
pub(super) fn topic_if_any(block: &Block<'_>, name: &str) -> Read<Option<String>> {
    let text = block.text_if_any(name)?;
    text.map(|text| named_topic(block, name, text)).transpose()
}

/// A list of topics.
pub(super) fn topics(block: &Block<'_>, name: &str) -> Read<Vec<String>> {
    let texts = block.texts(name)?;
    lists::all(texts.into_iter().map(|text| named_topic(block, name, text)))
}

/// The topic that a text names.
pub(super) fn named_topic(block: &Block<'_>, name: &str, text: Text) -> Read<String> {
    match is_topic(&text.value) {
        true => Ok(text.value),
        false => Err(block.bad(Code::BadName, name, &text, NO_TOPIC)),
    }
}

/// Whether Kafka takes a text as a topic's name.
pub(super) fn is_topic(text: &str) -> bool {
    const BYTES_MAX: usize = 249;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.len() <= BYTES_MAX && text.chars().all(legal)
}

pub(super) fn read(block: &Block<'_>) -> Read<FromTopics> {
    let texts = block.texts("debezium")?;
    if texts.is_empty() {
        return Err(block.missing("debezium"));
    }
    let mut debezium: Vec<String> = Vec::with_capacity(texts.len());
    let names = lists::all(texts.into_iter().map(|text| {
        if !is_topic(&text.value) {
            return Err(block.bad(Code::BadName, "debezium", &text, NO_TOPIC));
        }
        Ok(text)
    }))?;
    for text in names {
        if debezium.contains(&text.value) {
            return Err(block.bad(Code::Conflict, "debezium", &text, "stands twice"));
        }
        debezium.push(text.value);
    }
    Ok(FromTopics { debezium })
}
