//! `keylane notify preview`: every kind of message, made up.

use std::path::Path;

use clap::Args;
use keylane_core::notify::{Entry, Message, samples, words};
use serde_json::{Value, json};

use crate::cli::{Format, load, print};
use crate::exit_code::{Exit, Failure};
use crate::wire_up::rendered;

/// A pipeline's name where there is no configuration.
const PIPELINE: &str = "shop";

/// The arguments of `keylane notify preview`.
#[derive(Debug, Args)]
pub(super) struct PreviewArguments {
    /// As text for a look, or as JSON: what is posted to Slack and to a webhook.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(config: &Path, arguments: &PreviewArguments) -> Result<Exit, Failure> {
    let (mut pipeline, mut values) = (PIPELINE.to_owned(), false);
    if config.exists() {
        let config = load(config)?;
        let first = config.pipelines.keys().next();
        pipeline = first.map_or(pipeline, ToString::to_string);
        values = config.notify.values;
    }
    let samples = samples(&pipeline, values);
    match arguments.format {
        Format::Json => {
            let messages = samples.into_iter().zip(1..);
            let messages: Vec<Value> = messages
                .map(|(message, number)| json_of(message, number))
                .collect();
            print(format!("{:#}\n", json!({"messages": messages})).as_bytes());
        }
        Format::Text => {
            let texts = samples.iter();
            let texts: Vec<String> = texts
                .map(|message| words(message).plain(message.severity))
                .collect();
            print(texts.join("\n").as_bytes());
        }
    }
    Ok(Exit::Ok)
}

fn json_of(message: Message, number: i64) -> Value {
    let (news, to) = (message.news.word(), message.news.state());
    let (severity, title) = (message.severity.word(), words(&message).title);
    let subject = message.subject.as_ref();
    let subject = subject.map(|subject| subject.what.kind());
    let entry = Entry {
        number,
        id: format!("preview-{number}"),
        message,
        attempts: 1,
        may_have_come: false,
    };
    let (slack, webhook) = rendered(&entry);
    json!({
        "news": news, "subject": subject, "to": to.map(|state| state.word()),
        "severity": severity, "title": title, "slack": slack, "webhook": webhook,
    })
}
