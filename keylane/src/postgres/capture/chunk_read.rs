//! Reads a chunk's rows in one snapshot, and writes the mark of its place in the stream.
//!
//! A table with a key: the snapshot sees everything delivered before the request, and the mark is written after the snapshot was taken, so that everything the
//! snapshot sees has been delivered when the mark arrives. A table without a key: writers are held off by a short lock while the snapshot is taken and the mark
//! is committed, so that the read is exact at the mark's place; the rows are then read at leisure.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use keylane_core::capture::OriginError;
use keylane_core::model::{Row, TableName, TableSchema, Value};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::PostgresOriginConfig;
use super::catalog::CatalogTable;
use super::catalog_query::{self, Which};
use super::chunk::{Job, Part};
use super::error::{code, from_sql, refused};
use super::marker;
use super::publication::from_item;
use super::session::{connect_sql, quote_identifier, quote_literal};
use super::text::TextForm;
use super::visibility::Snapshot;

/// Rows fetched from the cursor at once.
const FETCH_ROWS: usize = 500;
/// How much of a table without a key is handed over at once.
const PART_BYTES: usize = 1 << 20;
/// How long writers of a table without a key may have to wait behind our wait for its lock.
const LOCK_WITHIN: &str = "1s";
/// How long to wait before the next attempt, for a lock and for a snapshot.
const LOCK_PAUSE: Duration = Duration::from_secs(2);
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(20);

const DOING: &str = "reading a table's rows for the initial copy";

/// Two connections: one that reads, one that locks and marks.
pub(super) struct Reader {
    config: PostgresOriginConfig,
    captured: BTreeSet<TableName>,
    connections: Option<Connections>,
}

struct Connections {
    reading: Client,
    marking: Client,
}

/// A table as this read sees it, whose lock is held.
struct Opened {
    table: CatalogTable,
    schema: Arc<TableSchema>,
    forms: Vec<TextForm>,
}

impl Reader {
    /// Not connected yet.
    pub fn new(config: PostgresOriginConfig, captured: BTreeSet<TableName>) -> Self {
        Reader {
            config,
            captured,
            connections: None,
        }
    }

    /// After an error: the next read begins with fresh connections.
    pub fn disconnect(&mut self) {
        self.connections = None;
    }

    /// Reads a chunk and hands its parts over; returns when the last is handed over.
    pub async fn read(&mut self, job: &Job) -> Result<(), OriginError> {
        if self.connections.is_none() {
            self.connections = Some(Connections {
                reading: connect_sql(&self.config, "reads").await?,
                marking: connect_sql(&self.config, "marks").await?,
            });
        }
        let Some(connections) = &self.connections else {
            return Ok(());
        };
        let table = self.table(&connections.marking, &job.request.table).await?;
        if table.key().is_some() {
            self.read_keyed(connections, &table, job).await
        } else {
            self.read_whole(connections, &table, job).await
        }
    }

    async fn table(&self, client: &Client, name: &TableName) -> Result<CatalogTable, OriginError> {
        let named = catalog_query::read(client, Which::Named(std::slice::from_ref(name))).await?;
        let oid = named
            .first()
            .map(|table| table.oid)
            .ok_or_else(|| gone(name))?;
        // Once more by oid, because foreign keys depend on what else is captured.
        catalog_query::read(client, Which::One(oid, &self.captured))
            .await?
            .pop()
            .ok_or_else(|| gone(name))
    }

    async fn read_keyed(
        &self,
        connections: &Connections,
        table: &CatalogTable,
        job: &Job,
    ) -> Result<(), OriginError> {
        let client = &connections.reading;
        loop {
            run(client, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            // Held until the mark is committed: no change of the table's shape, and no truncate, falls between read and mark.
            run(
                client,
                &format!("LOCK TABLE {} IN ACCESS SHARE MODE", from_item(table)),
            )
            .await?;
            if Snapshot::now(client, DOING).await?.sees_all(&job.delivered) {
                break;
            }
            run(client, "ROLLBACK").await?;
            tokio::time::sleep(SNAPSHOT_PAUSE).await;
        }
        let opened = self.open_cursor(client, table, job).await?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        let rows_max = job.request.rows_max as usize;
        let mut ended = false;
        while !ended && rows.len() < rows_max && bytes < self.config.chunk_bytes_max {
            let fetch = FETCH_ROWS.min(rows_max - rows.len());
            let mut fetched = 0;
            let mut stream = pin!(fetch_stream(client, fetch).await?);
            while let Some(message) = stream.try_next().await.map_err(failed)? {
                let SimpleQueryMessage::Row(cells) = message else {
                    continue;
                };
                fetched += 1;
                // What lies past the byte bound is left for the next chunk.
                if bytes < self.config.chunk_bytes_max {
                    let row = row(&opened, &cells)?;
                    bytes += size_bytes(&row);
                    rows.push(row);
                }
            }
            ended = fetched < fetch && bytes < self.config.chunk_bytes_max;
        }
        let next_after = match rows.last() {
            Some(last) if !ended => Some(key_values(&opened.schema, last)),
            _ => None,
        };
        let part = Part {
            schema: opened.schema,
            rows,
            next_after,
            last: true,
        };
        // Handed over before the mark can arrive.
        let _ = job.parts.send(Ok(part)).await;
        marker::emit(&connections.marking, &job.mark).await?;
        run(client, "COMMIT").await
    }

    async fn read_whole(
        &self,
        connections: &Connections,
        table: &CatalogTable,
        job: &Job,
    ) -> Result<(), OriginError> {
        let client = &connections.reading;
        let opened = loop {
            match self.lock_and_mark(connections, table, job).await {
                Ok(opened) => break opened,
                Err(Attempt::LockNotHad) => {
                    tracing::warn!(
                        table = %table.name,
                        "the table's copy waits for a lock that long transactions hold; trying again"
                    );
                    for client in [client, &connections.marking] {
                        run(client, "ROLLBACK").await?;
                    }
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                Err(Attempt::Failed(error)) => return Err(error),
            }
        };
        let mut rows: Vec<Row> = Vec::new();
        let mut bytes = 0;
        loop {
            let mut fetched = 0;
            {
                let mut stream = pin!(fetch_stream(client, FETCH_ROWS).await?);
                while let Some(message) = stream.try_next().await.map_err(failed)? {
                    let SimpleQueryMessage::Row(cells) = message else {
                        continue;
                    };
                    fetched += 1;
                    let row = row(&opened, &cells)?;
                    bytes += size_bytes(&row);
                    rows.push(row);
                    if bytes >= PART_BYTES || rows.len() >= job.request.rows_max as usize {
                        bytes = 0;
                        let full = std::mem::take(&mut rows);
                        if !hand_over(job, &opened, full, false).await {
                            return run(client, "ROLLBACK").await;
                        }
                    }
                }
            }
            if fetched < FETCH_ROWS {
                hand_over(job, &opened, rows, true).await;
                return run(client, "COMMIT").await;
            }
        }
    }

    /// Takes the snapshot and commits the mark while writers are held off.
    async fn lock_and_mark(
        &self,
        connections: &Connections,
        table: &CatalogTable,
        job: &Job,
    ) -> Result<Opened, Attempt> {
        let Connections { reading, marking } = connections;
        let item = from_item(table);
        run(reading, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        // Before the snapshot, and kept: a truncate or a rewrite would empty the table under it.
        lock(reading, &format!("LOCK TABLE {item} IN ACCESS SHARE MODE")).await?;
        run(marking, "BEGIN").await?;
        lock(marking, &format!("LOCK TABLE {item} IN SHARE MODE")).await?;
        let opened = self.open_cursor(reading, table, job).await?;
        marker::emit(marking, &job.mark).await?;
        run(marking, "COMMIT").await?;
        Ok(opened)
    }

    /// Reads the table's shape anew under its lock and opens the cursor.
    async fn open_cursor(
        &self,
        client: &Client,
        table: &CatalogTable,
        job: &Job,
    ) -> Result<Opened, OriginError> {
        let name = &table.name;
        let table = catalog_query::read(client, Which::One(table.oid, &self.captured))
            .await?
            .pop()
            .ok_or_else(|| gone(name))?;
        let order_key = self.config.order_keys.get(&table.name);
        let opened = Opened {
            schema: Arc::new(table.current_shape(order_key.map(Vec::as_slice))),
            forms: table.columns.iter().map(|column| column.form).collect(),
            table,
        };
        let sql = select(&opened, job)?;
        // Comparison must use the operators that ORDER BY uses, wherever an extension put them; printing must not depend on a search path. The rows are wanted
        // by an index: one sort per chunk would read the table once per chunk.
        run(
            client,
            "SELECT set_config('search_path', concat_ws(', ', 'pg_catalog', (
               SELECT string_agg(DISTINCT quote_ident(n.nspname), ', ') FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
               JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE m.amname = 'btree' AND n.nspname <> 'pg_catalog')), true);
             SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off",
        )
        .await?;
        run(
            client,
            &format!("DECLARE keylane_rows NO SCROLL CURSOR WITHOUT HOLD FOR {sql}"),
        )
        .await?;
        run(client, "SET LOCAL search_path = pg_catalog").await?;
        Ok(opened)
    }
}

/// Why a lock-and-mark attempt ended.
enum Attempt {
    LockNotHad,
    Failed(OriginError),
}

impl From<OriginError> for Attempt {
    fn from(error: OriginError) -> Self {
        Attempt::Failed(error)
    }
}

async fn lock(client: &Client, sql: &str) -> Result<(), Attempt> {
    run(client, &format!("SET LOCAL lock_timeout = '{LOCK_WITHIN}'")).await?;
    match client.batch_execute(sql).await {
        Ok(()) => Ok(()),
        // lock_not_available, deadlock_detected
        Err(error)
            if error
                .code()
                .is_some_and(|state| ["55P03", "40P01"].contains(&state.code())) =>
        {
            Err(Attempt::LockNotHad)
        }
        Err(error) => Err(Attempt::Failed(failed(error))),
    }
}

async fn run(client: &Client, sql: &str) -> Result<(), OriginError> {
    client.batch_execute(sql).await.map_err(failed)
}

fn failed(error: tokio_postgres::Error) -> OriginError {
    from_sql(DOING, &error)
}

fn gone(name: &TableName) -> OriginError {
    refused(
        code::TABLE,
        format!(
            "table {name} is gone from the origin while it was to be copied; start again without it"
        ),
    )
}

async fn fetch_stream(
    client: &Client,
    rows: usize,
) -> Result<tokio_postgres::SimpleQueryStream, OriginError> {
    // The simple protocol: every value in its type's own output, as the stream prints it.
    client
        .simple_query_raw(&format!("FETCH {rows} FROM keylane_rows"))
        .await
        .map_err(failed)
}

/// The chunk's query. Rows are compared as wholes, so that an index on the key serves.
fn select(opened: &Opened, job: &Job) -> Result<String, OriginError> {
    let schema = &opened.schema;
    let list = |indices: &[usize]| -> String {
        let names: Vec<String> = indices
            .iter()
            .filter_map(|at| schema.columns.get(*at))
            .map(|column| quote_identifier(&column.name))
            .collect();
        names.join(", ")
    };
    let all: Vec<usize> = (0..schema.columns.len()).collect();
    let mut sql = format!("SELECT {} FROM {}", list(&all), from_item(&opened.table));
    if !schema.has_key() {
        return Ok(sql);
    }
    let key = list(&schema.key);
    if let Some(after) = &job.request.after {
        let bounds: Option<Vec<String>> = schema
            .key
            .iter()
            .zip(after)
            .map(|(at, value)| {
                let column = schema.columns.get(*at)?;
                Some(format!(
                    "{}::{}",
                    quote_literal(&value.as_sql_text()?),
                    column.type_name
                ))
            })
            .collect();
        let bounds = bounds
            .filter(|bounds| bounds.len() == schema.key.len())
            .ok_or_else(|| {
                refused(
                    code::SHAPE_CHANGED,
                    format!(
                        "the key of table {} changed while it was being copied; start its copy again",
                        schema.table
                    ),
                )
            })?;
        sql.push_str(&format!(" WHERE ({key}) > ({})", bounds.join(", ")));
    }
    sql.push_str(&format!(" ORDER BY {key} LIMIT {}", job.request.rows_max));
    Ok(sql)
}

fn row(opened: &Opened, cells: &SimpleQueryRow) -> Result<Row, OriginError> {
    opened
        .forms
        .iter()
        .enumerate()
        .map(|(at, form)| {
            let text = cells.try_get(at).map_err(failed)?;
            Ok(text.map_or(Value::Null, |text| form.value(text)))
        })
        .collect()
}

fn key_values(schema: &TableSchema, row: &Row) -> Vec<Value> {
    schema
        .key
        .iter()
        .filter_map(|at| row.get(*at).cloned())
        .collect()
}

fn size_bytes(row: &Row) -> usize {
    row.iter().map(Value::size_bytes).sum()
}

/// Hands some rows of a table without a key over; false if nobody wants them any more.
async fn hand_over(job: &Job, opened: &Opened, rows: Vec<Row>, last: bool) -> bool {
    let part = Part {
        schema: Arc::clone(&opened.schema),
        rows,
        next_after: if last { None } else { Some(Vec::new()) },
        last,
    };
    job.parts.send(Ok(part)).await.is_ok()
}
