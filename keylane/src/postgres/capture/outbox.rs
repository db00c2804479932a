//! Rows of outbox tables, written back: parked with the reason, or deleted once they are published.

use std::collections::BTreeMap;

use keylane_core::capture::{OriginError, OutboxRow, RefusedRow};
use keylane_core::model::TableName;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::error::from_sql;
use super::publication::quoted_table;
use super::session::quote_identifier;
use crate::preflight::Finding;

/// What must be right for these tables to be outboxes, and what stands in them: each with what was found and how to mend it.
///
/// # Errors
/// If the database does not answer.
pub async fn outbox_preflight(
    client: &Client,
    tables: &[TableName],
) -> Result<Vec<Finding>, OriginError> {
    let mut found = Vec::new();
    for table in tables {
        found.extend(look_at(client, table).await?);
    }
    Ok(found)
}

async fn look_at(client: &Client, table: &TableName) -> Result<Vec<Finding>, OriginError> {
    let failed = |error| from_sql("looking at an outbox", &error);
    let quoted = quoted_table(table);
    let rights = "SELECT to_regclass($1) IS NOT NULL, to_regclass($1) IS NOT NULL AND has_table_privilege($1, 'SELECT') AND has_table_privilege($1, 'INSERT')
        AND has_table_privilege($1, 'UPDATE') AND has_table_privilege($1, 'DELETE')";
    let rows = client.query_typed(rights, &[(&quoted, Type::TEXT)]).await;
    let rows = rows.map_err(failed)?;
    let row = rows.first();
    let told = |index| row.and_then(|row| row.try_get::<_, bool>(index).ok());
    if told(0) != Some(true) {
        let fix = "make it as docs/guides/outbox.md shows, or correct `outbox.tables`";
        return Ok(vec![Finding::failed(
            "outbox.table",
            table.to_string(),
            "is not there",
            fix,
        )]);
    }
    let may = told(1) == Some(true);
    let words = "rows may be read, parked and deleted";
    let rights = Finding::passed("outbox.rights", table.to_string(), words).unless(
        may,
        format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {quoted} TO the user of origin.postgres.url"
        ),
    );
    if !may {
        return Ok(vec![rights]);
    }
    let counts = format!(
        "SELECT count(*) FILTER (WHERE parked IS NOT NULL), count(*) FILTER (WHERE parked IS NULL AND time < clock_timestamp() - interval '1 minute') FROM {quoted}"
    );
    let mut all = vec![rights];
    // A table of other columns is told about elsewhere.
    if let Ok(rows) = client.query_typed(&counts, &[]).await {
        let count = |index| {
            rows.first()
                .and_then(|row| row.try_get::<_, i64>(index).ok())
        };
        let (parked, waiting) = (count(0).unwrap_or(0), count(1).unwrap_or(0));
        all.extend(standing(&table.to_string(), &quoted, parked, waiting));
    }
    Ok(all)
}

/// What is told of rows that stand in an outbox.
fn standing(table: &str, quoted: &str, parked: i64, waiting: i64) -> [Finding; 2] {
    [
        Finding::passed("outbox.parked", table, format!("{parked} rows are parked"))
            .unless(
                parked == 0,
                format!("SELECT seq, topic, parked FROM {quoted} WHERE parked IS NOT NULL; then mend and put them in again, or delete them"),
            )
            .warning(),
        Finding::passed("outbox.waiting", table, format!("{waiting} rows are older than a minute"))
            .unless(
                waiting == 0,
                "start the capture; rows that were committed before its slot was made are not told by the log: put them in again (docs/guides/outbox.md)",
            )
            .warning(),
    ]
}

/// Writes a row back with the reason under `parked`; whole, if its writer has deleted it.
pub(super) async fn park(client: &Client, refused: &RefusedRow) -> Result<(), OriginError> {
    let doing = "parking a row of the outbox";
    let reason = refused.refusal.to_string();
    let mut names = Vec::with_capacity(refused.cells.len());
    let mut marks = Vec::with_capacity(refused.cells.len());
    let mut values: Vec<Option<String>> = Vec::with_capacity(refused.cells.len());
    for (column, cell) in refused.schema.columns.iter().zip(&refused.cells) {
        values.push(match &*column.name {
            "parked" => Some(reason.clone()),
            _ => cell.as_sql_text().map(Into::into),
        });
        names.push(quote_identifier(&column.name));
        marks.push(format!("${}::text::{}", values.len(), column.type_name));
    }
    let sql = format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({}) ON CONFLICT (seq) DO UPDATE SET parked = EXCLUDED.parked",
        quoted_table(&refused.row.table),
        names.join(", "),
        marks.join(", ")
    );
    let parameters: Vec<(&(dyn ToSql + Sync), Type)> = values
        .iter()
        .map(|value| (value as &(dyn ToSql + Sync), Type::TEXT))
        .collect();
    client
        .query_typed(&sql, &parameters)
        .await
        .map_err(|error| from_sql(doing, &error))?;
    Ok(())
}

/// Deletes these rows.
pub(super) async fn purge(client: &Client, rows: &[OutboxRow]) -> Result<(), OriginError> {
    let doing = "deleting published rows of the outbox";
    let mut by_table: BTreeMap<&TableName, Vec<i64>> = BTreeMap::new();
    for row in rows {
        by_table.entry(&row.table).or_default().push(row.seq);
    }
    for (table, seqs) in by_table {
        let sql = format!(
            "DELETE FROM {} WHERE seq = ANY($1) AND parked IS NULL",
            quoted_table(table)
        );
        client
            .query_typed(&sql, &[(&seqs, Type::INT8_ARRAY)])
            .await
            .map_err(|error| from_sql(doing, &error))?;
    }
    Ok(())
}
