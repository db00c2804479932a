//! `pipelines`: each is one road from an origin to a replica, or into topics only.

use std::fmt;

use super::apply::{self, Apply};
use super::capture::{self, Capture};
use super::code::Code;
use super::from_topics::{self, FromTopics};
use super::keys::{Absent, Key, Takes};
use super::notify::{self, PipelineNotify};
use super::origin::{self, Origin};
use super::outbox::{self, Outbox};
use super::reader::{Block, Read, Reader};
use super::reconcile::{self, Reconcile};
use super::replica::{self, Replica};
use super::source::Span;
use super::tables::{self, TableName, TablePattern};
use super::topics::{self, Topics, TopicsRead};
use super::tree::{Entry, printable_key};

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "origin",
        takes: Takes::Block(origin::KEYS),
        absent: Absent::Means("an error, unless `from_topics` is there"),
        means: "The database whose rows are the truth.",
    },
    Key {
        name: "replica",
        takes: Takes::Block(replica::KEYS),
        absent: Absent::Means("an error, unless `outbox` is there: then nothing is applied"),
        means: "The database kept equal to the origin. Keylane's progress stands in it too.",
    },
    Key {
        name: "outbox",
        takes: Takes::Block(outbox::KEYS),
        absent: Absent::Means("no table of the origin holds events"),
        means: "Tables whose rows are events, published to the topics that the rows name.",
    },
    Key {
        name: "tables",
        takes: Takes::Texts("`SCHEMA.TABLE` (SQLite: `TABLE`), `*` for any characters of a part"),
        absent: Absent::Means("all tables of the origin; without a replica none"),
        means: "The tables to carry.",
    },
    Key {
        name: "exclude",
        takes: Takes::Texts("patterns, as in `tables`"),
        absent: Absent::Means("none"),
        means: "Tables not to carry although `tables` means them.",
    },
    Key {
        name: "topics",
        takes: Takes::Block(topics::KEYS),
        absent: Absent::Means("its defaults"),
        means: "What goes into which topic, and how.",
    },
    Key {
        name: "capture",
        takes: Takes::Block(capture::KEYS),
        absent: Absent::Means("its defaults"),
        means: "How changes are read from the origin and published.",
    },
    Key {
        name: "apply",
        takes: Takes::Block(apply::KEYS),
        absent: Absent::Means("its defaults"),
        means: "How changes are written to the replica.",
    },
    Key {
        name: "reconcile",
        takes: Takes::Block(reconcile::KEYS),
        absent: Absent::Means("nothing is compared by itself"),
        means: "When the two sides are compared by themselves, and what is mended then.",
    },
    Key {
        name: "notify",
        takes: Takes::Block(notify::PIPELINE_KEYS),
        absent: Absent::Means("as under `notify`"),
        means: "Who is told of this pipeline, where that differs from `notify`.",
    },
    Key {
        name: "from_topics",
        takes: Takes::Block(from_topics::KEYS),
        absent: Absent::Means("Keylane captures the origin itself"),
        means: "Topics that another tool writes, applied instead of captured ones; needs `log.kafka`. `origin` may be left out then.",
    },
];

/// The name of a pipeline: a letter, then letters, digits, `_` and `-`, at most 40. Slots, groups and metrics carry it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineName(String);

impl PipelineName {
    /// The name, or None if it has other characters or another length.
    pub fn new(name: &str) -> Option<PipelineName> {
        const BYTES_MAX: usize = 40;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let fits = begins_well && name.len() <= BYTES_MAX && name.chars().all(legal);
        fits.then(|| PipelineName(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PipelineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One road from an origin to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// The truth; None only if `from_topics` is there.
    pub origin: Option<Origin>,
    /// What is kept equal to it; None only if there is an outbox.
    pub replica: Option<Replica>,
    /// Tables whose rows are events.
    pub outbox: Option<Outbox>,
    /// Tables to carry; empty means all, or without a replica none.
    pub tables: Vec<TablePattern>,
    /// Tables not to carry.
    pub exclude: Vec<TablePattern>,
    /// What goes into which topic.
    pub topics: Topics,
    /// How changes are read and published.
    pub capture: Capture,
    /// How changes are applied.
    pub apply: Apply,
    /// When its two sides are compared by themselves.
    pub reconcile: Reconcile,
    /// Who is told of it, where that differs from the others.
    pub notify: PipelineNotify,
    /// Topics of another tool, instead of capture.
    pub from_topics: Option<FromTopics>,
}

impl Pipeline {
    /// Whether the pipeline carries this table of its origin, as rows and not as events.
    pub fn carries(&self, schema: Option<&str>, table: &str) -> bool {
        let means_any = self.replica.is_some() || !self.tables.is_empty();
        let holds = |outbox: &Outbox| outbox.holds(schema, table);
        if !means_any || self.outbox.as_ref().is_some_and(holds) {
            return false;
        }
        let name = TableName {
            schema: schema.map(str::to_owned),
            table: table.to_owned(),
        };
        carries(&self.tables, &self.exclude, &name)
    }
}

pub(super) fn carries(tables: &[TablePattern], exclude: &[TablePattern], name: &TableName) -> bool {
    let wanted = tables.is_empty() || tables.iter().any(|pattern| pattern.matches_name(name));
    wanted && !exclude.iter().any(|pattern| pattern.matches_name(name))
}

/// A pipeline with the places that checks across pipelines point at.
pub(super) struct PipelineRead {
    pub name: PipelineName,
    pub pipeline: Pipeline,
    pub slot_span: Span,
    pub prefix_span: Span,
    pub origin_span: Span,
    pub replica_span: Span,
    pub from_topics_span: Span,
    pub channel_spans: Vec<(String, Span)>,
}

/// The pipeline under `entry`. Its parts are all read before the first failure ends it.
pub(super) fn read(reader: &Reader<'_>, entry: &Entry) -> Read<PipelineRead> {
    let shown = printable_key(&entry.key);
    let name = PipelineName::new(&entry.key).ok_or_else(|| {
        reader.report(super::issue::Issue::new(
            Code::BadName,
            entry.key_span,
            format!("pipelines: '{shown}' is not a name for a pipeline"),
            "begin with a letter; use letters, digits, '_' and '-', at most 40",
        ))
    });
    let path = format!("pipelines.{shown}");
    let block = Block::open(reader, KEYS, path, Some(&entry.node), entry.key_span)?;
    let source = read_source(&block, &entry.key);
    let outbox = read_outbox(&block, &entry.key);
    let replica = read_replica(&block);
    let topics = block
        .block("topics")
        .and_then(|inner| topics::read(&inner, &entry.key));
    let capture = block
        .block("capture")
        .and_then(|inner| capture::read(&inner));
    let apply = block.block("apply").and_then(|inner| apply::read(&inner));
    let reconcile = block
        .block("reconcile")
        .and_then(|inner| reconcile::read(&inner));
    let notify = block
        .block("notify")
        .and_then(|inner| notify::read_own(&inner));
    let selection = read_selection(&block, topics.as_ref().ok());
    let (tables, exclude) = selection?;
    let (origin, from_topics) = source?;
    let (topics, (notify, channel_spans)) = (topics?, notify?);
    let slot_span = match block.entry("origin").and_then(|e| e.node.entry("postgres")) {
        Some(postgres) => postgres
            .node
            .entry("slot")
            .map_or(postgres.key_span, |slot| slot.node.span),
        None => block.span,
    };
    Ok(PipelineRead {
        name: name?,
        slot_span,
        prefix_span: topics.prefix_span,
        origin_span: sqlite_path_span(&block, "origin"),
        replica_span: sqlite_path_span(&block, "replica"),
        from_topics_span: block
            .entry("from_topics")
            .map_or(block.span, |e| e.key_span),
        channel_spans,
        pipeline: Pipeline {
            origin,
            replica: replica?,
            outbox: outbox?,
            tables,
            exclude,
            topics: topics.topics,
            capture: capture?,
            apply: apply?,
            reconcile: reconcile?,
            notify,
            from_topics,
        },
    })
}

/// The replica; only a pipeline of events does without.
fn read_replica(block: &Block<'_>) -> Read<Option<Replica>> {
    if block.is_written("replica") {
        return block
            .block("replica")
            .and_then(|inner| replica::read(&inner))
            .map(Some);
    }
    if !block.is_written("outbox") {
        return Err(block.missing("replica"));
    }
    for needs in ["apply", "reconcile"] {
        if let Some(entry) = block.entry(needs) {
            return Err(block.report(
                Code::Conflict,
                entry.key_span,
                format!("{}: there is no replica", block.path_of(needs)),
                "remove it, or name the replica",
            ));
        }
    }
    Ok(None)
}

fn read_outbox(block: &Block<'_>, pipeline: &str) -> Read<Option<Outbox>> {
    let Some(entry) = block.entry("outbox").filter(|_| block.is_written("outbox")) else {
        return Ok(None);
    };
    if block.is_written("from_topics") {
        return Err(block.report(
            Code::Conflict,
            entry.key_span,
            format!(
                "{}: nothing is captured where 'from_topics' is set",
                block.path_of("outbox")
            ),
            "give the outbox a pipeline of its own",
        ));
    }
    block
        .block("outbox")
        .and_then(|inner| outbox::read(&inner, pipeline))
        .map(Some)
}

type Origins = (Option<Origin>, Option<FromTopics>);

fn read_source(block: &Block<'_>, pipeline: &str) -> Read<Origins> {
    let from_topics = match block.is_written("from_topics") {
        true => block
            .block("from_topics")
            .and_then(|inner| from_topics::read(&inner))
            .map(Some),
        false => Ok(None),
    };
    if block.is_written("from_topics")
        && let Some(capture) = block.entry("capture")
    {
        return Err(block.report(
            Code::Conflict,
            capture.key_span,
            format!(
                "{}: nothing is captured where 'from_topics' is set",
                block.path_of("capture")
            ),
            "remove 'capture', or remove 'from_topics' if Keylane is to capture the origin itself",
        ));
    }
    if block.is_written("origin") {
        let origin = block
            .block("origin")
            .and_then(|inner| origin::read(&inner, pipeline));
        return Ok((Some(origin?), from_topics?));
    }
    match from_topics? {
        Some(from_topics) => Ok((None, Some(from_topics))),
        None => Err(block.missing("origin")),
    }
}

type Selection = (Vec<TablePattern>, Vec<TablePattern>);

fn read_selection(block: &Block<'_>, topics: Option<&TopicsRead>) -> Read<Selection> {
    let tables = tables::patterns(block, "tables");
    let exclude = tables::patterns(block, "exclude");
    let (tables, exclude) = (tables?, exclude?);
    let tables: Vec<TablePattern> = tables.into_iter().map(|(pattern, _)| pattern).collect();
    let exclude: Vec<TablePattern> = exclude.into_iter().map(|(pattern, _)| pattern).collect();
    let named = topics.map_or(&[][..], |topics| &topics.named_spans);
    for (key, table, span) in named {
        if !carries(&tables, &exclude, table) {
            return Err(block.report(
                Code::OrderKeyTable,
                *span,
                format!(
                    "{}.topics.{key}: this pipeline does not carry table '{table}'",
                    block.path
                ),
                "add the table to 'tables' (or take it out of 'exclude'), or remove it here",
            ));
        }
    }
    Ok((tables, exclude))
}

fn sqlite_path_span(block: &Block<'_>, name: &str) -> Span {
    let Some(entry) = block.entry(name) else {
        return block.span;
    };
    let path = entry
        .node
        .entry("sqlite")
        .and_then(|sqlite| sqlite.node.entry("path"));
    path.map_or(entry.key_span, |path| path.node.span)
}
