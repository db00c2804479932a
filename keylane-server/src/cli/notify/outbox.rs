//! `keylane notify outbox`, `retry`, `discard`: what was not told yet, and what is done about what was refused.

use clap::Args;
use keylane_core::notify::{Kept, OutboxError, words};
use serde_json::{Value, json};

use super::test::known;
use crate::cli::{Format, block_on, print};
use crate::config::Config;
use crate::exit_code::{Exit, Failure};
use crate::status::rfc3339;
use crate::wire_up::outbox_if_there;

/// The arguments of `keylane notify outbox`.
#[derive(Debug, Args)]
pub(super) struct OutboxArguments {
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The arguments of `keylane notify retry` and `discard`.
#[derive(Debug, Args)]
pub(super) struct ResolveArguments {
    /// This channel only.
    #[arg(value_name = "CHANNEL")]
    channel: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn list(config: &Config, arguments: &OutboxArguments) -> Result<Exit, Failure> {
    let kept = block_on(async {
        match outbox_if_there(config).await.map_err(failure)? {
            Some(outbox) => outbox.kept().await.map_err(failure),
            None => Ok(Vec::new()),
        }
    })?;
    match arguments.format {
        Format::Json => {
            let messages: Vec<Value> = kept.iter().map(json_of).collect();
            print(format!("{:#}\n", json!({"messages": messages})).as_bytes());
        }
        Format::Text if kept.is_empty() => eprintln!("nothing waits, nothing was refused"),
        Format::Text => {
            let lines: String = kept.iter().map(line).collect();
            print(lines.as_bytes());
        }
    }
    Ok(Exit::Ok)
}

pub(super) fn resolve(
    config: &Config,
    arguments: &ResolveArguments,
    discard: bool,
) -> Result<Exit, Failure> {
    let channel = arguments.channel.as_deref();
    // What waits for a channel that was taken out can be dropped, but nobody would send it.
    if let Some(name) = channel.filter(|_| !discard) {
        known(config, name)?;
    }
    let resolved = block_on(async {
        match outbox_if_there(config).await.map_err(failure)? {
            Some(outbox) => outbox
                .resolve_refused(channel, discard)
                .await
                .map_err(failure),
            None => Ok(0),
        }
    })?;
    let what = match discard {
        true => "discarded",
        false => "retried",
    };
    match arguments.format {
        Format::Json => print(format!("{:#}\n", json!({what: resolved})).as_bytes()),
        Format::Text if discard => eprintln!("{resolved} refused messages were dropped"),
        Format::Text => {
            eprintln!("{resolved} refused messages wait to be sent again: `keylane run` sends them")
        }
    }
    Ok(Exit::Ok)
}

fn failure(error: OutboxError) -> Failure {
    Failure::new(Exit::Error, error.to_string())
}

fn state(kept: &Kept) -> &'static str {
    match kept.is_refused {
        true => "refused",
        false => "waiting",
    }
}

fn json_of(kept: &Kept) -> Value {
    let entry = &kept.entry;
    json!({
        "message": entry.id, "channel": kept.channel, "state": state(kept), "made": rfc3339(entry.message.at_us),
        "title": words(&entry.message).title, "severity": entry.message.severity.word(),
        "attempts": entry.attempts, "may_have_come": entry.may_have_come, "why": kept.why,
    })
}

fn line(kept: &Kept) -> String {
    let entry = &kept.entry;
    let why = match kept.why.as_str() {
        "" => String::new(),
        why => format!("\n    {why}"),
    };
    format!(
        "{} {} {} {}, {} attempts: {}{why}\n",
        rfc3339(entry.message.at_us),
        kept.channel,
        entry.id,
        state(kept),
        entry.attempts,
        words(&entry.message).title
    )
}
