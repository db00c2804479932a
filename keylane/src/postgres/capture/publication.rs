//! The publication: what it publishes, created or completed where it may be, refused where somebody else's choices would leave changes out.

use std::collections::BTreeSet;

use keylane_core::capture::OriginError;
use keylane_core::model::TableName;
use tokio_postgres::Client;

use super::PostgresOriginConfig;
use super::catalog::CatalogTable;
use super::error::{code, from_sql, lost, refused};
use super::session::quote_identifier;

/// A publication as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Publication {
    /// Whether inserts, updates, deletes and truncates are all published.
    pub publishes_all: bool,
    /// Whether changes of partitions are told as their root's.
    pub via_root: bool,
    /// The tables it publishes.
    pub tables: BTreeSet<TableName>,
    /// Tables of which it leaves out rows or columns.
    pub narrowed: Vec<TableName>,
}

/// The publication, `None` if there is none of this name.
pub(super) async fn read(client: &Client, name: &str) -> Result<Option<Publication>, OriginError> {
    let failed = |error| from_sql("reading the publication", &error);
    let row = client
        .query_opt(
            "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot, current_setting('server_version_num')::int
             FROM pg_publication WHERE pubname = $1",
            &[&name],
        )
        .await
        .map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    let version: i32 = row.try_get(2).map_err(failed)?;
    let tables = names(
        client,
        "SELECT schemaname::text, tablename::text FROM pg_publication_tables WHERE pubname = $1",
        name,
    )
    .await?;
    let narrowed = if version >= 150_000 {
        names(
            client,
            "SELECT n.nspname::text, c.relname::text FROM pg_publication_rel r
             JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE p.pubname = $1 AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)",
            name,
        )
        .await?
    } else {
        Vec::new()
    };
    Ok(Some(Publication {
        publishes_all: row.try_get(0).map_err(failed)?,
        via_root: row.try_get(1).map_err(failed)?,
        tables: tables.into_iter().collect(),
        narrowed,
    }))
}

async fn names(client: &Client, sql: &str, name: &str) -> Result<Vec<TableName>, OriginError> {
    let failed = |error| from_sql("reading the publication's tables", &error);
    let rows = client.query(sql, &[&name]).await.map_err(failed)?;
    rows.iter()
        .map(|row| {
            let part = |index| row.try_get::<_, String>(index).map_err(failed);
            Ok(TableName::new(part(0)?, part(1)?))
        })
        .collect()
}

/// Sees to it that the publication publishes every change of these tables.
///
/// What was published before and is not any more has left changes out meanwhile, so it is not mended in silence.
pub(super) async fn ensure(
    client: &Client,
    config: &PostgresOriginConfig,
    tables: &[CatalogTable],
) -> Result<(), OriginError> {
    let name = &config.publication;
    let wanted: Vec<&CatalogTable> = tables.iter().collect();
    let Some(found) = read(client, name).await? else {
        if config.published_up_to > 0 || config.expected_identity.is_some() {
            return Err(left_out(format!("publication {name} is gone")));
        }
        return run(client, &create_sql(name, &wanted)).await;
    };
    if let Some((found, fix)) = problem(name, &found, tables) {
        return Err(refused(code::PUBLICATION, format!("{found}; {fix}")));
    }
    if !found.via_root && tables.iter().any(|table| table.kind == b'p') {
        run(
            client,
            &format!(
                "ALTER PUBLICATION {} SET (publish_via_partition_root = true)",
                quote_identifier(name)
            ),
        )
        .await?;
    }
    let missing: Vec<&CatalogTable> = tables
        .iter()
        .filter(|table| !found.tables.contains(&table.name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let known = |table: &TableName| {
        config
            .known_schemas
            .iter()
            .any(|schema| schema.table == *table)
    };
    if let Some(table) = missing.iter().find(|table| known(&table.name)) {
        return Err(left_out(format!(
            "table {} was taken out of publication {name}",
            table.name
        )));
    }
    run(client, &add_sql(name, &missing)).await
}

fn left_out(what: String) -> OriginError {
    lost(
        code::PUBLICATION,
        format!(
            "{what}, so that its changes since then are not told; {}",
            super::slot::WAYS_OUT
        ),
    )
}

/// What the publication leaves out by somebody's choice, and the mend.
pub(super) fn problem(
    name: &str,
    found: &Publication,
    tables: &[CatalogTable],
) -> Option<(String, String)> {
    let quoted = quote_identifier(name);
    if !found.publishes_all {
        return Some((
            format!("publication {name} leaves some kinds of changes out"),
            format!(
                "run: ALTER PUBLICATION {quoted} SET (publish = 'insert, update, delete, truncate');"
            ),
        ));
    }
    let narrowed = tables
        .iter()
        .find(|table| found.narrowed.contains(&table.name))?;
    Some((
        format!(
            "publication {name} leaves rows or columns of {} out (a row filter or a column list)",
            narrowed.name
        ),
        format!(
            "run: ALTER PUBLICATION {quoted} DROP TABLE {table}; ALTER PUBLICATION {quoted} ADD TABLE {table};",
            table = quoted_table(&narrowed.name)
        ),
    ))
}

/// The statement that creates it.
pub(super) fn create_sql(name: &str, tables: &[&CatalogTable]) -> String {
    format!(
        "CREATE PUBLICATION {} FOR TABLE {} WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)",
        quote_identifier(name),
        listed(tables)
    )
}

/// The statement that adds tables to it.
pub(super) fn add_sql(name: &str, tables: &[&CatalogTable]) -> String {
    format!(
        "ALTER PUBLICATION {} ADD TABLE {}",
        quote_identifier(name),
        listed(tables)
    )
}

async fn run(client: &Client, sql: &str) -> Result<(), OriginError> {
    match client.batch_execute(sql).await {
        // duplicate_object: another capturer was faster.
        Err(error) if error.code().is_some_and(|state| state.code() == "42710") => Ok(()),
        Err(error) => {
            let mut error = from_sql("creating or completing the publication", &error);
            if error.code == code::RIGHTS {
                error
                    .message
                    .push_str(&format!("; have the tables' owner run: {sql};"));
            }
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

fn listed(tables: &[&CatalogTable]) -> String {
    let names: Vec<String> = tables.iter().map(|table| from_item(table)).collect();
    names.join(", ")
}

/// The table as a statement names it: without the tables that inherit from it, which are tables of their own; a partitioned table with its partitions.
pub(super) fn from_item(table: &CatalogTable) -> String {
    let only = if table.kind == b'p' { "" } else { "ONLY " };
    format!("{only}{}", quoted_table(&table.name))
}

/// The table's name, quoted.
pub(super) fn quoted_table(name: &TableName) -> String {
    format!(
        "{}.{}",
        quote_identifier(&name.schema),
        quote_identifier(&name.name)
    )
}
