//! The side.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::model::{Row, TableName, Value};
use keylane_core::reconcile::{
    Checksum, Key, Kind, Range, Scanned, Side, SideError, SideErrorKind, SideTable, TablePlan,
    Which,
};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::super::capture::text::TextForm;
use super::super::connect::{
    ConnectError, ConnectErrorKind, ConnectOptions, connect, is_connection_lost, redacted,
};
use super::checksum;
use super::scan::{self, Failure};
use super::sql;
use super::tables;

/// Operators are found wherever an extension put them, a filter's functions where its user expects them, and no path changes how values are printed. Rows are wanted by an index: one sort for each
/// read would read the table once for each.
const SESSION: &str = "
SELECT set_config('search_path', concat_ws(', ', 'pg_catalog', (
  SELECT string_agg(DISTINCT quote_ident(n.nspname), ', ') FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
  JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE m.amname = 'btree' AND n.nspname NOT IN ('pg_catalog', 'public')), '\"$user\"', 'public'), false);
SET enable_sort = off; SET enable_bitmapscan = off; SET default_transaction_read_only = on; SET jit = off";

/// Needs no right, holds nobody up, and ends with its connection.
const CLAIM: &str = "SELECT pg_try_advisory_lock(hashtextextended('keylane reconcile ' || $1, 0))";

/// As the server last counted, with the partitions of a partitioned table.
const ESTIMATE: &str = "
SELECT CASE WHEN bool_or(c.reltuples >= 0) THEN sum(greatest(c.reltuples, 0))::int8 END FROM pg_class c
WHERE c.oid IN (SELECT t.relid FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace, pg_partition_tree(r.oid) t
                WHERE n.nspname = $1 AND r.relname = $2 AND t.isleaf
                UNION SELECT r.oid FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace WHERE n.nspname = $1 AND r.relname = $2 AND r.relkind = 'r')";

/// A database to compare.
pub struct PostgresSide {
    url: String,
    which: Which,
    filter: Option<String>,
    client: Option<Arc<Client>>,
}

impl PostgresSide {
    /// The origin of a comparison. Connects when it is asked for something. `filter`: a condition in SQL; rows for which it is not true do not count.
    pub fn origin(url: impl Into<String>, filter: Option<String>) -> Self {
        PostgresSide::new(Which::Origin, url.into(), filter)
    }

    /// The replica of one.
    pub fn replica(url: impl Into<String>, filter: Option<String>) -> Self {
        PostgresSide::new(Which::Replica, url.into(), filter)
    }

    fn new(which: Which, url: String, filter: Option<String>) -> Self {
        PostgresSide {
            url,
            which,
            filter,
            client: None,
        }
    }

    pub(super) fn which(&self) -> Which {
        self.which
    }

    pub(super) fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    pub(super) async fn client(&mut self) -> Result<&Arc<Client>, SideError> {
        let ended = self.client.as_ref().is_some_and(|it| it.is_closed());
        let client = match self.client.take().filter(|_| !ended) {
            Some(client) => client,
            None => Arc::new(self.connect().await?),
        };
        Ok(self.client.insert(client))
    }

    async fn connect(&self) -> Result<Client, SideError> {
        let options = ConnectOptions {
            lock_timeout: Some(Duration::from_secs(5)),
            ..ConnectOptions::default()
        };
        let client = connect(&self.url, "keylane reconcile", &options).await;
        let client = client.map_err(|error| from_connect(&error))?;
        let set = client.batch_execute(SESSION).await;
        set.map_err(|error| self.failed("preparing to read", &error))?;
        Ok(client)
    }

    pub(super) fn failed(&self, doing: &str, error: &Error) -> SideError {
        failed(&self.url, doing, error)
    }
}

/// What the server says, without a row's values.
pub(super) fn failed(url: &str, doing: &str, error: &Error) -> SideError {
    let said = match error.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => error.to_string(),
    };
    let kind = match error.code().map(|code| code.code()) {
        _ if is_connection_lost(error) => SideErrorKind::Unreachable,
        Some("55P03" | "40P01" | "40001" | "57014") => SideErrorKind::Busy,
        Some("42501") => SideErrorKind::Denied,
        Some("42P01" | "42703" | "42804" | "42883" | "0A000") => SideErrorKind::Table,
        _ => SideErrorKind::Other,
    };
    SideError {
        kind,
        message: format!("{doing} at {}: {said}", redacted(url)),
    }
}

pub(super) fn from_connect(error: &ConnectError) -> SideError {
    SideError {
        kind: match error.kind {
            ConnectErrorKind::Unreachable => SideErrorKind::Unreachable,
            ConnectErrorKind::Denied => SideErrorKind::Denied,
            ConnectErrorKind::BadUrl => SideErrorKind::Other,
        },
        message: error.message.clone(),
    }
}

#[async_trait]
impl Side for PostgresSide {
    async fn table(&mut self, name: &TableName) -> Result<Option<SideTable>, SideError> {
        let table = tables::table(self.client().await?, name).await;
        table.map_err(|error| self.failed(&format!("reading the shape of {name}"), &error))
    }

    async fn claim(&mut self, name: &TableName) -> Result<bool, SideError> {
        let (client, table) = (self.client().await?.clone(), name.to_string());
        let taken = client.query_one(CLAIM, &[&table]).await;
        let taken = taken.and_then(|row| row.try_get(0));
        taken.map_err(|error| self.failed(&format!("taking {name} for a comparison"), &error))
    }

    async fn count(&mut self, name: &TableName) -> Result<u64, SideError> {
        let wanted = match &self.filter {
            None => String::new(),
            Some(filter) => format!(" WHERE ({filter})"),
        };
        let sql = format!("SELECT count(*) FROM {}{wanted}", sql::quoted_table(name));
        let counted = self.client().await?.query_one(&sql, &[]).await;
        let count: Result<i64, Error> = counted.and_then(|row| row.try_get(0));
        let count = count.map_err(|error| self.failed(&format!("counting {name}"), &error))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn estimate(&mut self, name: &TableName) -> Result<Option<u64>, SideError> {
        let names = [&&*name.schema as _, &&*name.name as _];
        let asked = self.client().await?.query_one(ESTIMATE, &names).await;
        let rows: Result<Option<i64>, Error> = asked.and_then(|row| row.try_get(0));
        let rows = rows.map_err(|error| self.failed(&format!("asking about {name}"), &error))?;
        Ok(rows.and_then(|rows| u64::try_from(rows).ok()))
    }

    async fn scan(
        &mut self,
        plan: &TablePlan,
        range: &Range,
        bounds: (usize, usize),
    ) -> Result<Scanned, SideError> {
        let sql = sql::scan(self.which, plan, self.filter.as_deref(), range, bounds.0);
        let (client, asked) = (self.client().await?.clone(), plan.clone());
        // In a task: it then wakes beside the connection's own, where a thread that blocks would be woken for every few rows. It ends with this call.
        let mut reading = JoinSet::new();
        reading.spawn(async move { scan::read(&client, &sql, &asked, bounds).await });
        let scanned = match reading.join_next().await {
            Some(Ok(scanned)) => scanned,
            Some(Err(_)) | None => Err(Failure::Garbled),
        };
        let doing = || format!("reading {}", sql::table(self.which, plan));
        scanned.map_err(|failure| match failure {
            Failure::Sql(error) => self.failed(&doing(), &error),
            Failure::Garbled => SideError {
                kind: SideErrorKind::Other,
                message: format!(
                    "{} at {}: the rows cannot be read",
                    doing(),
                    redacted(&self.url)
                ),
            },
        })
    }

    async fn rows(&mut self, plan: &TablePlan, keys: &[Key]) -> Result<Vec<Row>, SideError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let sql = sql::rows(self.which, plan, self.filter.as_deref(), keys);
        let which = self.which;
        let read = read_rows(self.client().await?, &sql, which, plan).await;
        read.map_err(|error| {
            self.failed(
                &format!("reading {} by key", sql::table(which, plan)),
                &error,
            )
        })
    }

    fn has_checksum(&self, plan: &TablePlan) -> bool {
        checksum::has_checksum(plan)
    }

    async fn key_at(
        &mut self,
        plan: &TablePlan,
        range: &Range,
        rows: usize,
    ) -> Result<Option<Key>, SideError> {
        checksum::key_at(self, plan, range, rows).await
    }

    async fn checksum(&mut self, plan: &TablePlan, range: &Range) -> Result<Checksum, SideError> {
        checksum::checksum(self, plan, range).await
    }
}

pub(super) async fn read_rows(
    client: &Client,
    sql: &str,
    which: Which,
    plan: &TablePlan,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    // The simple protocol: every value in its type's own output, as the stream prints it.
    for message in client.simple_query(sql).await? {
        let SimpleQueryMessage::Row(cells) = message else {
            continue;
        };
        let columns = plan.columns.iter().enumerate();
        let row: Result<Row, Error> = columns
            .map(|(place, column)| {
                let form = form(which.kind(column));
                let text = cells.try_get(place)?;
                Ok(text.map_or(Value::Null, |text| form.value(text)))
            })
            .collect();
        rows.push(row?);
    }
    Ok(rows)
}

/// As capture tells it.
pub(super) fn form(kind: Kind) -> TextForm {
    match kind {
        Kind::Boolean => TextForm::Bool,
        Kind::Integer => TextForm::Integer,
        Kind::Float32 | Kind::Float64 => TextForm::Float,
        _ => TextForm::Text,
    }
}
