//! `topics`: what goes into which topic, and how.

use std::collections::BTreeMap;

use super::code::Code;
use super::keys::{Absent, Key, Takes};
use super::lists;
use super::reader::{Block, Read};
use super::sharing;
use super::source::Span;
use super::tables::{self, TableName};
use super::tree::printable;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "prefix",
        takes: Takes::Text("letters, digits, `.`, `_` and `-`, at most 100"),
        absent: Absent::Means("the pipeline's name"),
        means: "Topics are called PREFIX.SCHEMA.TABLE, as Debezium calls them.",
    },
    Key {
        name: "partitions",
        takes: Takes::Count {
            min: 1,
            max: 10_000,
        },
        absent: Absent::Default("8"),
        means: "Partitions of a topic that Keylane creates. It bounds how many processes can share the work, not how many threads. Changing it later moves keys, which is refused.",
    },
    Key {
        name: "replication_factor",
        takes: Takes::Count { min: 1, max: 100 },
        absent: Absent::Default("1"),
        means: "Copies of each partition in Kafka; 3 where brokers may fail. Of three or more, two must hold a change before it counts as published (`min.insync.replicas`, unless `properties` says otherwise). No effect on the embedded log.",
    },
    Key {
        name: "tombstones",
        takes: Takes::Flag,
        absent: Absent::Default("false"),
        means: "Whether a delete is followed by a record without a value, which compacted topics need to forget a key.",
    },
    Key {
        name: "properties",
        takes: Takes::Named("Kafka topic settings with their values"),
        absent: Absent::Means("the broker's defaults"),
        means: "Settings of topics that Keylane creates, such as `retention.ms`.",
    },
    Key {
        name: "order_keys",
        takes: Takes::Named("tables with lists of their columns"),
        absent: Absent::Means("each table is ordered by its primary key"),
        means: "Columns whose equal values keep their order, where that is not the primary key: `public.order_items: [order_id]` keeps an order's items together.",
    },
    Key {
        name: "topic_of",
        takes: Takes::Named("tables, each with the table whose topic it shares"),
        absent: Absent::Means("each table has its own topic"),
        means: "Tables whose changes go into another table's topic: `public.order_items: public.orders`. With an `order_keys` entry for the first (`[order_id]`), an item goes where its order goes. Changing it later moves keys, which is refused.",
    },
    Key {
        name: "partitions_of",
        takes: Takes::Named("tables with a whole number from 1 to 10000"),
        absent: Absent::Means("every topic has `partitions`"),
        means: "Partitions of a table's topic, where they are not `partitions`: `public.orders: 24`. Changing it later moves keys, which is refused.",
    },
    Key {
        name: "envelope",
        takes: Takes::Word(&["debezium"]),
        absent: Absent::Default("debezium"),
        means: "The form of a record's value: `debezium` is its JSON envelope (`before`, `after`, `op`, `source`, `ts_ms`).",
    },
];

/// The form of a record's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Debezium's JSON envelope.
    Debezium,
}

/// How changes become records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// The first part of every topic's name; legal in Kafka, at most 100 bytes.
    pub prefix: String,
    /// Partitions of a created topic, 1 to 10,000.
    pub partitions: u32,
    /// Copies of each partition, 1 to 100.
    pub replication_factor: u16,
    /// Whether a delete is followed by a record without value.
    pub tombstones: bool,
    /// Settings of created topics.
    pub properties: BTreeMap<String, String>,
    /// Order keys other than the primary key: at least one column each.
    pub order_keys: BTreeMap<TableName, Vec<String>>,
    /// Tables whose changes go into another table's topic, which is none of these.
    pub topic_of: BTreeMap<TableName, TableName>,
    /// Partitions of a table's own topic, where they are not `partitions`.
    pub partitions_of: BTreeMap<TableName, u32>,
    /// The form of values.
    pub envelope: Envelope,
}

impl Topics {
    /// The declared order key of a table of the origin; None: its primary key. A table declared without a schema is
    /// meant in any.
    pub fn order_key_of(&self, schema: Option<&str>, table: &str) -> Option<&[String]> {
        let means = |name: &TableName| {
            name.table == table && (name.schema.is_none() || name.schema.as_deref() == schema)
        };
        let declared = self.order_keys.iter().find(|(name, _)| means(name));
        declared.map(|(_, columns)| columns.as_slice())
    }
}

/// What was read, with the places that later checks point at.
pub(super) struct TopicsRead {
    pub topics: Topics,
    pub prefix_span: Span,
    /// Every table that is named, by which key of the block.
    pub named_spans: Vec<(&'static str, TableName, Span)>,
}

pub(super) fn read(block: &Block<'_>, pipeline: &str) -> Read<TopicsRead> {
    let prefix = prefix(block, pipeline);
    let partitions = block.count("partitions");
    let replication_factor = block.count("replication_factor");
    let tombstones = block.flag("tombstones");
    let properties = block.named("properties", false);
    let order_keys = order_keys(block);
    let topic_of = sharing::topic_of(block);
    let partitions_of = sharing::partitions_of(block);
    let envelope = block.choice("envelope", &[Envelope::Debezium]);
    let (order_keys, topic_of, partitions_of) = (order_keys?, topic_of?, partitions_of?);
    sharing::fit(block, &topic_of, &partitions_of)?;
    let mut named_spans: Vec<(&'static str, TableName, Span)> = Vec::new();
    let ordered = order_keys.iter().map(|key| (&key.table, key.span));
    named_spans.extend(ordered.map(|(table, span)| ("order_keys", table.clone(), span)));
    for (guest, host, span) in &topic_of {
        named_spans.extend([guest, host].map(|table| ("topic_of", table.clone(), *span)));
    }
    let counted = partitions_of.iter();
    named_spans.extend(counted.map(|(table, _, span)| ("partitions_of", table.clone(), *span)));
    Ok(TopicsRead {
        prefix_span: block.span_of("prefix"),
        named_spans,
        topics: Topics {
            prefix: prefix?,
            partitions: partitions?,
            replication_factor: replication_factor?,
            tombstones: tombstones?,
            properties: properties?
                .into_iter()
                .map(|named| (named.name, named.text.value))
                .collect(),
            order_keys: order_keys
                .into_iter()
                .map(|key| (key.table, key.columns))
                .collect(),
            topic_of: topic_of
                .into_iter()
                .map(|(guest, host, _)| (guest, host))
                .collect(),
            partitions_of: partitions_of
                .into_iter()
                .map(|(table, partitions, _)| (table, partitions))
                .collect(),
            envelope: envelope?,
        },
    })
}

fn prefix(block: &Block<'_>, pipeline: &str) -> Read<String> {
    const BYTES_MAX: usize = 100;
    let Some(text) = block.text_if_any("prefix")? else {
        return Ok(pipeline.to_owned());
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.value.is_empty() || text.value.len() > BYTES_MAX || !text.value.chars().all(legal) {
        let fault = "is not legal in the name of a Kafka topic";
        return Err(block.bad(Code::BadName, "prefix", &text, fault));
    }
    if text.value.starts_with('.') || text.value.ends_with('.') {
        return Err(block.bad(Code::BadName, "prefix", &text, "begins or ends with a '.'"));
    }
    Ok(text.value)
}

struct OrderKey {
    table: TableName,
    columns: Vec<String>,
    span: Span,
}

fn order_keys(block: &Block<'_>) -> Read<Vec<OrderKey>> {
    lists::all(block.each("order_keys")?.iter().map(|entry| {
        let table = tables::exact(&entry.key).map_err(|fault| {
            block.report(
                Code::BadName,
                entry.key_span,
                format!(
                    "{}: '{}' {fault}",
                    block.path_of("order_keys"),
                    printable(&entry.key)
                ),
                "write SCHEMA.TABLE: [COLUMN, …]",
            )
        });
        let inner = format!("order_keys.{}", printable(&entry.key));
        let texts = block.texts_of(&inner, &entry.node)?;
        let mut columns: Vec<String> = Vec::with_capacity(texts.len());
        for text in texts {
            if text.value.is_empty() || columns.contains(&text.value) {
                return Err(block.report(
                    Code::BadValue,
                    text.span,
                    format!(
                        "{}: {} is empty or stands twice",
                        block.path_of(&inner),
                        text.shown
                    ),
                    "name each column of the order key once",
                ));
            }
            columns.push(text.value);
        }
        if columns.is_empty() {
            return Err(block.report(
                Code::BadValue,
                entry.node.span,
                format!("{}: an order key needs a column", block.path_of(&inner)),
                "name its columns, or remove the line: the primary key is the default",
            ));
        }
        Ok(OrderKey {
            table: table?,
            columns,
            span: entry.key_span,
        })
    }))
}
