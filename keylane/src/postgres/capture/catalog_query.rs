//! Reads tables from the catalog.

use std::collections::{BTreeMap, BTreeSet};

use keylane_core::capture::OriginError;
use keylane_core::model::TableName;
use tokio_postgres::{Client, Row};

use super::catalog::{CatalogColumn, CatalogForeignKey, CatalogTable};
use super::error::from_sql;
use super::text::TextForm;

const TABLES: &str = "
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relpersistence::text AS persistence, c.relreplident::text AS identity,
       ARRAY(SELECT quote_ident(pn.nspname) || '.' || quote_ident(p.relname)
             FROM pg_partition_tree(c.oid) t JOIN pg_class p ON p.oid = t.relid JOIN pg_namespace pn ON pn.oid = p.relnamespace
             WHERE c.relkind = 'p' AND t.isleaf AND p.relreplident <> c.relreplident ORDER BY 1) AS deviating
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace";

/// Every table a user would mean by all.
const ALL: &str = "
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'keylane') AND c.relname NOT LIKE 'keylane\\_%'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";

const NAMED: &str = "
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (n.nspname, c.relname) IN (SELECT * FROM unnest($1::text[], $2::text[]))";

const COLUMNS: &str = "
SELECT a.attrelid, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type_name, NOT a.attnotnull AS nullable,
       a.attgenerated <> '' AS generated,
       a.atthasdef OR a.attidentity <> '' OR a.atthasmissing OR EXISTS (
         SELECT 1 FROM pg_partition_tree(a.attrelid) t JOIN pg_attribute l ON l.attrelid = t.relid
         WHERE l.attname = a.attname AND l.atthasmissing) AS filled,
       (WITH RECURSIVE b(type, below) AS (
          SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
          UNION ALL SELECT t.oid, t.typbasetype FROM b JOIN pg_type t ON t.oid = b.below)
        SELECT type FROM b WHERE below = 0) AS base
FROM pg_attribute a WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

/// Unique indexes that hold for every row: neither partial nor over expressions.
const INDEXES: &str = "
SELECT i.indrelid, i.indisprimary AS is_primary, i.indisreplident AS is_identity,
       ARRAY(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) p
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p] ORDER BY p) AS columns
FROM pg_index i
WHERE i.indrelid = ANY ($1) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY i.indexrelid";

const FOREIGN_KEYS: &str = "
SELECT k.conrelid, k.confrelid, cn.nspname::text AS child_schema, c.relname::text AS child_name,
       pn.nspname::text AS parent_schema, p.relname::text AS parent_name,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, o)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.o) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, o)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.o) AS parent_columns
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY ($1) OR k.confrelid = ANY ($1))
ORDER BY k.conrelid, k.conkey, k.confrelid, k.confkey";

/// Which tables to read.
pub(super) enum Which<'a> {
    /// Every table a user would mean by all.
    All,
    /// These; those that do not exist are left out of the answer.
    Named(&'a [TableName]),
    /// One by oid, with foreign keys from and to these.
    One(u32, &'a BTreeSet<TableName>),
}

/// The tables as they are now, by name.
pub(super) async fn read(
    client: &Client,
    which: Which<'_>,
) -> Result<Vec<CatalogTable>, OriginError> {
    let failed = |error| from_sql("reading the catalog", &error);
    let rows = match &which {
        Which::All => client.query(&format!("{TABLES} {ALL}"), &[]).await,
        Which::Named(names) => {
            let schemas: Vec<&str> = names.iter().map(|name| &*name.schema).collect();
            let tables: Vec<&str> = names.iter().map(|name| &*name.name).collect();
            client
                .query(&format!("{TABLES} {NAMED}"), &[&schemas, &tables])
                .await
        }
        Which::One(oid, _) => {
            client
                .query(&format!("{TABLES} WHERE c.oid = $1"), &[oid])
                .await
        }
    }
    .map_err(failed)?;
    let mut tables = BTreeMap::new();
    for row in &rows {
        let table = table(row).map_err(failed)?;
        tables.insert(table.oid, table);
    }
    let captured = match which {
        Which::One(_, captured) => captured.clone(),
        _ => tables.values().map(|table| table.name.clone()).collect(),
    };
    let oids: Vec<u32> = tables.keys().copied().collect();
    for row in client.query(COLUMNS, &[&oids]).await.map_err(failed)? {
        add_column(&mut tables, &row).map_err(failed)?;
    }
    for row in client.query(INDEXES, &[&oids]).await.map_err(failed)? {
        add_index(&mut tables, &row).map_err(failed)?;
    }
    for row in client.query(FOREIGN_KEYS, &[&oids]).await.map_err(failed)? {
        add_foreign_key(&mut tables, &captured, &row).map_err(failed)?;
    }
    let mut tables: Vec<CatalogTable> = tables.into_values().collect();
    tables.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(tables)
}

/// The declared types in SQL and how their values are told, of columns that the catalog may no longer have.
pub(super) async fn type_names(
    client: &Client,
    type_oids: &[u32],
    type_modifiers: &[i32],
) -> Result<Vec<(String, TextForm)>, OriginError> {
    const TYPES: &str = "
SELECT format_type(u.type, u.modifier), (WITH RECURSIVE b(type, below) AS (
         SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = u.type
         UNION ALL SELECT t.oid, t.typbasetype FROM b JOIN pg_type t ON t.oid = b.below)
       SELECT type FROM b WHERE below = 0)
FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY u(type, modifier, place) ORDER BY place";
    let failed = |error| from_sql("reading types' names", &error);
    let rows = client
        .query(TYPES, &[&type_oids, &type_modifiers])
        .await
        .map_err(failed)?;
    rows.iter()
        .map(|row| {
            let base: Option<u32> = row.try_get(1).map_err(failed)?;
            let form = TextForm::of(base.unwrap_or_default());
            Ok((row.try_get(0).map_err(failed)?, form))
        })
        .collect()
}

type Fetched<T> = Result<T, tokio_postgres::Error>;

fn table(row: &Row) -> Fetched<CatalogTable> {
    let letter = |column: &str| -> Fetched<u8> {
        let text: String = row.try_get(column)?;
        Ok(text.bytes().next().unwrap_or_default())
    };
    Ok(CatalogTable {
        oid: row.try_get("oid")?,
        name: TableName::new(
            row.try_get::<_, String>("schema")?,
            row.try_get::<_, String>("name")?,
        ),
        kind: letter("kind")?,
        persistence: letter("persistence")?,
        replica_identity: letter("identity")?,
        deviating_partitions: row.try_get("deviating")?,
        columns: Vec::new(),
        generated: BTreeSet::new(),
        primary: None,
        identity_index: None,
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        referenced: Vec::new(),
    })
}

fn add_column(tables: &mut BTreeMap<u32, CatalogTable>, row: &Row) -> Fetched<()> {
    let Some(table) = tables.get_mut(&row.try_get("attrelid")?) else {
        return Ok(());
    };
    let name: String = row.try_get("name")?;
    if row.try_get("generated")? {
        table.generated.insert(name);
        return Ok(());
    }
    let base: Option<u32> = row.try_get("base")?;
    table.columns.push(CatalogColumn {
        name,
        type_name: row.try_get("type_name")?,
        form: TextForm::of(base.unwrap_or_default()),
        nullable: row.try_get("nullable")?,
        filled: row.try_get("filled")?,
    });
    Ok(())
}

fn add_index(tables: &mut BTreeMap<u32, CatalogTable>, row: &Row) -> Fetched<()> {
    let Some(table) = tables.get_mut(&row.try_get("indrelid")?) else {
        return Ok(());
    };
    let columns: Vec<String> = row.try_get("columns")?;
    if row.try_get("is_identity")? {
        table.identity_index = Some(columns.clone());
    }
    if row.try_get("is_primary")? {
        table.primary = Some(columns);
    } else {
        table.uniques.push(columns);
    }
    Ok(())
}

fn add_foreign_key(
    tables: &mut BTreeMap<u32, CatalogTable>,
    captured: &BTreeSet<TableName>,
    row: &Row,
) -> Fetched<()> {
    let name = |schema: &str, name: &str| -> Fetched<TableName> {
        Ok(TableName::new(
            row.try_get::<_, String>(schema)?,
            row.try_get::<_, String>(name)?,
        ))
    };
    let child = name("child_schema", "child_name")?;
    let parent = name("parent_schema", "parent_name")?;
    if !captured.contains(&child) || !captured.contains(&parent) {
        return Ok(());
    }
    let parent_columns: Vec<String> = row.try_get("parent_columns")?;
    if let Some(table) = tables.get_mut(&row.try_get("confrelid")?) {
        table.referenced.push(parent_columns.clone());
    }
    if let Some(table) = tables.get_mut(&row.try_get("conrelid")?) {
        table.foreign_keys.push(CatalogForeignKey {
            columns: row.try_get("columns")?,
            parent,
            parent_columns,
        });
    }
    Ok(())
}
