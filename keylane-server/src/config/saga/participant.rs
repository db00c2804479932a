//! Who does a step: exactly one of `kafka`, `http` and `participant`.

use keylane_core::saga::Participant;
use url::Url;

use super::code::SagaCode;
use crate::config::code::Code;
use crate::config::from_topics::{NO_TOPIC, is_topic};
use crate::config::interpolate::Insert;
use crate::config::reader::{Block, Read, Reported, Text};

/// The keys that say it.
pub(super) const WAYS: [&str; 3] = ["kafka", "http", "participant"];

/// The one that is written.
pub(super) fn read(block: &Block<'_>) -> Read<Participant> {
    let mut written = WAYS.into_iter().filter(|name| block.is_written(name));
    let first = written.next();
    let second = written.next();
    match (first, second) {
        (Some("kafka"), None) => topic(block),
        (Some("http"), None) => address(block),
        (Some(_), None) => Ok(Participant::Named(block.text("participant")?.value)),
        (Some(first), Some(second)) => Err(block.report(
            Code::OneOf,
            block.span_of(second),
            format!("{} stands beside '{first}'", block.path_of(second)),
            "one participant does a step: keep one of 'kafka', 'http' and 'participant'",
        )),
        // A misspelt key may stand for it.
        (None, _) if block.has_unknown_keys() => Err(Reported),
        (None, _) => Err(block.report(
            Code::OneOf,
            block.span,
            format!("{} does not say who does it", block.path),
            "add one of 'kafka: TOPIC', 'http: URL' and 'participant: NAME'",
        )),
    }
}

/// The text of an address, kept out of messages: it may hold a password.
fn hidden(block: &Block<'_>, name: &str) -> Read<Text> {
    let entry = block.entry(name).ok_or(Reported)?;
    block.expand(name, &entry.node, Insert::AsItIs, holds_login(entry))
}

fn holds_login(entry: &crate::config::tree::Entry) -> bool {
    match &entry.node.value {
        crate::config::tree::Value::Scalar(scalar) => super::load::holds_login(&scalar.text),
        _ => true,
    }
}

fn topic(block: &Block<'_>) -> Read<Participant> {
    let text = hidden(block, "kafka")?;
    if !is_topic(&text.value) {
        return Err(block.bad(Code::BadName, "kafka", &text, NO_TOPIC));
    }
    Ok(Participant::Kafka { topic: text.value })
}

fn address(block: &Block<'_>) -> Read<Participant> {
    let text = hidden(block, "http")?;
    let bad = |fault: &str| Err(block.bad(Code::Saga(SagaCode::Address), "http", &text, fault));
    let is_http = text.value.starts_with("http://") || text.value.starts_with("https://");
    let url = Url::parse(&text.value).ok().filter(|_| is_http);
    let Some(url) = url.filter(|_| !text.value.contains(char::is_whitespace)) else {
        return bad("is not the address of an HTTP service");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return bad("holds a user or a password, and definitions are stored and shown");
    }
    Ok(Participant::Http { url: text.value })
}
