//! Who wrote a record: what the envelope's `source` says of every change of one pipeline.

use super::text::push_json_string;

/// The kind of origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connector {
    /// PostgreSQL by logical replication.
    Postgres,
    /// SQLite by triggers.
    Sqlite,
}

impl Connector {
    /// `source.connector`.
    pub fn name(self) -> &'static str {
        match self {
            Connector::Postgres => "keylane-postgresql",
            Connector::Sqlite => "keylane-sqlite",
        }
    }
}

/// What every record of a pipeline says of its source; rendered once.
#[derive(Clone, Debug)]
pub struct SourceInfo {
    /// `"source":{` up to and including `"db":"…"`, which do not change from record to record.
    pub(super) prefix: Vec<u8>,
}

impl SourceInfo {
    /// `prefix` is the pipeline's topic prefix (`source.name`), `database` the origin database's name or file.
    pub fn new(connector: Connector, prefix: &str, database: &str) -> Self {
        let mut text = Vec::with_capacity(128);
        text.extend_from_slice(b"\"source\":{\"version\":");
        push_json_string(&mut text, env!("CARGO_PKG_VERSION"));
        text.extend_from_slice(b",\"connector\":");
        push_json_string(&mut text, connector.name());
        text.extend_from_slice(b",\"name\":");
        push_json_string(&mut text, prefix);
        text.extend_from_slice(b",\"db\":");
        push_json_string(&mut text, database);
        SourceInfo { prefix: text }
    }
}
