//! The statements' text: made once for each shape of write, kept in a bounded cache.

use std::collections::HashMap;
use std::sync::Arc;

use keylane_core::model::{Row, SchemaId, TableSchema, Value};

use super::super::names::{list, quoted, replica_name, rowid_name};

/// More shapes of writes than this, and the cache begins anew.
const TEXTS_MAX: usize = 512;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verb {
    /// Insert, or write all columns of the row of this key.
    Upsert,
    /// Insert.
    Insert,
    /// Write the present columns of the row of this key.
    Update,
    /// Give the row of another key this key and the present columns.
    Move,
    /// Delete the row of this key.
    Delete,
    /// Change one row equal to the row before in the columns that `before` has.
    UpdateOne,
    /// Delete one row equal to this one in the columns it has.
    DeleteOne,
    /// Delete all rows.
    Truncate,
}

/// What tells two statements apart: the shape, the verb, and which columns are there after and before.
type Form = (SchemaId, Verb, Vec<bool>, Vec<bool>);

/// Texts by what they do and which columns take part.
#[derive(Default)]
pub(super) struct Texts {
    known: HashMap<Form, Arc<str>>,
}

impl Texts {
    /// The text for a write of `row`; for those that look for another row than they write, `before` is what they look for.
    pub(super) fn text(
        &mut self,
        verb: Verb,
        schema: &TableSchema,
        row: &Row,
        before: &Row,
    ) -> Arc<str> {
        let key = (schema.id, verb, presence(row), presence(before));
        if let Some(text) = self.known.get(&key) {
            return Arc::clone(text);
        }
        if self.known.len() >= TEXTS_MAX {
            self.known.clear();
        }
        let text: Arc<str> = text_of(verb, schema, row, before).into();
        self.known.insert(key, Arc::clone(&text));
        text
    }
}

fn presence(row: &Row) -> Vec<bool> {
    row.iter().map(Value::is_present).collect()
}

/// The places of a row's columns that are written: present, and not computed by the database.
pub(super) fn written<'a>(
    schema: &'a TableSchema,
    row: &'a Row,
) -> impl Iterator<Item = usize> + 'a {
    let columns = schema.columns.iter().zip(row).enumerate();
    columns
        .filter(|(_, (column, value))| value.is_present() && !column.generated)
        .map(|(place, _)| place)
}

/// The places that are written and are not of the key.
pub(super) fn written_beside_key<'a>(
    schema: &'a TableSchema,
    row: &'a Row,
) -> impl Iterator<Item = usize> + 'a {
    written(schema, row).filter(|place| !schema.key.contains(place))
}

fn from_excluded<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let sets: Vec<String> = names
        .map(|name| format!("{0} = excluded.{0}", quoted(name)))
        .collect();
    sets.join(", ")
}

fn text_of(verb: Verb, schema: &TableSchema, row: &Row, before: &Row) -> String {
    let table = quoted(&replica_name(&schema.table));
    let name = |place: usize| -> &str {
        let column = schema.columns.get(place);
        column.map_or("", |column| &column.name)
    };
    let all: Vec<usize> = written(schema, row).collect();
    let beside: Vec<usize> = written_beside_key(schema, row).collect();
    let each = |places: &[usize], tail: &str, between: &str| -> String {
        let parts: Vec<String> = places
            .iter()
            .map(|place| format!("{}{tail}", quoted(name(*place))))
            .collect();
        parts.join(between)
    };
    let keyed = each(&schema.key, " IS ?", " AND ");
    let insert = || {
        let marks = vec!["?"; all.len()].join(", ");
        format!(
            "INSERT INTO {table} ({}) VALUES ({marks})",
            list(all.iter().map(|place| name(*place)))
        )
    };
    let one = |row: &Row| -> String {
        let names = schema.columns.iter().map(|column| &*column.name);
        // A table without a free name for its row number is found missing, as SQLite says it.
        let rowid = rowid_name(names).unwrap_or("rowid");
        let places: Vec<usize> = written(schema, row).collect();
        let equal = each(&places, " COLLATE BINARY IS ?", " AND ");
        format!("{rowid} = (SELECT {rowid} FROM {table} WHERE {equal} LIMIT 1)")
    };
    match verb {
        Verb::Upsert if beside.is_empty() => format!(
            "{} ON CONFLICT ({}) DO NOTHING",
            insert(),
            list(schema.key.iter().map(|place| name(*place)))
        ),
        Verb::Upsert => format!(
            "{} ON CONFLICT ({}) DO UPDATE SET {}",
            insert(),
            list(schema.key.iter().map(|place| name(*place))),
            from_excluded(beside.iter().map(|place| name(*place)))
        ),
        Verb::Insert => insert(),
        Verb::Update if beside.is_empty() => {
            // Nothing to write: only whether the row is there counts.
            let first = quoted(schema.key.first().map_or("", |place| name(*place)));
            format!("UPDATE {table} SET {first} = {first} WHERE {keyed}")
        }
        Verb::Update => format!(
            "UPDATE {table} SET {} WHERE {keyed}",
            each(&beside, " = ?", ", ")
        ),
        Verb::Move => format!(
            "UPDATE {table} SET {} WHERE {keyed}",
            each(&all, " = ?", ", ")
        ),
        Verb::Delete => format!("DELETE FROM {table} WHERE {keyed}"),
        Verb::UpdateOne => format!(
            "UPDATE {table} SET {} WHERE {}",
            each(&all, " = ?", ", "),
            one(before)
        ),
        Verb::DeleteOne => format!("DELETE FROM {table} WHERE {}", one(row)),
        Verb::Truncate => format!("DELETE FROM {table}"),
    }
}
