//! What Debezium is to copy, and the three property files that say so.

use crate::error::Result;
use crate::postgres::Address;
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) type Properties = BTreeMap<String, String>;

/// The connectors' names in Connect's own interface.
pub(crate) const SOURCE: &str = "source";
pub(crate) const SINK: &str = "sink";

/// What a [`Debezium`](crate::Debezium) copies: tables of an origin into topics, topics into a replica, or both. As shipped, unless set otherwise.
#[derive(Clone, Debug)]
pub struct DebeziumOptions {
    pub(crate) bootstrap: String,
    pub(crate) origin: Option<Address>,
    replica: Option<Address>,
    prefix: String,
    tables: Vec<String>,
    partitions: u32,
    tasks: u32,
    pub(crate) heap_mb: u32,
    worker: Properties,
    source: Properties,
    sink: Properties,
}

impl DebeziumOptions {
    /// Copies `tables` (`schema.table`) by way of `bootstrap`; topics are called `PREFIX.SCHEMA.TABLE`. Say from where and where to.
    #[must_use]
    pub fn new(bootstrap: &str, prefix: &str, tables: &[&str]) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            origin: None,
            replica: None,
            prefix: prefix.to_owned(),
            tables: tables.iter().map(|table| (*table).to_owned()).collect(),
            partitions: 8,
            tasks: 1,
            heap_mb: 2_048,
            worker: Properties::new(),
            source: Properties::new(),
            sink: Properties::new(),
        }
    }

    /// Captures from the database at `url`.
    ///
    /// # Errors
    /// When `url` is none of the form `postgres://user@host:port/db`.
    pub fn capture(mut self, url: &str) -> Result<Self> {
        self.origin = Some(url.parse()?);
        Ok(self)
    }

    /// Applies to the database at `url`, whose tables it creates when they are not there.
    ///
    /// # Errors
    /// When `url` is none of the form `postgres://user@host:port/db`.
    pub fn apply(mut self, url: &str) -> Result<Self> {
        self.replica = Some(url.parse()?);
        Ok(self)
    }

    /// Partitions of the topics it creates (8).
    #[must_use]
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sink tasks (1, as shipped).
    #[must_use]
    pub fn tasks_max(mut self, tasks_max: u32) -> Self {
        self.tasks = tasks_max;
        self
    }

    /// The largest Java heap in MiB (2,048).
    #[must_use]
    pub fn heap_mb_max(mut self, heap_mb_max: u32) -> Self {
        self.heap_mb = heap_mb_max;
        self
    }

    /// One setting of Connect's worker.
    #[must_use]
    pub fn set_worker(mut self, name: &str, value: impl ToString) -> Self {
        self.worker.insert(name.to_owned(), value.to_string());
        self
    }

    /// One setting of the source connector.
    #[must_use]
    pub fn set_source(mut self, name: &str, value: impl ToString) -> Self {
        self.source.insert(name.to_owned(), value.to_string());
        self
    }

    /// One setting of the sink connector, such as `batch.size`.
    #[must_use]
    pub fn set_sink(mut self, name: &str, value: impl ToString) -> Self {
        self.sink.insert(name.to_owned(), value.to_string());
        self
    }

    /// The topic of `table` (`schema.table`).
    #[must_use]
    pub fn topic(&self, table: &str) -> String {
        format!("{}.{table}", self.prefix)
    }

    /// The replication slot it makes at the origin.
    #[must_use]
    pub fn slot(&self) -> String {
        format!("debezium_{}", self.prefix)
    }

    pub(crate) fn connectors(&self) -> Vec<&'static str> {
        let source = self.origin.as_ref().map(|_| SOURCE);
        let sink = self.replica.as_ref().map(|_| SINK);
        source.into_iter().chain(sink).collect()
    }

    pub(crate) fn worker_properties(&self, dir: &Path, plugins: &Path, rest_port: u16) -> String {
        let mut lines = Properties::new();
        let mut set = |name: &str, value: String| lines.insert(name.to_owned(), value);
        set("bootstrap.servers", self.bootstrap.clone());
        set("listeners", format!("http://127.0.0.1:{rest_port}"));
        set("plugin.path", plugins.display().to_string());
        set("plugin.discovery", "service_load".into());
        let offsets = dir.join("offsets");
        set(
            "offset.storage.file.filename",
            offsets.display().to_string(),
        );
        for side in ["key", "value"] {
            let converter = "org.apache.kafka.connect.json.JsonConverter";
            set(&format!("{side}.converter"), converter.into());
            // Without schemas the sink drops every record and goes on "running".
            set(&format!("{side}.converter.schemas.enable"), "true".into());
        }
        // The sink may start before the source has made its topics.
        set("consumer.metadata.max.age.ms", "2000".into());
        lines.extend(self.worker.clone());
        text_of(&lines)
    }

    pub(crate) fn source_properties(&self) -> Option<String> {
        let origin = self.origin.as_ref()?;
        let mut lines = Properties::new();
        let mut set = |name: &str, value: String| lines.insert(name.to_owned(), value);
        set("name", SOURCE.into());
        let class = "io.debezium.connector.postgresql.PostgresConnector";
        set("connector.class", class.into());
        set("tasks.max", "1".into());
        set("database.hostname", origin.host.clone());
        set("database.port", origin.port.to_string());
        set("database.user", origin.user.clone());
        set(
            "database.password",
            origin.password.clone().unwrap_or_default(),
        );
        set("database.dbname", origin.database.clone());
        set("topic.prefix", self.prefix.clone());
        set("plugin.name", "pgoutput".into());
        set("slot.name", self.slot());
        set("publication.name", self.slot());
        set("publication.autocreate.mode", "filtered".into());
        set("table.include.list", self.tables.join(","));
        set("topic.creation.default.replication.factor", "1".into());
        set(
            "topic.creation.default.partitions",
            self.partitions.to_string(),
        );
        lines.extend(self.source.clone());
        Some(text_of(&lines))
    }

    pub(crate) fn sink_properties(&self) -> Option<String> {
        let replica = self.replica.as_ref()?;
        let topics: Vec<String> = self.tables.iter().map(|table| self.topic(table)).collect();
        let mut lines = Properties::new();
        let mut set = |name: &str, value: String| lines.insert(name.to_owned(), value);
        set("name", SINK.into());
        set(
            "connector.class",
            "io.debezium.connector.jdbc.JdbcSinkConnector".into(),
        );
        set("tasks.max", self.tasks.to_string());
        set("topics", topics.join(","));
        let Address {
            host,
            port,
            database,
            ..
        } = replica;
        set(
            "connection.url",
            format!("jdbc:postgresql://{host}:{port}/{database}"),
        );
        set("connection.username", replica.user.clone());
        set(
            "connection.password",
            replica.password.clone().unwrap_or_default(),
        );
        set("insert.mode", "upsert".into());
        set("primary.key.mode", "record_key".into());
        set("delete.enabled", "true".into());
        set("schema.evolution", "basic".into());
        set("collection.name.format", "${source.table}".into());
        // Its default of many connections a task uses up the database's.
        set("connection.pool.min_size", "1".into());
        set("connection.pool.max_size", "2".into());
        lines.extend(self.sink.clone());
        Some(text_of(&lines))
    }
}

fn text_of(lines: &Properties) -> String {
    let lines = lines.iter();
    lines
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect()
}
