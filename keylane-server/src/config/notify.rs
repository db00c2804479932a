//! `notify`: who is told of what.

use std::collections::BTreeMap;

use keylane_core::notify::{DailyAt, Rules};

use super::code::Code;
use super::keys::{Absent, Key, Takes};
use super::lists;
use super::notify_rules::{self, OwnRules};
use super::origin;
use super::pipeline::PipelineName;
use super::reader::{Block, Read};
use super::secret::Secret;
use super::source::Span;
use super::tree::{Entry, printable_key};

/// Rows of a table at most, for bounds.
const ROWS_MAX: u64 = 1_000_000_000_000;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "channels",
        takes: Takes::Each("CHANNEL", CHANNEL),
        absent: Absent::Means("nobody is told"),
        means: "Who is told, by name: a letter, then letters, digits, `_` and `-`, at most 40.",
    },
    Key {
        name: "digest",
        takes: Takes::Text("`HH:MM` in UTC, `HH:MM+HH:MM` with another offset, or `off`"),
        absent: Absent::Default("09:00"),
        means: "When each channel gets the day's digest: what is not well, and what was compared and repaired. It comes when all is well too.",
    },
    Key {
        name: "min_rows",
        takes: MIN_ROWS,
        absent: Absent::Default("1"),
        means: "Fewer rows of a table that differ are logged and stand in the digest, and nobody is told at once.",
    },
    Key {
        name: "min_ratio",
        takes: MIN_RATIO,
        absent: Absent::Default("0"),
        means: "A smaller share of a table's rows likewise.",
    },
    Key {
        name: "values",
        takes: Takes::Flag,
        absent: Absent::Default("false"),
        means: "Whether messages may hold values of rows that differ. Without it they hold some keys and no other value.",
    },
    Key {
        name: "rules",
        takes: Takes::Block(notify_rules::KEYS),
        absent: Absent::Means("its defaults"),
        means: "From where on figures of a pipeline are told.",
    },
];

/// What a pipeline may say otherwise.
pub(super) const PIPELINE_KEYS: &[Key] = &[
    Key {
        name: "channels",
        takes: Takes::Texts("names of `notify.channels`"),
        absent: Absent::Means("all of them"),
        means: "Who is told of this pipeline; `[]`: nobody.",
    },
    Key {
        name: "min_rows",
        takes: MIN_ROWS,
        absent: Absent::Means("as under `notify`"),
        means: "As under `notify`.",
    },
    Key {
        name: "min_ratio",
        takes: MIN_RATIO,
        absent: Absent::Means("as under `notify`"),
        means: "As under `notify`.",
    },
    Key {
        name: "values",
        takes: Takes::Flag,
        absent: Absent::Means("as under `notify`"),
        means: "As under `notify`.",
    },
    Key {
        name: "rules",
        takes: Takes::Block(notify_rules::KEYS),
        absent: Absent::Means("as under `notify`"),
        means: "A rule that stands here is this pipeline's own, all of it; one that does not is as under `notify`.",
    },
];

const MIN_ROWS: Takes = Takes::Count {
    min: 1,
    max: ROWS_MAX,
};
const MIN_RATIO: Takes = Takes::Text("a share from 0 to 1 such as `0.001`, or `0.1%`");

const CHANNEL: &[Key] = &[
    Key {
        name: "slack",
        takes: Takes::Block(SLACK),
        absent: Absent::Means("another kind stands here"),
        means: "A channel of Slack.",
    },
    Key {
        name: "webhook",
        takes: Takes::Block(WEBHOOK),
        absent: Absent::Means("another kind stands here"),
        means: "A webhook of your own: each message is posted as a CloudEvent in JSON.",
    },
];

const SLACK: &[Key] = &[Key {
    name: "url",
    takes: Takes::Secret("the URL of the channel's incoming webhook, which is a secret"),
    absent: Absent::Required,
    means: "As Slack shows it: `https://hooks.slack.com/services/…`.",
}];

const WEBHOOK: &[Key] = &[
    Key {
        name: "url",
        takes: Takes::Secret("a URL, which is treated as a secret"),
        absent: Absent::Required,
        means: "Where messages are posted.",
    },
    Key {
        name: "secret",
        takes: Takes::Secret("a text that the receiver knows too, at least 16 characters"),
        absent: Absent::Means("messages are not signed"),
        means: "Signs each message by HMAC-SHA256, in the header `Keylane-Signature`.",
    },
];

/// A signature's secret has at least so many characters.
const SECRET_CHARS_MIN: usize = 16;

/// Who is told of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The channels by name; none: nobody is told.
    pub channels: BTreeMap<String, NotifyChannel>,
    /// When the digest is made, if it is.
    pub digest: Option<DailyAt>,
    /// Rows that differ, from which on somebody is told at once.
    pub min_rows: u64,
    /// Their share of the table, in millionths.
    pub min_ratio_ppm: u32,
    /// Whether messages may hold values.
    pub values: bool,
    /// From where on figures are told.
    pub rules: Rules,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyChannel {
    /// A channel of Slack.
    Slack {
        /// Its incoming webhook.
        url: Secret,
    },
    /// Another webhook.
    Webhook {
        /// Its address.
        url: Secret,
        /// What messages are signed by.
        secret: Option<Secret>,
    },
}

/// What a pipeline says otherwise; `None`: as for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineNotify {
    /// The channels that are told of it.
    pub channels: Option<Vec<String>>,
    /// See [`Notify::min_rows`].
    pub min_rows: Option<u64>,
    /// See [`Notify::min_ratio_ppm`].
    pub min_ratio_ppm: Option<u32>,
    /// See [`Notify::values`].
    pub values: Option<bool>,
    /// Rules of its own.
    pub rules: OwnRules,
}

pub(super) fn read(block: &Block<'_>) -> Read<Notify> {
    let entries = block.each("channels");
    let channels = entries.and_then(|entries| {
        let read = entries.iter().map(|entry| channel(block, entry));
        lists::all(read).map(|channels| channels.into_iter().collect())
    });
    let digest = digest(block);
    let min_rows = block.count("min_rows");
    let min_ratio_ppm = ratio(block);
    let values = block.flag("values");
    let rules = block
        .block("rules")
        .and_then(|inner| notify_rules::all(&inner));
    Ok(Notify {
        channels: channels?,
        digest: digest?,
        min_rows: min_rows?,
        min_ratio_ppm: min_ratio_ppm?,
        values: values?,
        rules: rules?,
    })
}

/// A pipeline's block, with the place of each channel that it names.
pub(super) fn read_own(block: &Block<'_>) -> Read<(PipelineNotify, Vec<(String, Span)>)> {
    let channels = match block.is_written("channels") {
        true => block.texts("channels").map(Some),
        false => Ok(None),
    };
    let min_rows = written(block, "min_rows", |block| block.count("min_rows"));
    let min_ratio_ppm = written(block, "min_ratio", ratio);
    let values = written(block, "values", |block| block.flag("values"));
    let rules = block
        .block("rules")
        .and_then(|inner| notify_rules::own(&inner));
    let channels = channels?;
    let named = channels.iter().flatten();
    let spans = named.map(|text| (text.value.clone(), text.span)).collect();
    let names = |texts: Vec<super::reader::Text>| texts.into_iter().map(|text| text.value);
    let own = PipelineNotify {
        channels: channels.map(|texts| names(texts).collect()),
        min_rows: min_rows?,
        min_ratio_ppm: min_ratio_ppm?,
        values: values?,
        rules: rules?,
    };
    Ok((own, spans))
}

fn written<T>(
    block: &Block<'_>,
    name: &str,
    read: impl FnOnce(&Block<'_>) -> Read<T>,
) -> Read<Option<T>> {
    match block.is_written(name) {
        true => read(block).map(Some),
        false => Ok(None),
    }
}

fn channel(block: &Block<'_>, entry: &Entry) -> Read<(String, NotifyChannel)> {
    let shown = printable_key(&entry.key);
    let path = format!("{}.{shown}", block.path_of("channels"));
    // The same letters as for a pipeline: both are labels of metrics.
    let name = PipelineName::new(&entry.key).ok_or_else(|| {
        let message = format!("{path}: '{shown}' is not a name for a channel");
        let remedy = "begin with a letter; use letters, digits, '_' and '-', at most 40";
        block.report(Code::BadName, entry.key_span, message, remedy)
    });
    let inner = Block::open(
        block.reader,
        CHANNEL,
        path,
        Some(&entry.node),
        entry.key_span,
    )?;
    let read = match origin::one_of(&inner, "slack", "webhook")? {
        "slack" => NotifyChannel::Slack {
            url: url(&inner.block("slack")?)?,
        },
        _ => {
            let webhook = inner.block("webhook")?;
            let (url, secret) = (url(&webhook), secret(&webhook));
            NotifyChannel::Webhook {
                url: url?,
                secret: secret?,
            }
        }
    };
    Ok((name?.as_str().to_owned(), read))
}

/// A URL that can be posted to. It is never shown.
fn url(block: &Block<'_>) -> Read<Secret> {
    let Some((secret, span)) = block.secret_if_any("url")? else {
        return Err(block.missing("url"));
    };
    let parsed = url::Url::parse(secret.expose()).ok();
    let fits = parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if fits {
        return Ok(secret);
    }
    let path = block.path_of("url");
    let message = format!("{path}: the value is no URL that can be posted to");
    let remedy = "it begins with https:// (or http://) and names a host";
    Err(block.report(Code::BadValue, span, message, remedy))
}

fn secret(block: &Block<'_>) -> Read<Option<Secret>> {
    let Some((secret, span)) = block.secret_if_any("secret")? else {
        return Ok(None);
    };
    if secret.expose().chars().count() >= SECRET_CHARS_MIN {
        return Ok(Some(secret));
    }
    let message = format!("{}: the secret is too short", block.path_of("secret"));
    let remedy = "use at least 16 characters, for example from 'openssl rand -hex 24'";
    Err(block.report(Code::BadValue, span, message, remedy))
}

fn digest(block: &Block<'_>) -> Read<Option<DailyAt>> {
    let text = block.text("digest")?;
    if text.value == "off" {
        return Ok(None);
    }
    let at = DailyAt::read(&text.value);
    at.map(Some)
        .ok_or_else(|| block.bad(Code::BadValue, "digest", &text, "is no time of a day"))
}

/// In millionths.
fn ratio(block: &Block<'_>) -> Read<u32> {
    let text = block.text("min_ratio")?;
    let (digits, whole) = match text.value.strip_suffix('%') {
        Some(digits) => (digits, 100.0),
        None => (text.value.as_str(), 1.0),
    };
    let share: Option<f64> = digits.trim().parse().ok();
    let share = share.map(|share| share / whole);
    match share.filter(|share| (0.0..=1.0).contains(share)) {
        Some(share) => Ok((share * 1_000_000.0).round() as u32),
        None => Err(block.bad(Code::BadValue, "min_ratio", &text, "is no share")),
    }
}
