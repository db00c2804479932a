//! The origin itself: opens a session over slot and publication, and hands its parts their work.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::capture::{
    ChunkRequest, Opened, Origin, OriginError, OriginErrorKind, OriginEvent, OutboxRow, RefusedRow,
};
use keylane_core::model::{Epoch, TableSchema};
use pgwire_replication::ReplicationClient;
use rand::Rng;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::PostgresOriginConfig;
use super::catalog::{CatalogTable, parents_first};
use super::catalog_query::{self, Which};
use super::chunk::ChunkTask;
use super::error::{busy, code, from_sql, from_wire, lost, refused};
use super::fitness;
use super::marker::{self, Heartbeat};
use super::outbox;
use super::publication;
use super::relation::Relations;
use super::requirement;
use super::session::{connect_sql, replication_config};
use super::slot::{self, Verdict};
use super::stream::{Held, Stream};

/// How often a slot that another holds is looked at.
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// A PostgreSQL database whose changes are captured.
pub struct PostgresOrigin {
    config: PostgresOriginConfig,
    sql: Option<Arc<Client>>,
    session: Option<Session>,
}

/// A session that was opened.
struct Session {
    stream: Stream,
    chunks: ChunkTask,
    /// Tells this session's marks from another's.
    word: String,
    _heartbeat: Option<Heartbeat>,
}

impl PostgresOrigin {
    /// Not connected yet.
    pub fn new(config: PostgresOriginConfig) -> Self {
        PostgresOrigin {
            config,
            sql: None,
            session: None,
        }
    }

    /// The configuration, to be changed before the next `open` (what was published since, which shapes are known).
    pub fn config_mut(&mut self) -> &mut PostgresOriginConfig {
        &mut self.config
    }

    /// The names of all tables that could be captured.
    ///
    /// # Errors
    /// If the database is not reachable.
    pub async fn plain_tables(
        &mut self,
    ) -> Result<Vec<keylane_core::model::TableName>, OriginError> {
        let client = self.sql().await?;
        let tables = catalog_query::read(&client, Which::All).await?;
        Ok(tables.into_iter().map(|table| table.name).collect())
    }

    async fn sql(&mut self) -> Result<Arc<Client>, OriginError> {
        if let Some(client) = self.sql.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(connect_sql(&self.config, "control").await?);
        self.sql = Some(Arc::clone(&client));
        Ok(client)
    }

    /// The tables to capture as they are now, each fit to be captured, parents first.
    async fn fit_tables(&self, client: &Client) -> Result<Vec<CatalogTable>, OriginError> {
        let tables = read_tables(client, &self.config).await?;
        for table in &tables {
            if let Some(problem) =
                fitness::table_problem(table, self.config.order_keys.get(&table.name))
            {
                return Err(refused(
                    problem.code,
                    format!(
                        "table {} {}; run: {}",
                        table.name, problem.found, problem.fix
                    ),
                ));
            }
        }
        Ok(parents_first(tables))
    }

    /// Takes the slot, waiting within a bound for one that another still holds.
    async fn take(&self, client: &Client) -> Result<(Held, Opened), OriginError> {
        let deadline = Instant::now() + self.config.take_slot_within;
        loop {
            match self.try_take(client).await {
                Err(error)
                    if error.kind == OriginErrorKind::Busy
                        && error.code == code::SLOT_BUSY
                        && Instant::now() < deadline =>
                {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(error) if error.code == code::SLOT_FOREIGN && self.may_be_outdated() => {
                    return Err(busy(
                        code::SLOT_BUSY,
                        format!(
                            "slot {} has moved since what was published was last asked for, as if another capturer had held it in between; asking again",
                            self.config.slot
                        ),
                    ));
                }
                answer => return answer,
            }
        }
    }

    /// Whether the place up to which was published may have moved on since it was asked for. The next session asks again: the same answer twice is true.
    fn may_be_outdated(&self) -> bool {
        let place = self.config.published_up_to;
        let doubted = self.config.doubted_place.as_ref();
        doubted.is_some_and(|doubted| doubted.swap(place, Ordering::Relaxed) != place)
    }

    async fn try_take(&self, client: &Client) -> Result<(Held, Opened), OriginError> {
        let name = &self.config.slot;
        let wire_failed = |error| from_wire("taking the slot", &error);
        let word = format!("keylane capture {name} stream");
        let (wire_config, _tunnel) = replication_config(&self.config, &word).await?;
        let mut wire = ReplicationClient::connect_gated(wire_config)
            .await
            .map_err(wire_failed)?;
        let system = wire.identify_system().await.map_err(wire_failed)?;
        let database = system.dbname.unwrap_or_default();
        let identity = format!("{}/{database}/{name}", system.system_id);
        let pid = own_pid(&mut wire).await?;
        let found = slot::read(client, name).await?;
        let own = Some(pid);
        let judged = slot::judge(&self.config, &identity, &database, found.as_ref(), own)?;
        if judged == Verdict::Create {
            slot::create(client, name).await?;
        }
        if let Some(holder) = found.and_then(|slot| slot.active_pid) {
            return Err(held_by(name, holder));
        }
        wire.start().await.map_err(wire_failed)?;
        wire.wait_started().await.map_err(wire_failed)?;
        // The number first, then the look whether the slot is still ours: whoever takes it later gets a higher number.
        let epoch = current_epoch(client).await?;
        let taken = slot::read(client, name).await?;
        // Judged again: between the first look and the start it may have been created anew.
        slot::judge(&self.config, &identity, &database, taken.as_ref(), own)?;
        let Some(taken) = taken.filter(|slot| slot.active_pid == Some(pid)) else {
            return Err(busy(
                code::SLOT_BUSY,
                format!("slot {name} was taken and lost again at once"),
            ));
        };
        let confirmed = taken.confirmed.ok_or_else(|| {
            lost(
                code::SLOT_LOST,
                format!("slot {name} stands nowhere; {}", slot::WAYS_OUT),
            )
        })?;
        let held = Held {
            wire,
            slot: name.clone(),
            pid,
        };
        Ok((
            held,
            Opened {
                epoch,
                identity,
                confirmed,
            },
        ))
    }

    fn session(&mut self) -> Result<&mut Session, OriginError> {
        self.session
            .as_mut()
            .ok_or_else(|| refused(code::CONFIGURATION, "the origin is not open"))
    }
}

#[async_trait]
impl Origin for PostgresOrigin {
    async fn tables(&mut self) -> Result<Vec<Arc<TableSchema>>, OriginError> {
        let client = self.sql().await?;
        let tables = self.fit_tables(&client).await?;
        Ok(tables
            .iter()
            .map(|table| {
                let order_key = self.config.order_keys.get(&table.name);
                Arc::new(table.current_shape(order_key.map(Vec::as_slice)))
            })
            .collect())
    }

    async fn open(&mut self) -> Result<Opened, OriginError> {
        // Ours from before would hold the slot against us.
        self.session = None;
        slot::check_name(&self.config.slot)?;
        let client = self.sql().await?;
        requirement::check_server(&client).await?;
        let tables = self.fit_tables(&client).await?;
        publication::ensure(&client, &self.config, &tables).await?;
        let (held, opened) = self.take(&client).await?;
        let relations = Relations::new(
            Arc::clone(&client),
            tables,
            self.config.order_keys.clone(),
            &self.config.known_schemas,
        );
        let stream = Stream::new(held, Arc::clone(&client), relations);
        let captured = stream.captured().cloned().collect();
        self.session = Some(Session {
            stream,
            chunks: ChunkTask::start(self.config.clone(), captured),
            word: format!("{:016x}", rand::rng().random::<u64>()),
            _heartbeat: marker::beat(client, self.config.heartbeat),
        });
        Ok(opened)
    }

    async fn next(&mut self, bytes_max: usize) -> Result<Vec<OriginEvent>, OriginError> {
        self.session()?.stream.next(bytes_max).await
    }

    async fn confirm(&mut self, up_to: u64) -> Result<(), OriginError> {
        self.session()?.stream.confirm(up_to);
        Ok(())
    }

    async fn request_chunk(&mut self, request: ChunkRequest) -> Result<(), OriginError> {
        let session = self.session()?;
        if session.stream.chunk.is_some() {
            return Err(refused(
                code::CONFIGURATION,
                "a chunk was asked for while another was awaited",
            ));
        }
        let delivered = session.stream.delivered.clone();
        let pending = session.chunks.ask(request, &session.word, delivered)?;
        session.stream.chunk = Some(pending);
        Ok(())
    }

    async fn park_events(&mut self, rows: &[RefusedRow]) -> Result<(), OriginError> {
        let client = self.sql().await?;
        for refused in rows {
            outbox::park(&client, refused).await?;
        }
        Ok(())
    }

    async fn purge_events(&mut self, rows: &[OutboxRow]) -> Result<(), OriginError> {
        let client = self.sql().await?;
        outbox::purge(&client, rows).await
    }
}

/// The tables a configuration means; an error if one is not there.
pub(super) async fn read_tables(
    client: &Client,
    config: &PostgresOriginConfig,
) -> Result<Vec<CatalogTable>, OriginError> {
    if config.tables.is_empty() {
        let tables = catalog_query::read(client, Which::All).await?;
        if tables.is_empty() {
            return Err(refused(
                code::TABLE,
                "the origin's database holds no table to capture; check the database's name in the URL",
            ));
        }
        return Ok(tables);
    }
    let tables = catalog_query::read(client, Which::Named(&config.tables)).await?;
    let missing = config
        .tables
        .iter()
        .find(|name| tables.iter().all(|table| table.name != **name));
    match missing {
        None => Ok(tables),
        Some(name) => Err(refused(
            code::TABLE,
            format!(
                "table {name} does not exist at the origin; create it or take it out of the configuration"
            ),
        )),
    }
}

async fn own_pid(wire: &mut ReplicationClient) -> Result<i32, OriginError> {
    let rows = wire
        .simple_query("SELECT pg_backend_pid()")
        .await
        .map_err(|error| from_wire("asking for the connection's number", &error))?;
    rows.first()
        .and_then(|row| row.first()?.as_ref())
        .and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok())
        .ok_or_else(|| {
            refused(
                code::MALFORMED,
                "the origin did not tell the replication connection's number",
            )
        })
}

async fn current_epoch(client: &Client) -> Result<Epoch, OriginError> {
    let doing = "taking an epoch number";
    let row = client
        .query_one("SELECT pg_current_xact_id()::text", &[])
        .await
        .map_err(|error| from_sql(doing, &error))?;
    let text: String = row.try_get(0).map_err(|error| from_sql(doing, &error))?;
    text.parse()
        .map(Epoch)
        .map_err(|_| refused(code::MALFORMED, "the origin told no transaction number"))
}

fn held_by(name: &str, holder: i32) -> OriginError {
    busy(
        code::SLOT_BUSY,
        format!(
            "slot {name} is held by another connection (process {holder} of the server); stop the other capturer, or wait until the server notices its end (wal_sender_timeout)"
        ),
    )
}
