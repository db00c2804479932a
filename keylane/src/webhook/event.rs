//! A message as a CloudEvent 1.0 in structured JSON.

use keylane_core::notify::{Entry, Message};
use serde_json::{Value, json};

use crate::notice::{MessageForm, rfc3339};

/// What is posted for a message. `source` says which Keylane sends it. `id` is the same at every attempt and in every channel.
pub fn event(entry: &Entry, source: &str) -> Value {
    let message = &entry.message;
    let data = serde_json::to_value(MessageForm::from(message));
    json!({
        "specversion": "1.0",
        "id": entry.id,
        "source": source,
        "type": kind(message),
        "subject": subject(message),
        "time": rfc3339(message.at_us),
        "datacontenttype": "application/json",
        "data": data.expect("a form of texts, numbers and lists is JSON"),
    })
}

/// `dev.keylane.notify.table.diverged`, `dev.keylane.notify.digest`.
fn kind(message: &Message) -> String {
    let news = message.news;
    match (&message.subject, news.state()) {
        (Some(subject), Some(state)) => {
            let what = subject.what.kind();
            format!("dev.keylane.notify.{what}.{}", state.word())
        }
        _ => format!("dev.keylane.notify.{}", news.word()),
    }
}

/// `shop/public.orders`, `shop/lag`; `-` where there is none, since it must not be empty.
fn subject(message: &Message) -> String {
    let Some(subject) = &message.subject else {
        return message.news.word().to_owned();
    };
    let pipeline = subject.pipeline.as_deref().unwrap_or("-");
    let what = subject.what.table().unwrap_or(subject.what.kind());
    format!("{pipeline}/{what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use keylane_core::notify::samples;

    #[test]
    fn an_event_has_what_the_specification_asks_for() {
        let mut kinds = std::collections::BTreeSet::new();
        for message in samples("shop", false) {
            let entry = Entry {
                number: 1,
                id: "0a1b2c3d-1".to_owned(),
                message,
                attempts: 1,
                may_have_come: false,
            };
            let event = event(&entry, "/keylane/machine");
            for name in ["id", "source", "specversion", "type", "subject", "time"] {
                let text = event[name].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{name}: {event}");
            }
            kinds.insert(event["type"].as_str().unwrap_or_default().to_owned());
            if event["type"] == "dev.keylane.notify.table.diverged" {
                assert_eq!(event["subject"], "shop/public.orders");
                assert_eq!(event["time"], "2026-11-27T09:00:00.000000Z");
                assert_eq!(event["data"]["to"], "diverged");
                assert_eq!(event["data"]["comparison"]["missing"], 3);
            }
        }
        for kind in [
            "table.repaired",
            "lag.ok",
            "apply.stuck",
            "digest",
            "folded",
            "test",
        ] {
            let name = format!("dev.keylane.notify.{kind}");
            assert!(kinds.contains(&name), "{name}: {kinds:?}");
        }
    }
}
