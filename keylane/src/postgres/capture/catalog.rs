//! Tables as the catalog has them now, and the shapes that follow from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keylane_core::model::{Column, ForeignKey, SchemaId, TableName, TableSchema};

use super::text::TextForm;

/// A table of the catalog.
#[derive(Clone, Debug)]
pub(super) struct CatalogTable {
    pub oid: u32,
    pub name: TableName,
    /// `r` ordinary, `p` partitioned, and others that cannot be captured.
    pub kind: u8,
    /// `p` permanent, `u` unlogged, `t` temporary.
    pub persistence: u8,
    /// `d` default, `n` nothing, `f` full, `i` index.
    pub replica_identity: u8,
    /// Partitions (of a partitioned table) whose replica identity is not their root's, by quoted name.
    pub deviating_partitions: Vec<String>,
    /// Columns that the log carries: those the database computes are left out, because the log does not tell them (before PostgreSQL 18 it cannot).
    pub columns: Vec<CatalogColumn>,
    /// Columns the database computes.
    pub generated: BTreeSet<String>,
    /// The primary key's columns in key order.
    pub primary: Option<Vec<String>>,
    /// The columns of the replica identity's index.
    pub identity_index: Option<Vec<String>>,
    /// Unique constraints and plain unique indexes besides the primary key.
    pub uniques: Vec<Vec<String>>,
    /// Foreign keys to captured tables.
    pub foreign_keys: Vec<CatalogForeignKey>,
    /// Column sets that captured tables refer to.
    pub referenced: Vec<Vec<String>>,
}

/// A column of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CatalogColumn {
    pub name: String,
    /// The declared type in SQL.
    pub type_name: String,
    pub form: TextForm,
    pub nullable: bool,
    /// Whether a default or an identity fills it, or a default filled the rows that were there when it was added: such a column changes rows that the log
    /// does not tell.
    pub filled: bool,
}

/// A foreign key by names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CatalogForeignKey {
    pub columns: Vec<String>,
    pub parent: TableName,
    pub parent_columns: Vec<String>,
}

impl CatalogTable {
    /// The row key's columns in key order; `None` for a table without a key.
    ///
    /// The primary key, if the replica identity tells it in every delete. With another index as the replica identity that index is the row key (deletes tell
    /// nothing else), and the primary key one more unique key.
    pub fn key(&self) -> Option<&[String]> {
        let primary = self.primary.as_deref();
        let index = self.identity_index.as_deref();
        match (self.replica_identity, primary, index) {
            (b'i', Some(primary), Some(index))
                if primary.iter().all(|name| index.contains(name)) =>
            {
                Some(primary)
            }
            (b'i', _, Some(index)) => Some(index),
            (_, primary, _) => primary,
        }
    }

    /// Columns that every update and delete tells in its before image; `None`: all of them.
    pub fn told_before(&self) -> Option<&[String]> {
        match self.replica_identity {
            b'f' => None,
            b'i' => Some(self.identity_index.as_deref().unwrap_or_default()),
            _ => Some(self.primary.as_deref().unwrap_or_default()),
        }
    }

    /// The shape of rows that carry these columns, with what the catalog knows of their names.
    ///
    /// Keys, unique keys and foreign keys are found by column name; those that name a column not carried are left out (the row key must be complete: the
    /// caller checks).
    pub fn shape(&self, columns: Vec<Column>, order_key: Option<&[String]>) -> TableSchema {
        let index: BTreeMap<Arc<str>, usize> = columns
            .iter()
            .enumerate()
            .map(|(index, column)| (Arc::clone(&column.name), index))
            .collect();
        let places = |names: &[String]| -> Option<Vec<usize>> {
            names
                .iter()
                .map(|name| index.get(name.as_str()).copied())
                .collect()
        };
        let key = self.key().and_then(places).unwrap_or_default();
        let all_uniques = self
            .uniques
            .iter()
            .chain(&self.primary)
            .filter_map(|names| places(names));
        let mut uniques = Vec::new();
        for unique in all_uniques {
            let sorted = |list: &[usize]| list.iter().copied().collect::<BTreeSet<_>>();
            if sorted(&unique) != sorted(&key) && !uniques.contains(&unique) {
                uniques.push(unique);
            }
        }
        uniques.sort();
        let mut referenced: Vec<_> = self
            .referenced
            .iter()
            .filter_map(|names| places(names))
            .collect();
        referenced.sort();
        referenced.dedup();
        let references = self.foreign_keys.iter().filter_map(|foreign| {
            Some(ForeignKey {
                columns: places(&foreign.columns)?,
                parent: foreign.parent.clone(),
                parent_columns: foreign
                    .parent_columns
                    .iter()
                    .map(|name| Arc::from(name.as_str()))
                    .collect(),
            })
        });
        TableSchema {
            id: SchemaId::default(),
            table: self.name.clone(),
            order_key: order_key.and_then(places).unwrap_or_else(|| key.clone()),
            key,
            uniques,
            references: references.collect(),
            referenced,
            columns,
        }
        .sealed()
    }

    /// The shape as the catalog has it now.
    pub fn current_shape(&self, order_key: Option<&[String]>) -> TableSchema {
        let columns = self.columns.iter().map(|column| Column {
            name: column.name.as_str().into(),
            type_name: column.type_name.as_str().into(),
            nullable: column.nullable,
            generated: false,
        });
        self.shape(columns.collect(), order_key)
    }

    /// The catalog's column of this name.
    pub fn column(&self, name: &str) -> Option<&CatalogColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Parents before children; where foreign keys go round in circles, by name.
pub(super) fn parents_first(tables: Vec<CatalogTable>) -> Vec<CatalogTable> {
    let mut waiting: BTreeMap<TableName, CatalogTable> = tables
        .into_iter()
        .map(|table| (table.name.clone(), table))
        .collect();
    let mut ordered = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let free: Vec<TableName> = waiting
            .values()
            .filter(|table| {
                table.foreign_keys.iter().all(|foreign| {
                    foreign.parent == table.name || !waiting.contains_key(&foreign.parent)
                })
            })
            .map(|table| table.name.clone())
            .collect();
        // A circle: the first by name goes, and what waits for it follows.
        let next = if free.is_empty() {
            waiting.keys().next().cloned().into_iter().collect()
        } else {
            free
        };
        ordered.extend(next.iter().filter_map(|name| waiting.remove(name)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, parents: &[&str]) -> CatalogTable {
        let column = |name: &str| CatalogColumn {
            name: name.to_owned(),
            type_name: "integer".to_owned(),
            form: TextForm::Integer,
            nullable: false,
            filled: false,
        };
        CatalogTable {
            oid: 1,
            name: TableName::new("public", name),
            kind: b'r',
            persistence: b'p',
            replica_identity: b'd',
            deviating_partitions: Vec::new(),
            columns: vec![column("a"), column("b"), column("c")],
            generated: BTreeSet::new(),
            primary: Some(vec!["b".to_owned(), "a".to_owned()]),
            identity_index: None,
            uniques: vec![vec!["c".to_owned()]],
            foreign_keys: parents
                .iter()
                .map(|parent| CatalogForeignKey {
                    columns: vec!["c".to_owned()],
                    parent: TableName::new("public", *parent),
                    parent_columns: vec!["a".to_owned()],
                })
                .collect(),
            referenced: Vec::new(),
        }
    }

    #[test]
    fn parents_come_before_children_and_circles_go_by_name() {
        let order: Vec<String> = parents_first(vec![
            table("items", &["orders"]),
            table("orders", &["customers"]),
            table("customers", &["customers"]),
            table("y", &["x"]),
            table("x", &["y"]),
        ])
        .into_iter()
        .map(|table| table.name.name.to_string())
        .collect();
        assert_eq!(order, ["customers", "orders", "items", "x", "y"]);
    }

    #[test]
    fn key_columns_come_in_key_order() {
        assert_eq!(table("t", &[]).current_shape(None).key, [1, 0]);
    }

    #[test]
    fn an_identity_index_that_lacks_the_primary_key_is_the_row_key() {
        let mut table = table("t", &[]);
        table.replica_identity = b'i';
        table.identity_index = Some(vec!["c".to_owned()]);
        let shape = table.current_shape(None);
        assert_eq!((shape.key, shape.uniques), (vec![2], vec![vec![1, 0]]));
        table.identity_index = Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]);
        let shape = table.current_shape(None);
        assert_eq!((shape.key, shape.uniques), (vec![1, 0], vec![vec![2]]));
    }
}
