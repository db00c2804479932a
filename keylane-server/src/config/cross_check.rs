//! Checks across blocks and pipelines: what each accepts alone, but not together.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use keylane::workers::apply::Consistency;

use super::code::Code;
use super::http::Http;
use super::issue::Issue;
use super::log::{Log, LogRead};
use super::notify::Notify;
use super::origin::Origin;
use super::outbox::Outbox;
use super::pipeline::PipelineRead;
use super::reader::Reader;
use super::replica::Replica;
use super::source::Span;
use super::tree::printable;

/// Reports every conflict among the parts that could be read.
pub(super) fn check(reader: &Reader<'_>, log: Option<&LogRead>, pipelines: &[PipelineRead]) {
    let mut slots = Taken::new(
        reader,
        "replication slot",
        "give each pipeline a slot of its own",
    );
    let mut prefixes = Taken::new(
        reader,
        "topic prefix",
        "give each pipeline a prefix of its own",
    );
    for read in pipelines {
        let name = read.name.as_str();
        if let Some(Origin::Postgres(origin)) = &read.pipeline.origin
            && read.pipeline.from_topics.is_none()
        {
            let server = format!(
                "{}:{}/{}",
                origin.url.host(),
                origin.url.port(),
                origin.slot
            );
            slots.take(server, &origin.slot, name, read.slot_span);
        }
        if read.pipeline.from_topics.is_none() {
            let prefix = &read.pipeline.topics.prefix;
            prefixes.take(prefix.clone(), prefix, name, read.prefix_span);
        }
        check_one_database(reader, read);
        check_log(reader, log, read);
        check_consistency(reader, read);
        check_whole_origin(reader, read);
        check_accept(reader, read);
    }
}

/// Reports every channel that a pipeline names and nobody declares.
pub(super) fn check_channels(reader: &Reader<'_>, notify: &Notify, pipelines: &[PipelineRead]) {
    let known: Vec<&str> = notify.channels.keys().map(String::as_str).collect();
    for read in pipelines {
        for (name, span) in &read.channel_spans {
            if known.contains(&name.as_str()) {
                continue;
            }
            let shown = printable(name);
            let message = format!(
                "pipelines.{}.notify.channels: there is no channel '{shown}'",
                read.name
            );
            let remedy = match known.is_empty() {
                true => "declare it under 'notify.channels'".to_owned(),
                false => format!("the channels are {}", known.join(", ")),
            };
            let issue = Issue::new(Code::BadName, *span, message, remedy);
            reader.report(issue.suggest(name, known.iter().copied()));
        }
    }
}

fn check_consistency(reader: &Reader<'_>, read: &PipelineRead) {
    let in_transactions = read.pipeline.apply.consistency == Consistency::Transaction;
    if in_transactions && read.pipeline.from_topics.is_some() {
        reader.report(Issue::new(
            Code::Conflict,
            read.from_topics_span,
            format!(
                "pipelines.{}: 'apply.consistency: transaction' does not go with 'from_topics'",
                read.name
            ),
            "take consistency: key, or let Keylane capture: another tool's records do not tell when a transaction is whole",
        ));
    }
}

/// Events that come over HTTP come to an address.
pub(super) fn check_listens(reader: &Reader<'_>, http: &Http, pipelines: &[PipelineRead]) {
    let accepts = |read: &&PipelineRead| {
        let outbox = read.pipeline.outbox.as_ref();
        outbox.is_some_and(|outbox| outbox.accept.is_some())
    };
    if http.listen.is_some() {
        return;
    }
    for read in pipelines.iter().filter(accepts) {
        reader.report(Issue::new(
            Code::Conflict,
            read.origin_span,
            format!(
                "pipelines.{}: 'outbox.accept' takes events over HTTP, and http.listen is off",
                read.name
            ),
            "give http.listen an address, or remove 'accept'",
        ));
    }
}

/// Events that come over HTTP are kept in a file of Keylane's own making.
fn check_accept(reader: &Reader<'_>, read: &PipelineRead) {
    let accepts = |outbox: &Outbox| outbox.accept.is_some();
    let in_postgres = matches!(read.pipeline.origin, Some(Origin::Postgres(_)));
    if in_postgres && read.pipeline.outbox.as_ref().is_some_and(accepts) {
        reader.report(Issue::new(
            Code::Conflict,
            read.origin_span,
            format!(
                "pipelines.{}: 'outbox.accept' does not go with a PostgreSQL origin",
                read.name
            ),
            "give these events a pipeline of their own whose origin is a SQLite file: origin: { sqlite: { path: .keylane/events.db } }",
        ));
    }
}

/// A SQLite file does not tell which of its changes were one transaction.
fn check_whole_origin(reader: &Reader<'_>, read: &PipelineRead) {
    let in_transactions = read.pipeline.apply.consistency == Consistency::Transaction;
    if in_transactions && matches!(read.pipeline.origin, Some(Origin::Sqlite { .. })) {
        reader.report(Issue::new(
            Code::Conflict,
            read.origin_span,
            format!(
                "pipelines.{}: 'apply.consistency: transaction' does not go with a SQLite origin",
                read.name
            ),
            "take consistency: key: what SQLite's triggers tell does not say which changes were one transaction",
        ));
    }
}

/// Names that only one pipeline may hold.
struct Taken<'r> {
    reader: &'r Reader<'r>,
    what: &'static str,
    remedy: &'static str,
    holders: HashMap<String, String>,
}

impl<'r> Taken<'r> {
    fn new(reader: &'r Reader<'r>, what: &'static str, remedy: &'static str) -> Taken<'r> {
        Taken {
            reader,
            what,
            remedy,
            holders: HashMap::new(),
        }
    }

    fn take(&mut self, key: String, shown: &str, pipeline: &str, span: Span) {
        if let Some(holder) = self.holders.get(&key) {
            let what = self.what;
            let message = format!(
                "pipelines.{pipeline}: {what} '{shown}' is already that of pipeline '{holder}'"
            );
            self.reader
                .report(Issue::new(Code::Conflict, span, message, self.remedy));
            return;
        }
        self.holders.insert(key, pipeline.to_owned());
    }
}

fn check_one_database(reader: &Reader<'_>, read: &PipelineRead) {
    let same = match (&read.pipeline.origin, &read.pipeline.replica) {
        (Some(Origin::Sqlite { path: origin }), Some(Replica::Sqlite { path: replica })) => {
            plain(origin) == plain(replica)
        }
        (Some(Origin::Postgres(origin)), Some(Replica::Postgres { url })) => {
            let place =
                |url: &super::url::PostgresUrl| (url.host(), url.port(), url.database().to_owned());
            place(&origin.url) == place(url)
        }
        _ => false,
    };
    if same {
        reader.report(Issue::new(
            Code::Conflict,
            read.replica_span,
            format!("pipelines.{}: origin and replica are the same database", read.name),
            "name another database as the replica: changes applied to the origin would be captured again, for ever",
        ));
    }
}

fn check_log(reader: &Reader<'_>, log: Option<&LogRead>, read: &PipelineRead) {
    let Some(LogRead { log, span }) = log else {
        return;
    };
    let Log::Embedded(embedded) = log else {
        return;
    };
    if read.pipeline.from_topics.is_some() {
        reader.report(Issue::new(
            Code::Conflict,
            read.from_topics_span,
            format!(
                "pipelines.{}.from_topics needs Kafka, and the log is the embedded one",
                read.name
            ),
            "set log.kafka.bootstrap to the brokers that hold these topics",
        ));
    }
    let origin = match &read.pipeline.origin {
        Some(Origin::Sqlite { path }) => Some(path),
        Some(Origin::Postgres(_)) | None => None,
    };
    let replica = match &read.pipeline.replica {
        Some(Replica::Sqlite { path }) => Some(path),
        Some(Replica::Postgres { .. }) | None => None,
    };
    let log_path = plain(&embedded.path);
    for (path, path_span) in [(origin, read.origin_span), (replica, read.replica_span)] {
        if path.is_some_and(|path| plain(path) == log_path) {
            // The log's own path may be a default; then only the database's place can be shown.
            let at = if span.start.line > 1 {
                *span
            } else {
                path_span
            };
            reader.report(Issue::new(
                Code::Conflict,
                at.max(path_span),
                format!(
                    "pipelines.{}: a database and the embedded log are the same file",
                    read.name
                ),
                "give log.embedded.path a file of its own",
            ));
        }
    }
}

/// The path without `.` and `..`, as far as names alone can tell.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    plain.push("..");
                }
            }
            other => plain.push(other),
        }
    }
    plain
}
