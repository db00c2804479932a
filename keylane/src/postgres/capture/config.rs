//! What a PostgreSQL origin must be told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use keylane_core::model::{TableName, TableSchema};

/// How to capture a PostgreSQL database. [`PostgresOriginConfig::new`] fills in what is usual.
#[derive(Clone)]
pub struct PostgresOriginConfig {
    /// `postgres://user@host:port/db?sslmode=…` of a role with the REPLICATION attribute. May hold a password; never printed.
    pub url: String,
    /// The replication slot: lower case letters, digits and underscores. Created if it never was.
    pub slot: String,
    /// The publication. Created if absent; missing tables are added to it.
    pub publication: String,
    /// The tables to capture. Empty: every permanent table outside the system schemas that belongs to no extension and is not one of Keylane's own.
    pub tables: Vec<TableName>,
    /// How often a small message is written into the origin's log, so that an idle database does not keep its log. Zero: never.
    pub heartbeat: Duration,
    /// Order keys other than the row key, as column names.
    pub order_keys: BTreeMap<TableName, Vec<String>>,
    /// The identity told by an earlier session; another one found is refused.
    pub expected_identity: Option<String>,
    /// The highest place that was ever handed to `confirm` (0 if none), stored *before* it was handed over. A slot that stands further was moved by somebody
    /// else or created anew, and is refused.
    pub published_up_to: u64,
    /// Shared by the sessions of one capturer, if another may take the slot and give it up while a session is opened: a slot that stands further than
    /// `published_up_to` is refused only once the next session was told the same place. Until then it is busy.
    pub doubted_place: Option<Arc<AtomicU64>>,
    /// Tables' shapes as last published, if they were kept. A table that differs in more than added columns is refused; a table that is not listed is taken as
    /// it is first seen.
    pub known_schemas: Vec<Arc<TableSchema>>,
    /// How long `open` waits for a slot that another process holds, such as a predecessor whose end the server has not noticed yet.
    pub take_slot_within: Duration,
    /// The largest message (a row, with its old values) that is accepted.
    pub message_bytes_max: usize,
    /// A chunk of a table ends early when it holds this much.
    pub chunk_bytes_max: usize,
}

impl PostgresOriginConfig {
    /// A configuration for all tables, with a heartbeat every 10 s.
    pub fn new(
        url: impl Into<String>,
        slot: impl Into<String>,
        publication: impl Into<String>,
    ) -> Self {
        PostgresOriginConfig {
            url: url.into(),
            slot: slot.into(),
            publication: publication.into(),
            tables: Vec::new(),
            heartbeat: Duration::from_secs(10),
            order_keys: BTreeMap::new(),
            expected_identity: None,
            published_up_to: 0,
            doubted_place: None,
            known_schemas: Vec::new(),
            take_slot_within: Duration::from_secs(20),
            message_bytes_max: 256 << 20,
            chunk_bytes_max: 8 << 20,
        }
    }
}

impl fmt::Debug for PostgresOriginConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOriginConfig")
            .field("slot", &self.slot)
            .field("publication", &self.publication)
            .field("tables", &self.tables)
            .field("published_up_to", &self.published_up_to)
            .finish_non_exhaustive()
    }
}
