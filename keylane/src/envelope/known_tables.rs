//! Records that do not explain themselves are read by the replica's tables: which of them are known, and which must be asked for first.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use keylane_core::apply::{ApplyError, ReplicaTable};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Column, TableName, TableSchema};

use super::{DebeziumDecoder, EnvelopeError, ForeignChange};

/// The replica's tables that were asked for; `None` for one that it lacks.
pub type KnownTables = HashMap<TableName, Option<Arc<TableSchema>>>;

/// What comes of reading a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Told<C> {
    /// The change.
    Change(C),
    /// This table of the replica must be known first; it is not asked for again once it is.
    NeedsTable(TableName),
}

impl DebeziumDecoder {
    /// Reads a change by the tables that are known.
    ///
    /// # Errors
    /// `Corrupt` if it cannot be read or is no change; `MissingObject` if only a table could explain it that the replica lacks. In words without row values.
    pub fn change(
        &self,
        key: &[u8],
        value: &[u8],
        tables: &KnownTables,
    ) -> Result<Told<ForeignChange>, ApplyError> {
        let unknown: RefCell<Option<TableName>> = RefCell::new(None);
        let target = |table: &TableName| {
            let known = tables.get(table);
            if known.is_none() {
                unknown.replace(Some(table.clone()));
            }
            known.cloned().flatten()
        };
        let decoded = self.decode((!key.is_empty()).then_some(key), Some(value), &target);
        if let Some(table) = unknown.into_inner() {
            return Ok(Told::NeedsTable(table));
        }
        let failed = |kind, words: String| Err(ApplyError::new(kind, words));
        match decoded {
            Ok(Some(change)) => Ok(Told::Change(change)),
            Ok(None) => failed(
                ApplyErrorKind::Corrupt,
                "the record is no change".to_owned(),
            ),
            Err(error @ EnvelopeError::UnknownTable { .. }) => {
                failed(ApplyErrorKind::MissingObject, error.to_string())
            }
            Err(error) => failed(ApplyErrorKind::Corrupt, error.to_string()),
        }
    }
}

/// A table of the replica as values are read by it.
pub fn schema_of(table: &ReplicaTable) -> TableSchema {
    let columns: Vec<Column> = table
        .columns
        .iter()
        .map(|column| Column {
            name: column.name.as_str().into(),
            type_name: column.type_name.as_str().into(),
            nullable: column.nullable,
            generated: column.generated,
        })
        .collect();
    let place = |name: &String| table.columns.iter().position(|column| column.name == *name);
    let key: Vec<usize> = table.key.iter().filter_map(place).collect();
    TableSchema {
        id: Default::default(),
        table: table.table.clone(),
        columns,
        order_key: key.clone(),
        key,
        uniques: Vec::new(),
        references: Vec::new(),
        referenced: Vec::new(),
    }
    .sealed()
}
