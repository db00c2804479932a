//! The replica: what the port asks for, handed to a thread with a connection of its own.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use keylane_core::apply::{
    ApplyError, AskedThreads, ParkedFilter, ParkedSummary, PartitionProgress, PartitionSpec,
    Replica, ReplicaSession, ReplicaTable,
};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{TableName, TableSchema};
use rusqlite::Connection;

use super::error::from_sqlite;
use super::parked;
use super::progress::{self, Refusal};
use super::session::{Open, Place, SqliteSession};
use super::table;
use super::threads;
use crate::envelope::DecodeParked;
use crate::own_thread::OwnThread;

/// Where the replica is.
#[derive(Clone)]
pub struct SqliteReplicaOptions {
    /// The file; created if it is not there.
    pub path: PathBuf,
    /// Reads parked records again when they are redriven.
    pub decoder: Arc<dyn DecodeParked>,
    /// Whether the file's foreign keys are enforced on what is applied, and their actions take place.
    pub foreign_keys: bool,
}

/// A SQLite file that changes are applied to.
pub struct SqliteReplica {
    place: Place,
    open: OwnThread<Open>,
}

impl SqliteReplica {
    /// Opens the file.
    ///
    /// # Errors
    /// If it cannot be opened or created, or is not a database.
    pub async fn connect(options: SqliteReplicaOptions) -> Result<Self, ApplyError> {
        let place = Place {
            path: options.path,
            decoder: options.decoder,
            foreign_keys: options.foreign_keys,
            turn: Arc::new(Mutex::new(())),
        };
        let open = start(&place, "sqlite-replica").await?;
        Ok(SqliteReplica { place, open })
    }

    async fn transaction<R: Send + 'static>(
        &self,
        body: impl FnOnce(&Connection) -> rusqlite::Result<Result<R, ApplyError>> + Send + 'static,
    ) -> Result<R, ApplyError> {
        self.open.call(move |open| open.transaction(body)).await?
    }

    async fn look<R: Send + 'static>(
        &self,
        body: impl FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, ApplyError> {
        self.open
            .call(move |open| {
                // One read transaction, so that what is read belongs together.
                let reading = open.connection.unchecked_transaction();
                let result = reading.and_then(|reading| {
                    let result = body(&reading)?;
                    reading.finish()?;
                    Ok(result)
                });
                result.map_err(|cause| from_sqlite(&open.place.path, None, &cause))
            })
            .await?
    }
}

async fn start(place: &Place, name: &str) -> Result<OwnThread<Open>, ApplyError> {
    let place = place.clone();
    OwnThread::start(name, move || Open::connect(place)).await
}

/// Whether the replica was ever prepared.
fn has_own_tables(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'keylane_parked'")?
        .exists([])
}

fn with_keys(
    connection: &Connection,
    pipeline: &str,
    mut found: Vec<PartitionProgress>,
) -> rusqlite::Result<Vec<PartitionProgress>> {
    for progress in &mut found {
        parked::add_keys(connection, pipeline, progress)?;
    }
    Ok(found)
}

/// The file's place on its device, and when it was made, to the nanosecond where the file system tells.
fn identity(path: &Path) -> std::io::Result<String> {
    let file = std::fs::metadata(path)?;
    let made = file
        .created()
        .ok()
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let made_ns = made.map_or(0, |since| since.as_nanos());
    Ok(format!("{made_ns:x}-{:x}", file.ino()))
}

#[async_trait]
impl Replica for SqliteReplica {
    async fn prepare(&self) -> Result<(), ApplyError> {
        self.transaction(|connection| {
            connection.execute_batch(progress::TABLES)?;
            connection.execute_batch(parked::TABLES)?;
            connection.execute_batch(threads::TABLES)?;
            Ok(Ok(()))
        })
        .await
    }

    async fn fence(
        &self,
        pipeline: &str,
        partitions: &[PartitionSpec],
    ) -> Result<Vec<PartitionProgress>, ApplyError> {
        let (pipeline, specs) = (pipeline.to_owned(), partitions.to_vec());
        let path = self.place.path.display().to_string();
        self.transaction(move |connection| {
            let mut found = Vec::with_capacity(specs.len());
            for spec in &specs {
                match progress::raise(connection, &pipeline, spec) {
                    Ok(()) => {}
                    Err(Refusal::Failed(cause)) => return Err(cause),
                    Err(Refusal::Changed(words)) => {
                        return Ok(Err(ApplyError::new(
                            ApplyErrorKind::Other,
                            format!("replica {path}: {words}"),
                        )));
                    }
                }
                found.extend(progress::read(
                    connection,
                    &pipeline,
                    Some(&spec.partition),
                )?);
            }
            with_keys(connection, &pipeline, found).map(Ok)
        })
        .await
    }

    async fn progress(&self, pipeline: &str) -> Result<Vec<PartitionProgress>, ApplyError> {
        let pipeline = pipeline.to_owned();
        self.look(move |connection| {
            if !has_own_tables(connection)? {
                return Ok(Vec::new());
            }
            let found = progress::read(connection, &pipeline, None)?;
            with_keys(connection, &pipeline, found)
        })
        .await
    }

    async fn lows(&self, pipeline: &str) -> Result<Vec<PartitionProgress>, ApplyError> {
        let pipeline = pipeline.to_owned();
        self.look(move |connection| {
            if !has_own_tables(connection)? {
                return Ok(Vec::new());
            }
            let found = progress::lows(connection, &pipeline, None)?;
            with_keys(connection, &pipeline, found)
        })
        .await
    }

    fn writes_one_by_one(&self) -> bool {
        true
    }

    async fn identity(&self) -> Result<String, ApplyError> {
        identity(&self.place.path).map_err(|cause| {
            let path = self.place.path.display();
            let message = format!("replica {path}: cannot be looked at: {cause}");
            ApplyError::new(ApplyErrorKind::Other, message)
        })
    }

    async fn session(&self) -> Result<Box<dyn ReplicaSession>, ApplyError> {
        let open = start(&self.place, "sqlite-apply").await?;
        Ok(Box::new(SqliteSession { open }))
    }

    async fn describe(&self, table: &TableName) -> Result<Option<ReplicaTable>, ApplyError> {
        let table = table.clone();
        self.look(move |connection| table::describe(connection, &table))
            .await
    }

    async fn create_table(&self, schema: &TableSchema) -> Result<(), ApplyError> {
        let schema = schema.clone();
        self.transaction(move |connection| table::create(connection, &schema).map(Ok))
            .await
    }

    async fn parked(
        &self,
        pipeline: &str,
        filter: &ParkedFilter,
        limit: u32,
    ) -> Result<Vec<ParkedSummary>, ApplyError> {
        let (pipeline, filter) = (pipeline.to_owned(), filter.clone());
        self.look(move |connection| {
            if !has_own_tables(connection)? {
                return Ok(Vec::new());
            }
            parked::list(connection, &pipeline, &filter, limit)
        })
        .await
    }

    async fn resolve_parked(
        &self,
        pipeline: &str,
        filter: &ParkedFilter,
        discard: bool,
    ) -> Result<u64, ApplyError> {
        let (pipeline, filter) = (pipeline.to_owned(), filter.clone());
        self.transaction(move |connection| {
            parked::resolve(connection, &pipeline, &filter, discard).map(Ok)
        })
        .await
    }

    async fn asked_threads(&self, pipeline: &str) -> Result<Option<AskedThreads>, ApplyError> {
        let pipeline = pipeline.to_owned();
        self.look(move |connection| threads::asked(connection, &pipeline))
            .await
    }

    async fn ask_threads(&self, pipeline: &str, asked: AskedThreads) -> Result<(), ApplyError> {
        let pipeline = pipeline.to_owned();
        self.transaction(move |connection| threads::ask(connection, &pipeline, asked).map(Ok))
            .await
    }
}
