//! An origin's tables as a plan of topics asks for them: keys, foreign keys, what a before image tells, and how often they change.

use std::collections::BTreeMap;
use std::sync::Arc;

use keylane_core::model::TableName;
use keylane_core::topics::{BeforeImage, Reference, Table};
use tokio_postgres::{Client, Error, Row};

/// The tables a user would mean by all, with the counters of what was changed since they were reset.
const TABLES: &str = "
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relreplident::text AS identity,
       greatest(c.reltuples, 0)::bigint AS rows,
       CASE WHEN c.reltuples > 0 THEN pg_relation_size(c.oid) / c.reltuples::float8 END AS row_bytes,
       ARRAY(SELECT a.attname::text FROM pg_index i, generate_series(0, i.indnkeyatts - 1) p, pg_attribute a
             WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid AND a.attnum = i.indkey[p] ORDER BY p) AS key,
       ARRAY(SELECT a.attname::text FROM pg_index i, generate_series(0, i.indnkeyatts - 1) p, pg_attribute a
             WHERE i.indrelid = c.oid AND i.indisreplident AND a.attrelid = c.oid AND a.attnum = i.indkey[p] ORDER BY p) AS told
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'keylane') AND c.relname NOT LIKE 'keylane\\_%'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 2, 3";

const FOREIGN_KEYS: &str = "
SELECT k.conrelid, pn.nspname::text AS schema, p.relname::text AS name, k.confdeltype = 'c' AS cascades,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o) AS parent_columns,
       (SELECT bool_and(a.attnotnull) FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)) AS required
FROM pg_constraint k JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conrelid, k.conkey, k.confrelid";

const COUNTS: &str = "
SELECT n.nspname::text AS schema, c.relname::text AS name,
       (SELECT sum(pg_stat_get_tuples_inserted(o) + pg_stat_get_tuples_updated(o) + pg_stat_get_tuples_deleted(o))::bigint
        FROM (SELECT c.oid AS o UNION SELECT relid FROM pg_partition_tree(c.oid)) t) AS changes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'keylane') AND c.relname NOT LIKE 'keylane\\_%'";

const SINCE: &str = "
SELECT extract(epoch FROM now() - coalesce(stats_reset, pg_postmaster_start_time()))::float8
FROM pg_stat_database WHERE datname = current_database()";

/// A table and what a row of it takes on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenTable {
    /// The table; its rate is not known yet.
    pub table: Table,
    /// Bytes of a row on disk, a mean.
    pub row_bytes: Option<f64>,
}

/// How many rows were inserted, updated and deleted, as the server counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// By table.
    pub changes: BTreeMap<TableName, i64>,
    /// Seconds since the server began to count.
    pub since_s: f64,
}

/// All tables that a pipeline could carry, by name.
///
/// # Errors
/// What the server says.
pub async fn describe(client: &Client) -> Result<Vec<SeenTable>, Error> {
    let mut tables: BTreeMap<u32, SeenTable> = BTreeMap::new();
    for row in client.query(TABLES, &[]).await? {
        tables.insert(row.try_get("oid")?, table(&row)?);
    }
    for row in client.query(FOREIGN_KEYS, &[]).await? {
        if let Some(seen) = tables.get_mut(&row.try_get("conrelid")?) {
            seen.table.references.push(reference(&row)?);
        }
    }
    let mut tables: Vec<SeenTable> = tables.into_values().collect();
    tables.sort_by(|one, other| one.table.name.cmp(&other.table.name));
    Ok(tables)
}

/// What was changed up to now. A server tells changes of other sessions up to a second late.
///
/// # Errors
/// What the server says.
pub async fn counts(client: &Client) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    for row in client.query(COUNTS, &[]).await? {
        let changes: Option<i64> = row.try_get("changes")?;
        counts.changes.insert(name(&row)?, changes.unwrap_or(0));
    }
    let since = client.query_opt(SINCE, &[]).await?;
    let since: Option<f64> = since.map(|row| row.try_get(0)).transpose()?.flatten();
    counts.since_s = since.unwrap_or_default();
    Ok(counts)
}

/// Connections that the server takes, those kept for superusers left out, and those that are open.
///
/// # Errors
/// What the server says.
pub async fn connections(client: &Client) -> Result<(i64, i64), Error> {
    let sql = "SELECT current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8,
                      (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')";
    let row = client.query_one(sql, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

fn name(row: &Row) -> Result<TableName, Error> {
    let (schema, name): (String, String) = (row.try_get("schema")?, row.try_get("name")?);
    Ok(TableName::new(schema, name))
}

fn texts(row: &Row, column: &str) -> Result<Vec<Arc<str>>, Error> {
    let texts: Vec<String> = row.try_get(column)?;
    Ok(texts.into_iter().map(Arc::from).collect())
}

fn table(row: &Row) -> Result<SeenTable, Error> {
    let identity: String = row.try_get("identity")?;
    let primary = texts(row, "key")?;
    let told = texts(row, "told")?;
    let rows: i64 = row.try_get("rows")?;
    let (key, before) = match &*identity {
        "f" => (primary, BeforeImage::Whole),
        // As capture has it: the index is the row key unless it holds the primary key.
        "i" if primary.is_empty() || !primary.iter().all(|name| told.contains(name)) => {
            (told.clone(), BeforeImage::Columns(told))
        }
        "i" => (primary, BeforeImage::Columns(told)),
        _ => (primary.clone(), BeforeImage::Columns(primary)),
    };
    Ok(SeenTable {
        row_bytes: row.try_get("row_bytes")?,
        table: Table {
            name: name(row)?,
            key,
            references: Vec::new(),
            before,
            rows: u64::try_from(rows).ok(),
            rate: None,
        },
    })
}

fn reference(row: &Row) -> Result<Reference, Error> {
    let required: Option<bool> = row.try_get("required")?;
    Ok(Reference {
        columns: texts(row, "columns")?,
        parent: name(row)?,
        parent_columns: texts(row, "parent_columns")?,
        required: required.unwrap_or(false),
        cascades: row.try_get("cascades")?,
    })
}
