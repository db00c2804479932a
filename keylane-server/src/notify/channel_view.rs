//! How the channels do, as people, scripts and metrics see it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use keylane_core::notify::ChannelFigures;
use serde::Serialize;

use crate::config::{Config, NotifyChannel};
use crate::status::rfc3339;
use crate::wire_up;

/// A channel. Counts are messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelView {
    /// Its name.
    pub channel: String,
    /// `slack` or `webhook`; `null` if the configuration no longer has it.
    pub kind: Option<&'static str>,
    /// Waiting to be sent.
    pub waiting: u64,
    /// When the oldest of them was made, RFC 3339.
    pub oldest: Option<String>,
    /// Refused and kept.
    pub refused: u64,
    /// Taken, since the outbox was made.
    pub taken: u64,
    /// Folded into others, or dropped after they were refused.
    pub folded: u64,
    /// What is in the way now, with its code; empty if nothing is.
    pub why: String,
}

/// The channels of a configuration, and those that the outbox still holds something for. Makes no outbox.
pub async fn channel_views(config: &Config) -> Vec<ChannelView> {
    let known = async {
        match wire_up::outbox_if_there(config).await? {
            Some(outbox) => outbox.figures().await,
            None => Ok(Vec::new()),
        }
    };
    let (known, trouble) = match known.await {
        Ok(known) => (known, String::new()),
        Err(error) => (Vec::new(), error.to_string()),
    };
    merged(config, known, &trouble)
}

fn merged(config: &Config, known: Vec<ChannelFigures>, trouble: &str) -> Vec<ChannelView> {
    let mut all: BTreeMap<String, ChannelFigures> = BTreeMap::new();
    for name in config.notify.channels.keys() {
        let figures = ChannelFigures {
            channel: name.clone(),
            why: trouble.to_owned(),
            ..ChannelFigures::default()
        };
        all.insert(name.clone(), figures);
    }
    for figures in known {
        let is_left_over = figures.waiting > 0 || figures.refused > 0;
        if is_left_over || all.contains_key(&figures.channel) {
            all.insert(figures.channel.clone(), figures);
        }
    }
    let kind = |name: &str| match config.notify.channels.get(name)? {
        NotifyChannel::Slack { .. } => Some("slack"),
        NotifyChannel::Webhook { .. } => Some("webhook"),
    };
    all.into_values()
        .map(|figures| ChannelView {
            kind: kind(&figures.channel),
            channel: figures.channel,
            waiting: figures.waiting,
            oldest: figures.oldest_us.map(rfc3339),
            refused: figures.refused,
            taken: figures.taken,
            folded: figures.folded,
            why: figures.why,
        })
        .collect()
}

/// A line for each channel that has something to say; empty if all is told.
pub fn table(channels: &[ChannelView]) -> String {
    let mut text = String::new();
    for view in channels {
        if view.waiting == 0 && view.refused == 0 && view.why.is_empty() {
            continue;
        }
        let why = match view.why.as_str() {
            "" => String::new(),
            why => format!(": {why}"),
        };
        let _ = writeln!(
            text,
            "notify {}: {} waiting, {} refused{why}",
            view.channel, view.waiting, view.refused
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_channel_that_was_taken_out_is_told_of_for_as_long_as_messages_wait_for_it() {
        let text = "version: 1
notify: { channels: { ops: { slack: { url: https://hooks.slack.com/T0 } } } }
pipelines: { shop: { origin: { sqlite: { path: a.db } }, replica: { sqlite: { path: b.db } } } }
";
        let config = Config::parse(text, Path::new("keylane.yaml"), &|_| None);
        let config = config.expect("it is right");
        let figures = |channel: &str, waiting| ChannelFigures {
            channel: channel.to_owned(),
            waiting,
            ..ChannelFigures::default()
        };
        let known = vec![figures("former", 2), figures("gone", 0)];
        let views = merged(&config, known, "");
        let names: Vec<&str> = views.iter().map(|view| &*view.channel).collect();
        assert_eq!(names, ["former", "ops"]);
        assert_eq!((views[0].kind, views[1].kind), (None, Some("slack")));
        assert_eq!(table(&views), "notify former: 2 waiting, 0 refused\n");
        let views = merged(&config, Vec::new(), "KL-NOTIFY-003: gone");
        assert_eq!(
            table(&views),
            "notify ops: 0 waiting, 0 refused: KL-NOTIFY-003: gone\n"
        );
    }
}
