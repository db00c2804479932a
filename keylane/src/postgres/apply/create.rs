//! Creates tables at the replica from their shape at the origin, or adds the columns they lack.
//!
//! Columns, NOT NULL and the row key as primary key; no secondary unique constraints and no foreign keys. Those of the replica are the replica's choice:
//! tables are created one by one as their first change comes, which may be before their parents', and every constraint costs waiting in order. Who wants
//! them adds them; the stamps of changes keep their order.

use keylane_core::apply::ApplyError;
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Column, TableSchema};
use tokio_postgres::{Client, Transaction};

use super::catalog::{self, quoted};
use crate::postgres::error::apply_error;

/// Any number, the same for every process: who creates tables.
const ADVISORY_LOCK: i64 = 0x6b65_796c_616e_6502;

/// See [`keylane_core::apply::Replica::create_table`].
pub(super) async fn create_table(
    client: &mut Client,
    schema: &TableSchema,
) -> Result<(), ApplyError> {
    let doing = format!("creating the replica's table {}", schema.table);
    let at_rim = |error: tokio_postgres::Error| apply_error(&error, &doing);
    let transaction = client.transaction().await.map_err(at_rim)?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK])
        .await
        .map_err(at_rim)?;
    let there = catalog::table(transaction.client(), &schema.table)
        .await
        .map_err(at_rim)?;
    let lacks = |column: &&Column| {
        !column.generated
            && there
                .as_ref()
                .is_none_or(|there| !there.columns.iter().any(|found| found.name == *column.name))
    };
    let columns: Vec<&Column> = schema.columns.iter().filter(lacks).collect();
    for column in &columns {
        check_type(&transaction, schema, column).await?;
    }
    let table = format!(
        "{}.{}",
        quoted(&schema.table.schema),
        quoted(&schema.table.name)
    );
    let sql = if there.is_some() {
        if columns.is_empty() {
            return Ok(());
        }
        // Rows that are there have no value for them: nullable, whatever the origin says.
        let add = columns
            .iter()
            .map(|column| format!("ADD COLUMN {} {}", quoted(&column.name), column.type_name));
        format!("ALTER TABLE {table} {}", add.collect::<Vec<_>>().join(", "))
    } else {
        let namespace = quoted(&schema.table.schema);
        format!(
            "CREATE SCHEMA IF NOT EXISTS {namespace}; CREATE TABLE {table} ({})",
            definition(schema, &columns)
        )
    };
    transaction.batch_execute(&sql).await.map_err(at_rim)?;
    transaction.commit().await.map_err(at_rim)
}

fn definition(schema: &TableSchema, columns: &[&Column]) -> String {
    let mut parts: Vec<String> = columns
        .iter()
        .map(|column| {
            let required = if column.nullable { "" } else { " NOT NULL" };
            format!("{} {}{required}", quoted(&column.name), column.type_name)
        })
        .collect();
    let key: Vec<String> = schema
        .key
        .iter()
        .filter_map(|index| schema.columns.get(*index))
        .map(|column| quoted(&column.name))
        .collect();
    if !key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    parts.join(", ")
}

/// The name is parsed by the server as a type and nothing else, so what stands in a schema that came over the log cannot be other SQL.
async fn check_type(
    transaction: &Transaction<'_>,
    schema: &TableSchema,
    column: &Column,
) -> Result<(), ApplyError> {
    let missing = || {
        ApplyError::new(
            ApplyErrorKind::MissingObject,
            format!(
                "the replica has no type {} (column {} of {}): create the type, its extension or its schema there first, or create the table by hand",
                column.type_name, column.name, schema.table
            ),
        )
    };
    let known = transaction
        .query_one("SELECT to_regtype($1) IS NOT NULL", &[&&*column.type_name])
        .await
        .map_err(|error| match error.code().map(|code| code.code()) {
            Some(code)
                if code.starts_with("42") || code.starts_with("22") || code.starts_with("3F") =>
            {
                missing()
            }
            _ => apply_error(&error, "looking for a type at the replica"),
        })?;
    if known.get(0) { Ok(()) } else { Err(missing()) }
}
