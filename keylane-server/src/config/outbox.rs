//! `outbox`: tables whose rows are events.

use std::time::Duration;

use keylane_core::outbox::TopicPattern;

use super::code::Code;
use super::keys::{Absent, DAY_MS, Key, SECOND_MS, Takes};
use super::lists;
use super::reader::{Block, Read};
use super::tables::{self, TableName};

/// The table that `keylane::Outbox` makes.
const USUAL: &str = "keylane_outbox";

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "topics",
        takes: Takes::Texts("names of topics; `*` at the end for any that begin so"),
        absent: Absent::Required,
        means: "The topics that a row may name. One that is named in full is made where it is missing, with `topics.partitions`; a row that names any other is parked.",
    },
    Key {
        name: "tables",
        takes: Takes::Texts("`SCHEMA.TABLE` (SQLite: `TABLE`)"),
        absent: Absent::Means("`public.keylane_outbox` (SQLite: `keylane_outbox`)"),
        means: "The tables whose rows are events.",
    },
    Key {
        name: "source",
        takes: Takes::Text("a text"),
        absent: Absent::Means("`/pipelines/` and the pipeline's name"),
        means: "Who tells the events (`ce_source`), where a row does not say.",
    },
    Key {
        name: "accept",
        takes: Takes::Block(ACCEPT),
        absent: Absent::Means("events come by SQL only"),
        means: "Events come by `POST /v1/events/TOPIC` too, each once by its `Idempotency-Key`. The origin is a SQLite file then, made where it is missing; `accept: {}` takes the defaults.",
    },
];

const ACCEPT: &[Key] = &[
    Key {
        name: "keys_kept",
        takes: Takes::Duration {
            min_ms: MINUTE_MS,
            max_ms: 365 * DAY_MS,
        },
        absent: Absent::Default("7d"),
        means: "How long an `Idempotency-Key` is kept: a repeat within this time gets the first answer.",
    },
    Key {
        name: "keys_max",
        takes: Takes::Count {
            min: 1,
            max: 1_000_000_000,
        },
        absent: Absent::Default("10000000"),
        means: "Keys that are kept at most; with so many, new ones are answered 503 until the oldest are forgotten.",
    },
];

const MINUTE_MS: u64 = 60 * SECOND_MS;

/// Tables whose rows are events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// The tables; none named: the usual one.
    tables: Vec<TableName>,
    /// The topics that rows may name; at least one.
    pub topics: Vec<TopicPattern>,
    /// Who tells the events, where a row does not say.
    pub source: String,
    /// Whether events come over HTTP too, and how long their keys are kept.
    pub accept: Option<Accept>,
}

/// Events that come over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    /// How long a key is kept.
    pub keys_kept: Duration,
    /// Keys that are kept at most.
    pub keys_max: u64,
}

impl Outbox {
    /// The tables, in an origin whose tables are in `schema` where nothing else is said.
    pub fn tables_in(&self, schema: &str) -> Vec<keylane_core::model::TableName> {
        let usual = TableName {
            schema: None,
            table: USUAL.to_owned(),
        };
        let named = match self.tables.is_empty() {
            true => std::slice::from_ref(&usual),
            false => &self.tables,
        };
        let full = |name: &TableName| {
            let schema = name.schema.as_deref().unwrap_or(schema);
            keylane_core::model::TableName::new(schema, name.table.as_str())
        };
        named.iter().map(full).collect()
    }

    /// Whether one of its tables has this name.
    pub(super) fn holds(&self, schema: Option<&str>, table: &str) -> bool {
        let mut named = self.tables.iter();
        named.any(|name| {
            let is_there = name.schema.as_deref().is_none_or(|own| schema == Some(own));
            is_there && name.table == table
        })
    }
}

fn read_accept(block: &Block<'_>) -> Read<Accept> {
    let accept = block.block("accept")?;
    let (keys_kept, keys_max) = (accept.duration("keys_kept"), accept.count("keys_max"));
    Ok(Accept {
        keys_kept: keys_kept?,
        keys_max: keys_max?,
    })
}

pub(super) fn read(block: &Block<'_>, pipeline: &str) -> Read<Outbox> {
    let topics = block.texts("topics").and_then(|texts| {
        if texts.is_empty() {
            return Err(block.missing("topics"));
        }
        let pattern = |text: super::reader::Text| {
            let parsed = TopicPattern::parse(&text.value);
            parsed.map_err(|fault| block.bad(Code::BadName, "topics", &text, fault))
        };
        lists::all(texts.into_iter().map(pattern))
    });
    let tables = block.texts("tables").and_then(|texts| {
        let exact = |text: super::reader::Text| {
            let exact = tables::exact(&text.value);
            exact.map_err(|fault| block.bad(Code::BadName, "tables", &text, fault))
        };
        lists::all(texts.into_iter().map(exact))
    });
    let source = block.text_if_any("source").and_then(|text| match text {
        Some(text) if text.value.is_empty() || text.value.chars().any(char::is_control) => {
            Err(block.bad(
                Code::BadValue,
                "source",
                &text,
                "is empty, or holds a control character",
            ))
        }
        Some(text) => Ok(text.value),
        None => Ok(format!("/pipelines/{pipeline}")),
    });
    // `accept:` with nothing under it asks for the defaults.
    let accept = block
        .entry("accept")
        .map(|_| read_accept(block))
        .transpose();
    Ok(Outbox {
        accept: accept?,
        tables: tables?,
        topics: topics?,
        source: source?,
    })
}
