//! `keylane notify test`: one message, one attempt, what was answered.

use clap::Args;
use keylane::workers::stats::now_us;
use keylane_core::notify::{Answer, Entry, Message};
use serde_json::json;

use crate::cli::{Format, block_on, print};
use crate::config::{Config, NotifyChannel};
use crate::exit_code::{Exit, Failure};
use crate::wire_up::channels;

/// The arguments of `keylane notify test`.
#[derive(Debug, Args)]
pub(super) struct TestArguments {
    /// The channel, as the configuration names it.
    #[arg(value_name = "CHANNEL")]
    channel: String,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Exit code 0: taken; 1: refused, or not taken now; 4: nobody was reached, or nothing was answered.
pub(super) fn run(config: &Config, arguments: &TestArguments) -> Result<Exit, Failure> {
    let name = &*arguments.channel;
    known(config, name)?;
    let channels = channels(config)?;
    let channel = channels
        .get(name)
        .expect("every channel of the configuration is made");
    let at_us = now_us();
    let entry = Entry {
        number: 0,
        id: format!("test-{at_us}"),
        message: Message::test(at_us),
        attempts: 1,
        may_have_come: false,
    };
    let answer = block_on(async { Ok(channel.send(&entry).await) })?;
    match arguments.format {
        Format::Json => {
            let told = json!({
                "channel": name, "kind": kind(config, name), "message": entry.id,
                "answer": answer.word(), "code": answer.code(), "why": answer.why(),
            });
            print(format!("{told:#}\n").as_bytes());
        }
        Format::Text => tell(name, &answer),
    }
    Ok(match answer {
        Answer::Taken => Exit::Ok,
        Answer::Later { .. } | Answer::Refused { .. } => Exit::Error,
        Answer::Away { .. } | Answer::Unknown { .. } => Exit::Unreachable,
    })
}

/// Whether the configuration has such a channel.
pub(super) fn known(config: &Config, name: &str) -> Result<(), Failure> {
    if config.notify.channels.contains_key(name) {
        return Ok(());
    }
    let known: Vec<&str> = config.notify.channels.keys().map(String::as_str).collect();
    let has = match known.is_empty() {
        true => "the configuration has none (notify.channels)".to_owned(),
        false => format!("the configuration has {}", known.join(", ")),
    };
    let message = format!("there is no channel {name}; {has}");
    Err(Failure::new(Exit::Usage, message))
}

fn kind(config: &Config, name: &str) -> Option<&'static str> {
    match config.notify.channels.get(name)? {
        NotifyChannel::Slack { .. } => Some("slack"),
        NotifyChannel::Webhook { .. } => Some("webhook"),
    }
}

fn tell(name: &str, answer: &Answer) {
    let came = match answer {
        Answer::Taken => return print(format!("{name}: taken\n").as_bytes()),
        Answer::Refused { .. } => "refused",
        Answer::Later { .. } => "not now",
        Answer::Away { .. } => "not reached",
        Answer::Unknown { .. } => "no answer, the message may have come",
    };
    let (code, why) = (answer.code().unwrap_or_default(), answer.why());
    print(format!("{name}: {came}: {code}: {why}\n").as_bytes());
}
