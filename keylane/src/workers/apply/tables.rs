//! Schemas by their fingerprint, and the replica's tables made ready for them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use keylane_core::apply::{ApplyError, Replica, ReplicaTable};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{SchemaId, TableName, TableSchema};
use keylane_core::publish::Log;
use tokio::sync::Mutex;
use tracing::info;

use crate::envelope::SchemaCache;
use crate::workers::control::{ControlReader, ControlState};

/// How long a schema that a change names is looked for before the change counts as unreadable.
const SCHEMA_WAIT_MAX: Duration = Duration::from_secs(10);
const SCHEMA_WAIT_STEP: Duration = Duration::from_millis(100);

/// What is known of tables.
pub(super) struct Tables {
    pub schemas: Arc<SchemaCache>,
    control: Mutex<ControlReader>,
    ready: Mutex<BTreeSet<SchemaId>>,
    create: bool,
    all_in_log: AtomicBool,
    copied: RwLock<Arc<BTreeSet<TableName>>>,
}

impl Tables {
    /// Nothing known yet.
    pub(super) fn new(prefix: &str, create: bool, schemas: Arc<SchemaCache>) -> Self {
        let control = Mutex::new(ControlReader::new(prefix, schemas.clone()));
        Tables {
            schemas,
            control,
            ready: Mutex::new(BTreeSet::new()),
            create,
            all_in_log: AtomicBool::new(false),
            copied: RwLock::default(),
        }
    }

    /// Reads on in the control topic. Returns what it says if there was news.
    pub(super) async fn poll(
        &self,
        log: &dyn Log,
    ) -> Result<Option<ControlState>, keylane_core::publish::LogError> {
        let mut control = self.control.lock().await;
        let news = control.poll(log, None).await?;
        self.all_in_log
            .store(control.state().snapshot_done, Ordering::Relaxed);
        Ok(news.then(|| control.state().clone()))
    }

    /// Whether the initial copy of every table is in the log, as far as known.
    pub(super) fn are_copied(&self) -> bool {
        self.all_in_log.load(Ordering::Relaxed)
    }

    /// The tables whose copy is applied to its last row: what an update or delete does not find there is missing.
    pub(super) fn copied(&self) -> Arc<BTreeSet<TableName>> {
        self.copied
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The copies of these too.
    pub(super) fn add_copied(&self, tables: BTreeSet<TableName>) {
        let mut copied = self.copied.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut copied).extend(tables);
    }

    /// A schema by its fingerprint, looked for in the control topic if it is new.
    pub(super) async fn schema(
        &self,
        id: SchemaId,
        log: &dyn Log,
    ) -> Result<Arc<TableSchema>, ApplyError> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(schema) = self.schemas.get(id) {
                return Ok(schema);
            }
            let polled = self.poll(log).await;
            if self.schemas.get(id).is_none() && (polled.is_err() || waited >= SCHEMA_WAIT_MAX) {
                let kind = if polled.is_err() {
                    ApplyErrorKind::Unreachable
                } else {
                    ApplyErrorKind::Corrupt
                };
                let message = format!(
                    "the change names schema {:016x}, which the control topic does not hold",
                    id.0
                );
                return Err(ApplyError::new(kind, message));
            }
            tokio::time::sleep(SCHEMA_WAIT_STEP).await;
            waited += SCHEMA_WAIT_STEP;
        }
    }

    /// Makes the replica's table ready for rows of this schema.
    pub(super) async fn ready(
        &self,
        schema: &TableSchema,
        replica: &dyn Replica,
    ) -> Result<(), ApplyError> {
        let mut ready = self.ready.lock().await;
        if ready.contains(&schema.id) {
            return Ok(());
        }
        let found = replica.describe(&schema.table).await?;
        if let Some(lacks) = lacks(schema, found.as_ref()) {
            if !self.create {
                let message = format!(
                    "the replica lacks {lacks}: create it there, or set apply.create_tables, then redrive what was parked"
                );
                return Err(ApplyError::new(ApplyErrorKind::MissingObject, message));
            }
            info!(table = %schema.table, "creating {lacks} at the replica");
            replica.create_table(schema).await?;
        }
        ready.insert(schema.id);
        Ok(())
    }

    /// Makes every captured table ready that may be created: which of them a redriven change is of shows only when it is read back.
    pub(super) async fn all_ready(&self, replica: &dyn Replica) -> Result<(), ApplyError> {
        if !self.create {
            return Ok(());
        }
        let topics = self.control.lock().await.state().topics.clone();
        for topic in topics {
            let table = TableName::new(topic.schema, topic.table);
            let Some(schema) = self.schemas.latest(&table) else {
                continue;
            };
            match self.ready(&schema, replica).await {
                Err(error) if error.kind == ApplyErrorKind::Unreachable => return Err(error),
                // If it is this table, the redrive says so.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Forgets which tables are ready: somebody may have dropped one.
    pub(super) async fn forget_ready(&self) {
        self.ready.lock().await.clear();
    }
}

/// What a replica lacks of a table, in words.
fn lacks(schema: &TableSchema, found: Option<&ReplicaTable>) -> Option<String> {
    let Some(found) = found else {
        return Some(format!("table {}", schema.table));
    };
    let has = |name: &str| found.columns.iter().any(|column| column.name == name);
    let columns: Vec<&str> = schema
        .columns
        .iter()
        .map(|column| &*column.name)
        .filter(|name| !has(name))
        .collect();
    let word = if columns.len() == 1 {
        "column"
    } else {
        "columns"
    };
    (!columns.is_empty())
        .then(|| format!("{word} {} of table {}", columns.join(", "), schema.table))
}
