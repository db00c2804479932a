//! One write of one row, by a statement that is prepared once.

use std::path::Path;

use keylane_core::apply::{ApplyError, RowWrite, WriteKind};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Row, TableSchema, Value};
use rusqlite::{Connection, params_from_iter};

use super::super::cell::Bound;
use super::super::names::replica_name;
use super::error::from_sqlite;
use super::statement::{Texts, Verb, written, written_beside_key};

/// Writes rows of one transaction.
pub(super) struct RowWriter<'a> {
    pub(super) connection: &'a Connection,
    pub(super) path: &'a Path,
    pub(super) texts: &'a mut Texts,
}

impl RowWriter<'_> {
    /// Does one write. Whether a row that should have been there was missing.
    pub(super) fn write(&mut self, write: &RowWrite) -> Result<bool, ApplyError> {
        let none = Row::new();
        let (schema, row) = (&*write.schema, &write.row);
        match &write.kind {
            WriteKind::Insert => self.run(Verb::Upsert, schema, row, &none).map(|_| false),
            WriteKind::InsertUnkeyed => self.run(Verb::Insert, schema, row, &none).map(|_| false),
            WriteKind::Update => {
                let missing = self.run(Verb::Update, schema, row, &none)? == 0;
                if missing {
                    self.run(Verb::Upsert, schema, row, &none)?;
                }
                Ok(missing)
            }
            WriteKind::Merge => Ok(self.run(Verb::Update, schema, row, &none)? == 0),
            WriteKind::Move { from } => Ok(self.run(Verb::Move, schema, row, from)? == 0),
            WriteKind::Delete { expected } => {
                Ok(self.run(Verb::Delete, schema, row, &none)? == 0 && *expected)
            }
            WriteKind::UpdateUnkeyed { before } => {
                Ok(self.run(Verb::UpdateOne, schema, row, before)? == 0)
            }
            WriteKind::DeleteUnkeyed => Ok(self.run(Verb::DeleteOne, schema, row, &none)? == 0),
            WriteKind::Truncate => self
                .run(Verb::Truncate, schema, &none, &none)
                .map(|_| false),
        }
    }

    /// Runs the statement; how many rows it hit.
    fn run(
        &mut self,
        verb: Verb,
        schema: &TableSchema,
        row: &Row,
        before: &Row,
    ) -> Result<usize, ApplyError> {
        let values = values_of(verb, schema, row, before).ok_or_else(|| {
            ApplyError::new(
                ApplyErrorKind::Corrupt,
                format!(
                    "table {}: the change does not carry the columns that tell its row",
                    schema.table
                ),
            )
        })?;
        let text = self.texts.text(verb, schema, row, before);
        self.connection
            .prepare_cached(&text)
            .and_then(|mut statement| {
                statement.execute(params_from_iter(values.into_iter().map(Bound)))
            })
            .map_err(|cause| from_sqlite(self.path, Some(&replica_name(&schema.table)), &cause))
    }
}

/// The values of a statement's marks, in their order; `None` if the row cannot be found by what the change carries.
fn values_of<'a>(
    verb: Verb,
    schema: &'a TableSchema,
    row: &'a Row,
    before: &'a Row,
) -> Option<Vec<&'a Value>> {
    let key_of = |row: &'a Row| -> Option<Vec<&'a Value>> {
        let values = schema.key.iter().map(|place| row.get(*place));
        let values: Vec<&Value> = values.collect::<Option<_>>()?;
        values
            .iter()
            .all(|value| value.is_present())
            .then_some(values)
    };
    let all = |row: &'a Row| written(schema, row).filter_map(|place| row.get(place));
    let beside = |row: &'a Row| written_beside_key(schema, row).filter_map(|place| row.get(place));
    let some = |values: Vec<&'a Value>| (!values.is_empty()).then_some(values);
    match verb {
        Verb::Upsert => key_of(row).map(|_| all(row).collect()),
        Verb::Insert => some(all(row).collect()),
        Verb::Update => Some(beside(row).chain(key_of(row)?).collect()),
        Verb::Move => Some(all(row).chain(key_of(before)?).collect()),
        Verb::Delete => key_of(row),
        Verb::UpdateOne => {
            let wanted = some(all(before).collect())?;
            Some(
                some(all(row).collect())?
                    .into_iter()
                    .chain(wanted)
                    .collect(),
            )
        }
        Verb::DeleteOne => some(all(row).collect()),
        Verb::Truncate => Some(Vec::new()),
    }
}
