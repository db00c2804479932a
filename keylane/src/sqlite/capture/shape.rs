//! Which tables are captured, and their shapes: read, checked, and put parents first.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use keylane_core::capture::{OriginError, OriginErrorKind};
use keylane_core::model::TableSchema;
use rusqlite::Connection;

use super::super::names::rowid_name;
use super::super::table::{self, TableKind};
use super::error::{NOT_CAPTURABLE, error, from_sqlite};
use super::origin::SqliteOriginOptions;

/// Old and new row stand side by side in the change table, and SQLite allows 2000 columns.
const COLUMNS_MAX: usize = 990;

/// The captured tables as they are now, parents before children where foreign keys allow.
pub(super) fn captured(
    connection: &Connection,
    options: &SqliteOriginOptions,
) -> Result<Vec<TableSchema>, OriginError> {
    let path = &options.path;
    let explain = |cause: rusqlite::Error| from_sqlite(path, &cause);
    let there = table::all(connection).map_err(explain)?;
    let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
    match &options.tables {
        None => names.extend(
            there
                .iter()
                .filter(|(_, kind)| **kind == TableKind::Plain)
                .map(|(name, _)| Arc::clone(name)),
        ),
        Some(asked) => {
            for asked in asked {
                let found = there
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(asked));
                match found {
                    Some((name, TableKind::Plain)) => names.insert(Arc::clone(name)),
                    Some((name, TableKind::Other)) => {
                        return Err(refused(
                            path,
                            format_args!(
                                "{name} is a view or a virtual table, which fire no triggers for their rows: capture the tables below it"
                            ),
                        ));
                    }
                    None => {
                        return Err(refused(path, format_args!("there is no table {asked}")));
                    }
                };
            }
        }
    }
    for asked in &options.outboxes {
        // Its usual name is among those that are Keylane's own.
        let found = table::plain_named(connection, asked).map_err(explain)?;
        let found = found.ok_or_else(|| {
            refused(
                path,
                format_args!("there is no outbox table {asked}: make it (docs/guides/outbox.md)"),
            )
        })?;
        names.insert(found);
    }
    let references = table::foreign_keys(connection).map_err(explain)?;
    let mut schemas = Vec::with_capacity(names.len());
    for name in names {
        let order_by = options.order_keys.get(&*name).map(Vec::as_slice);
        let schema = table::shape(connection, &name, order_by, &references).map_err(explain)?;
        let Some(schema) = schema else { continue };
        check(path, &schema, order_by)?;
        schemas.push(schema);
    }
    Ok(parents_first(schemas))
}

fn check(
    path: &Path,
    schema: &TableSchema,
    order_by: Option<&[String]>,
) -> Result<(), OriginError> {
    let name = &schema.table.name;
    if schema.columns.len() > COLUMNS_MAX {
        return Err(refused(
            path,
            format_args!("table {name} has more than {COLUMNS_MAX} columns"),
        ));
    }
    if let Some(missing) = order_by
        .unwrap_or_default()
        .iter()
        .find(|column| schema.column_index(column).is_none())
    {
        return Err(refused(
            path,
            format_args!("the order key of table {name} names a column {missing} that it lacks"),
        ));
    }
    let columns = schema.columns.iter().map(|column| &*column.name);
    if !schema.has_key() && rowid_name(columns).is_none() {
        return Err(refused(
            path,
            format_args!(
                "table {name} has no primary key, and its columns hide the row number: give it a primary key"
            ),
        ));
    }
    Ok(())
}

fn refused(path: &Path, words: std::fmt::Arguments<'_>) -> OriginError {
    error(OriginErrorKind::Refused, NOT_CAPTURABLE, path, words)
}

/// Parents before children; tables of a cycle in their names' order.
fn parents_first(mut waiting: Vec<TableSchema>) -> Vec<TableSchema> {
    let mut placed: Vec<TableSchema> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let free = waiting.iter().position(|schema| {
            schema.references.iter().all(|reference| {
                reference.parent == schema.table
                    || !waiting.iter().any(|other| other.table == reference.parent)
            })
        });
        placed.push(waiting.remove(free.unwrap_or(0)));
    }
    placed
}
