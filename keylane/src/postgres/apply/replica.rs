//! PostgreSQL as a replica.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::apply::{
    ApplyError, AskedThreads, ParkedFilter, ParkedSummary, PartitionProgress, PartitionSpec,
    Replica, ReplicaSession, ReplicaTable,
};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{TableName, TableSchema};
use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::envelope::DecodeParked;
use crate::postgres::connect::{ConnectOptions, Ended, connect_observed};

use super::progress::Lanes;
use super::session::PostgresSession;
use super::{catalog, create, own_tables, parked, progress, threads};
use crate::postgres::error::{Reached, apply_error};

/// How to reach a replica.
#[derive(Clone)]
pub struct PostgresReplicaConfig {
    /// `postgres://user@host:port/db?sslmode=…`; may hold a password.
    pub url: String,
    /// What connections call themselves in `pg_stat_activity`.
    pub application_name: String,
    /// The whole way to a connection.
    pub connect_timeout: Duration,
    /// The longest a data transaction waits for a row or table that somebody else has locked, before it is rolled back and tried again.
    pub lock_timeout: Duration,
    /// The longest a data transaction of a process that hangs holds its locks: the longest that a fence waits for it.
    pub idle_in_transaction_timeout: Duration,
    /// Whether the replica's foreign keys are enforced on what is applied, their actions take place and ordinary triggers fire. If not, data is written with
    /// `session_replication_role = replica`, which the user must be allowed to set.
    pub foreign_keys: bool,
}

impl PostgresReplicaConfig {
    /// The usual, for a URL.
    pub fn new(url: impl Into<String>) -> Self {
        PostgresReplicaConfig {
            url: url.into(),
            application_name: "keylane apply".to_owned(),
            connect_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(30),
            idle_in_transaction_timeout: Duration::from_secs(30),
            foreign_keys: true,
        }
    }
}

impl std::fmt::Debug for PostgresReplicaConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresReplicaConfig")
            .field("url", &crate::postgres::connect::redacted(&self.url))
            .field("application_name", &self.application_name)
            .finish_non_exhaustive()
    }
}

/// How connections are opened.
#[derive(Clone, Debug)]
pub(super) struct Door {
    config: Arc<PostgresReplicaConfig>,
    reached: Arc<Reached>,
}

impl Door {
    /// A connection for reading progress, fencing and the like: waits for locks as long as it takes.
    pub async fn open(&self) -> Result<Client, ApplyError> {
        let opened = self.knock(None, Vec::new()).await;
        opened.map(|(client, _)| client)
    }

    /// A connection for data.
    ///
    /// Its statements join a handful of rows with a table by key, and are planned once for any number of rows: by nested loops over an index. A plan made
    /// while the table was small, or before its first ANALYZE, must not read, hash or hold the whole table. Triggers of the replica run under these
    /// settings too.
    pub async fn open_for_data(&self) -> Result<(Client, Ended), ApplyError> {
        let off = [
            "enable_seqscan",
            "enable_hashjoin",
            "enable_mergejoin",
            "enable_material",
            "enable_memoize",
            "jit",
        ];
        let mut settings: Vec<(&'static str, String)> =
            off.map(|name| (name, "off".to_owned())).into();
        settings.push(("plan_cache_mode", "force_generic_plan".to_owned()));
        if !self.config.foreign_keys {
            settings.push(("session_replication_role", "replica".to_owned()));
        }
        let (client, ended) = self.knock(Some(self.config.lock_timeout), settings).await?;
        client
            .batch_execute(progress::PREPARE_STEPS)
            .await
            .map_err(|error| apply_error(&error, "preparing to write to keylane.progress"))?;
        Ok((client, ended))
    }

    async fn knock(
        &self,
        lock_timeout: Option<Duration>,
        settings: Vec<(&'static str, String)>,
    ) -> Result<(Client, Ended), ApplyError> {
        let options = ConnectOptions {
            connect_timeout: self.config.connect_timeout,
            statement_timeout: None,
            lock_timeout,
            idle_in_transaction_timeout: Some(self.config.idle_in_transaction_timeout),
            settings,
        };
        let config = &self.config;
        let opened = connect_observed(&config.url, &config.application_name, &options);
        self.reached.heard(opened.await)
    }
}

/// See [`keylane_core::apply::Replica`].
pub struct PostgresReplica {
    door: Door,
    decode: Arc<dyn DecodeParked>,
    /// For single statements, which may overlap.
    control: Mutex<Option<Arc<Client>>>,
}

impl PostgresReplica {
    /// A replica; connects when something is asked of it. `decode` reads parked records back when they are redriven.
    pub fn new(config: PostgresReplicaConfig, decode: Arc<dyn DecodeParked>) -> Self {
        PostgresReplica {
            door: Door {
                config: Arc::new(config),
                reached: Arc::default(),
            },
            decode,
            control: Mutex::new(None),
        }
    }

    async fn control(&self) -> Result<Arc<Client>, ApplyError> {
        let mut control = self.control.lock().await;
        if let Some(client) = control.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let client = Arc::new(self.door.open().await?);
        *control = Some(client.clone());
        Ok(client)
    }

    /// An answer out of Keylane's own tables; where nothing was ever applied there are none, and nothing stands in them.
    async fn stored<T: Default>(
        &self,
        client: &Client,
        answer: Result<T, ApplyError>,
    ) -> Result<T, ApplyError> {
        let Err(error) = answer else { return answer };
        if error.kind == ApplyErrorKind::MissingObject
            && let Ok(false) = own_tables::TABLES.are_there(client).await
        {
            return Ok(T::default());
        }
        Err(error)
    }
}

#[async_trait]
impl Replica for PostgresReplica {
    async fn prepare(&self) -> Result<(), ApplyError> {
        own_tables::TABLES
            .prepare(&mut self.door.open().await?)
            .await
    }

    async fn fence(
        &self,
        pipeline: &str,
        partitions: &[PartitionSpec],
    ) -> Result<Vec<PartitionProgress>, ApplyError> {
        /// Fences and steps lock in one order; what deadlocks then is somebody else's doing and passes.
        const ATTEMPTS_MAX: u32 = 5;
        let mut client = self.door.open().await?;
        let mut attempts = 1;
        loop {
            match progress::fence(&mut client, pipeline, partitions).await {
                Err(error) if error.kind == ApplyErrorKind::Conflict && attempts < ATTEMPTS_MAX => {
                    attempts += 1;
                }
                other => return other,
            }
        }
    }

    async fn progress(&self, pipeline: &str) -> Result<Vec<PartitionProgress>, ApplyError> {
        let client = self.control().await?;
        let read = progress::read(&client, pipeline, Lanes::Told, None).await;
        let read = read.map_err(|error| apply_error(&error, "reading keylane.progress"));
        self.stored(&client, read).await
    }

    async fn lows(&self, pipeline: &str) -> Result<Vec<PartitionProgress>, ApplyError> {
        let client = self.control().await?;
        let read = progress::read(&client, pipeline, Lanes::LeftOut, None).await;
        let read = read.map_err(|error| apply_error(&error, "reading keylane.progress"));
        self.stored(&client, read).await
    }

    async fn identity(&self) -> Result<String, ApplyError> {
        let client = self.control().await?;
        // A copy made by dumping and loading is another.
        let sql = "SELECT to_hex(system_identifier) || '-' || (SELECT oid FROM pg_database WHERE datname = current_database()) FROM pg_control_system()";
        let row = client
            .query_one(sql, &[])
            .await
            .map_err(|error| apply_error(&error, "asking which database this is"))?;
        Ok(row.get(0))
    }

    async fn session(&self) -> Result<Box<dyn ReplicaSession>, ApplyError> {
        let session = PostgresSession::new(self.door.clone(), self.decode.clone());
        Ok(Box::new(session.connected().await?))
    }

    async fn describe(&self, table: &TableName) -> Result<Option<ReplicaTable>, ApplyError> {
        let client = self.control().await?;
        let found = catalog::table(&client, table).await.map_err(|error| {
            apply_error(&error, &format!("looking at the replica's table {table}"))
        })?;
        Ok(found.map(|found| found.into_replica_table(table.clone())))
    }

    async fn create_table(&self, schema: &TableSchema) -> Result<(), ApplyError> {
        create::create_table(&mut self.door.open().await?, schema).await
    }

    async fn parked(
        &self,
        pipeline: &str,
        filter: &ParkedFilter,
        limit: u32,
    ) -> Result<Vec<ParkedSummary>, ApplyError> {
        let client = self.control().await?;
        let listed = parked::list(&client, pipeline, filter, limit).await;
        self.stored(&client, listed).await
    }

    async fn resolve_parked(
        &self,
        pipeline: &str,
        filter: &ParkedFilter,
        discard: bool,
    ) -> Result<u64, ApplyError> {
        let client = self.control().await?;
        let resolved = parked::resolve(&client, pipeline, filter, discard).await;
        self.stored(&client, resolved).await
    }

    async fn asked_threads(&self, pipeline: &str) -> Result<Option<AskedThreads>, ApplyError> {
        let client = self.control().await?;
        let asked = threads::asked(&client, pipeline).await;
        self.stored(&client, asked).await
    }

    async fn ask_threads(&self, pipeline: &str, asked: AskedThreads) -> Result<(), ApplyError> {
        self.prepare().await?;
        let client = self.control().await?;
        threads::ask(&client, pipeline, asked).await
    }
}
