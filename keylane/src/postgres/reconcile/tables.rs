//! A table as the catalog has it: columns by the type below their domains, what puts them in order, and the key.

use std::sync::Arc;

use keylane_core::model::TableName;
use keylane_core::reconcile::{SideColumn, SideTable};
use tokio_postgres::{Client, Error};

/// Enumerations are put in order as their labels were declared, texts by a collation, which each version of a library has its own of.
const COLUMNS: &str = "
SELECT a.attname::text AS name, a.attgenerated <> '' AS generated,
       format_type(b.oid, CASE WHEN b.oid = a.atttypid THEN a.atttypmod ELSE b.typmod END) AS type_name,
       CASE WHEN t.typtype = 'e' THEN (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)
            WHEN a.attcollation = 0 THEN NULL
            WHEN o.collname = 'default' AND d.datcollate IN ('C', 'POSIX') AND coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' THEN 'C'
            WHEN o.collname = 'default' THEN concat_ws(' ', to_jsonb(d) ->> 'datlocprovider', d.datcollate, to_jsonb(d) ->> 'daticulocale',
                 to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticurules', to_jsonb(d) ->> 'datcollversion')
            WHEN o.collname IN ('C', 'POSIX') THEN 'C'
            ELSE concat_ws(' ', o.collprovider, o.collcollate, to_jsonb(o) ->> 'colliculocale', to_jsonb(o) ->> 'colllocale', o.collisdeterministic, o.collversion)
       END AS collation
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_database d ON d.datname = current_database()
LEFT JOIN pg_collation o ON o.oid = a.attcollation
CROSS JOIN LATERAL (
    WITH RECURSIVE base AS (
        SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, -1 AS typmod FROM pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod, base.typtypmod FROM pg_type t JOIN base ON base.typtype = 'd' AND t.oid = base.typbasetype)
    SELECT oid, typmod FROM base WHERE typtype <> 'd') b
JOIN pg_type t ON t.oid = b.oid
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY a.attnum";

/// What tells rows apart: the primary key, as capture has it the replica identity's index where that does not hold the primary key, or a unique index without NULLs.
const KEY: &str = "
SELECT ARRAY(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) p
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p] ORDER BY p) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT 1 FROM generate_series(0, i.indnkeyatts - 1) p JOIN pg_attribute a
                  ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p] AND NOT a.attnotnull)
ORDER BY (c.relreplident = 'i' AND i.indisreplident AND NOT EXISTS (
            SELECT 1 FROM pg_index k WHERE k.indrelid = c.oid AND k.indisprimary AND k.indkey::int2[] <@ i.indkey::int2[])) DESC,
         i.indisprimary DESC, i.indnkeyatts, i.indexrelid
LIMIT 1";

/// The table; `None` if it is not there.
pub(super) async fn table(client: &Client, name: &TableName) -> Result<Option<SideTable>, Error> {
    let names = [&&*name.schema as _, &&*name.name as _];
    let rows = client.query(COLUMNS, &names).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let text = |row: &tokio_postgres::Row, column: &str| -> Result<Option<Arc<str>>, Error> {
        let text: Option<String> = row.try_get(column)?;
        Ok(text.map(Arc::from))
    };
    let mut columns = Vec::with_capacity(rows.len());
    for row in &rows {
        columns.push(SideColumn {
            name: text(row, "name")?.unwrap_or_default(),
            type_name: text(row, "type_name")?.unwrap_or_default(),
            collation: text(row, "collation")?,
            generated: row.try_get("generated")?,
        });
    }
    let key = client.query_opt(KEY, &names).await?;
    let key: Vec<String> = key.map_or(Ok(Vec::new()), |row| row.try_get("columns"))?;
    Ok(Some(SideTable {
        name: name.clone(),
        columns,
        key: key.into_iter().map(Arc::from).collect(),
    }))
}
