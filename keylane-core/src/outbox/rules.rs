//! Which topics events may go into, and how large they may be.

use std::fmt;

use super::refusal::{Refusal, RefusalCode};

/// The largest event: what the log takes as one record (1,000,000 bytes), less what Keylane's own header may take.
pub const EVENT_BYTES_MAX: usize = 990_000;
/// The most topics that one pipeline's events may go into.
pub const TOPICS_MAX: usize = 1_000;

/// The longest name of a topic.
const NAME_BYTES_MAX: usize = 249;
/// The end of the name of a pipeline's own topic, which holds its state.
const CONTROL: &str = ".keylane";

/// A topic's name, or the beginning of names: `orders.*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPattern {
    name: String,
    is_prefix: bool,
}

/// What a pipeline allows its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The topics that they may name.
    pub topics: Vec<TopicPattern>,
    /// The largest event: key, payload and headers, in bytes.
    pub event_bytes_max: usize,
    /// Who sent it, where a row does not say.
    pub source: String,
}

impl TopicPattern {
    /// A name, or the beginning of names with `*` behind it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<TopicPattern, &'static str> {
        let (name, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        if name.is_empty() {
            return Err("allows every topic; write a name, or a beginning such as orders.*");
        }
        if name.len() > NAME_BYTES_MAX || !name.bytes().all(is_legal) {
            return Err("is no topic's name: letters, digits, '.', '_' and '-', at most 249");
        }
        if is_reserved(name) {
            return Err("is a topic of Keylane's or of Kafka's own");
        }
        Ok(TopicPattern {
            name: name.to_owned(),
            is_prefix,
        })
    }

    /// Whether it means this topic.
    pub fn matches(&self, topic: &str) -> bool {
        match self.is_prefix {
            true => topic.starts_with(&self.name),
            false => topic == self.name,
        }
    }

    /// The topic, if it means one only.
    pub fn exact(&self) -> Option<&str> {
        (!self.is_prefix).then_some(self.name.as_str())
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.is_prefix { "*" } else { "" })
    }
}

impl Rules {
    /// Whether events may go into this topic.
    ///
    /// # Errors
    /// If not, and why.
    pub fn allow(&self, topic: &str) -> Result<(), Refusal> {
        let refused = |why: String| Err(Refusal::new(RefusalCode::TopicNotAllowed, why));
        if topic.is_empty() {
            return refused("the row names no topic".to_owned());
        }
        if topic.len() > NAME_BYTES_MAX || !topic.bytes().all(is_legal) {
            return refused("what stands under `topic` is no topic's name".to_owned());
        }
        if is_reserved(topic) {
            return refused(format!(
                "topic {topic} is one of Keylane's or of Kafka's own"
            ));
        }
        match self.topics.iter().any(|pattern| pattern.matches(topic)) {
            true => Ok(()),
            false => refused(format!(
                "topic {topic} is not among `outbox.topics` of the configuration"
            )),
        }
    }
}

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn is_reserved(topic: &str) -> bool {
    topic.ends_with(CONTROL) || topic.starts_with("__") || matches!(topic, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_may_name_what_the_configuration_allows_and_nothing_of_keylanes_own() {
        let rules = Rules {
            topics: ["orders", "saga.*"]
                .map(|text| TopicPattern::parse(text).expect("legal"))
                .to_vec(),
            event_bytes_max: EVENT_BYTES_MAX,
            source: "test".to_owned(),
        };
        for (topic, expect) in [
            ("orders", true),
            ("orders.eu", false),
            ("saga.reply.shop", true),
            ("saga", false),
            ("saga.keylane", false),
            ("", false),
            ("saga.a b", false),
            ("__consumer_offsets", false),
        ] {
            assert_eq!(rules.allow(topic).is_ok(), expect, "{topic}");
        }
    }

    #[test]
    fn a_pattern_that_allows_everything_is_refused() {
        for text in ["", "*", "__*", "a*b", "shop.keylane", "a b"] {
            assert!(TopicPattern::parse(text).is_err(), "{text}");
        }
    }
}
