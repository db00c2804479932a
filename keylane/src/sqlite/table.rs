//! A table as SQLite describes it, in the words of its pragmas.

use std::collections::BTreeMap;
use std::sync::Arc;

use keylane_core::model::{Column, ForeignKey, SchemaId, TableName, TableSchema};
use rusqlite::{Connection, OptionalExtension as _};

use super::names::{MAIN, is_reserved};

/// What a name in the file stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableKind {
    /// A table whose rows triggers can watch.
    Plain,
    /// A view, a virtual table or a virtual table's own storage.
    Other,
}

/// All tables of the file besides SQLite's and Keylane's own, by their true names.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<BTreeMap<Arc<str>, TableKind>> {
    let mut statement =
        connection.prepare("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")?;
    let rows = statement.query_map([], |row| {
        let kind = match row.get_ref(1)?.as_str()? {
            "table" => TableKind::Plain,
            _ => TableKind::Other,
        };
        Ok((row.get::<_, Arc<str>>(0)?, kind))
    })?;
    let mut found = BTreeMap::new();
    for row in rows {
        let (name, kind) = row?;
        if !is_reserved(&name) {
            found.insert(name, kind);
        }
    }
    Ok(found)
}

/// The true name of a plain table that is named in whatever case, Keylane's own too.
pub(super) fn plain_named(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<Arc<str>>> {
    let sql = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name = ?1 COLLATE NOCASE";
    connection
        .query_row(sql, [name], |row| row.get(0))
        .optional()
}

/// The shape of a plain table; `None` if it is not there. `order_by` names the columns of an order key other than the row key.
///
/// `references` are the foreign keys of the whole file, see [`foreign_keys`].
pub(super) fn shape(
    connection: &Connection,
    table: &str,
    order_by: Option<&[String]>,
    references: &[Reference],
) -> rusqlite::Result<Option<TableSchema>> {
    let (columns, key) = columns(connection, table)?;
    if columns.is_empty() {
        return Ok(None);
    }
    let mut schema = TableSchema {
        id: SchemaId(0),
        table: TableName::new(MAIN, table),
        order_key: key.clone(),
        key,
        columns,
        uniques: Vec::new(),
        references: Vec::new(),
        referenced: Vec::new(),
    };
    if let Some(names) = order_by {
        let places: Option<Vec<usize>> = names.iter().map(|name| place(&schema, name)).collect();
        // A name that is not there is refused by whoever asked for it.
        schema.order_key = places.unwrap_or_else(|| schema.key.clone());
    }
    schema.uniques = uniques(connection, table, &schema)?;
    add_references(&mut schema, references);
    Ok(Some(schema.sealed()))
}

/// Columns in their order, and the places of the primary key's columns in its own.
pub(super) fn columns(
    connection: &Connection,
    table: &str,
) -> rusqlite::Result<(Vec<Column>, Vec<usize>)> {
    let mut statement = connection
        .prepare_cached("SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?1)")?;
    let mut rows = statement.query([table])?;
    let (mut columns, mut key) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (pk, hidden): (i64, i64) = (row.get(3)?, row.get(4)?);
        if hidden == 1 {
            continue;
        }
        if pk > 0 {
            key.push((pk, columns.len()));
        }
        columns.push(Column {
            name: row.get(0)?,
            type_name: row.get(1)?,
            nullable: !row.get::<_, bool>(2)? && pk == 0,
            generated: hidden != 0,
        });
    }
    key.sort_unstable();
    Ok((columns, key.into_iter().map(|(_, place)| place).collect()))
}

/// Unique constraints and indexes besides the primary key. One that holds for some rows only counts as one for all: it makes changes wait more, never
/// less. Indexes on expressions have no columns to name and are left out.
fn uniques(
    connection: &Connection,
    table: &str,
    schema: &TableSchema,
) -> rusqlite::Result<Vec<Vec<usize>>> {
    let mut statement = connection.prepare_cached(
        "SELECT l.name, x.cid FROM pragma_index_list(?1) AS l, pragma_index_info(l.name) AS x
         WHERE l.\"unique\" AND l.origin <> 'pk' ORDER BY l.name, x.seqno",
    )?;
    let mut rows = statement.query([table])?;
    let mut found: BTreeMap<String, Vec<Option<usize>>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let place = usize::try_from(row.get::<_, i64>(1)?).ok();
        found
            .entry(row.get(0)?)
            .or_default()
            .push(place.filter(|place| *place < schema.columns.len()));
    }
    let whole = found
        .into_values()
        .filter_map(|places| places.into_iter().collect::<Option<Vec<usize>>>());
    let mut uniques: Vec<Vec<usize>> = whole.collect();
    uniques.sort();
    uniques.dedup();
    Ok(uniques)
}

/// A foreign key as the file declares it.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) child: Arc<str>,
    pub(super) parent: Arc<str>,
    /// Names of the child's and the parent's columns; those of the parent are empty where its primary key is meant.
    pub(super) columns: Vec<(String, Option<String>)>,
    /// Whether rows of the child are deleted with the parent's.
    pub(super) cascades: bool,
}

/// The foreign keys of all tables of the file.
pub(super) fn foreign_keys(connection: &Connection) -> rusqlite::Result<Vec<Reference>> {
    let mut statement = connection.prepare(
        "SELECT t.name, f.id, f.\"table\", f.\"from\", f.\"to\", f.on_delete = 'CASCADE'
         FROM pragma_table_list AS t, pragma_foreign_key_list(t.name) AS f
         WHERE t.schema = 'main' AND t.type = 'table' ORDER BY t.name, f.id, f.seq",
    )?;
    let mut rows = statement.query([])?;
    let mut found: BTreeMap<(Arc<str>, i64), Reference> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let child: Arc<str> = row.get(0)?;
        let reference = found
            .entry((Arc::clone(&child), row.get(1)?))
            .or_insert(Reference {
                child,
                parent: row.get(2)?,
                columns: Vec::new(),
                cascades: row.get(5)?,
            });
        reference.columns.push((row.get(3)?, row.get(4)?));
    }
    drop(rows);
    drop(statement);
    let mut references: Vec<Reference> = found.into_values().collect();
    for reference in &mut references {
        complete(connection, reference)?;
    }
    Ok(references)
}

/// The parent by its true name and columns.
fn complete(connection: &Connection, reference: &mut Reference) -> rusqlite::Result<()> {
    let true_name: Option<Arc<str>> = connection
        .prepare_cached(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE",
        )?
        .query_row([&reference.parent], |row| row.get(0))
        .optional()?;
    let Some(parent) = true_name else {
        return Ok(());
    };
    let (columns, key) = columns(connection, &parent)?;
    for (index, (_, named)) in reference.columns.iter_mut().enumerate() {
        let column = match named {
            Some(name) => columns
                .iter()
                .find(|column| column.name.eq_ignore_ascii_case(name)),
            None => key.get(index).and_then(|place| columns.get(*place)),
        };
        *named = column.map(|column| column.name.to_string());
    }
    reference.parent = parent;
    Ok(())
}

fn add_references(schema: &mut TableSchema, references: &[Reference]) {
    let name = Arc::clone(&schema.table.name);
    for reference in references {
        if reference.child == name {
            let columns = reference.columns.iter().map(|(own, _)| place(schema, own));
            let parents = reference
                .columns
                .iter()
                .map(|(_, of)| of.as_deref().map(Arc::from));
            let (columns, parents): (Option<Vec<_>>, Option<Vec<_>>) =
                (columns.collect(), parents.collect());
            if let (Some(columns), Some(parent_columns)) = (columns, parents) {
                schema.references.push(ForeignKey {
                    columns,
                    parent: TableName::new(MAIN, Arc::clone(&reference.parent)),
                    parent_columns,
                });
            }
        }
        if reference.parent == name {
            let columns = reference
                .columns
                .iter()
                .map(|(_, of)| place(schema, of.as_deref()?));
            if let Some(columns) = columns.collect::<Option<Vec<_>>>() {
                schema.referenced.push(columns);
            }
        }
    }
    schema.referenced.sort();
    schema.referenced.dedup();
}

fn place(schema: &TableSchema, name: &str) -> Option<usize> {
    schema
        .columns
        .iter()
        .position(|column| column.name.eq_ignore_ascii_case(name))
}
