//! What a plan starts from: the origin's tables, with their keys, what they refer to, and how often they change.

use std::sync::Arc;

use crate::model::TableName;

/// A table of the origin, as far as a plan asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// The columns of its primary key, in the key's order; empty for a table without one.
    pub key: Vec<Arc<str>>,
    /// Its foreign keys, in a fixed order.
    pub references: Vec<Reference>,
    /// What an update or delete tells of the row before.
    pub before: BeforeImage,
    /// About how many rows it has, if the origin knows.
    pub rows: Option<u64>,
    /// How often it changes, if that was measured.
    pub rate: Option<Rate>,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The columns of the table that refers.
    pub columns: Vec<Arc<str>>,
    /// The table referred to.
    pub parent: TableName,
    /// Its columns, in the order of `columns`.
    pub parent_columns: Vec<Arc<str>>,
    /// Whether every row has a parent: none of `columns` may be NULL.
    pub required: bool,
    /// Whether a parent's rows go with it (`ON DELETE CASCADE`).
    pub cascades: bool,
}

/// What an update or delete tells of the row before. An order key that is not the row key must be in it, else a change of the order key could not be
/// split into the two places it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BeforeImage {
    /// The whole row.
    Whole,
    /// These columns.
    Columns(Vec<Arc<str>>),
}

impl BeforeImage {
    /// Whether it tells all of these columns.
    pub fn tells(&self, columns: &[Arc<str>]) -> bool {
        match self {
            BeforeImage::Whole => true,
            BeforeImage::Columns(told) => columns.iter().all(|column| told.contains(column)),
        }
    }
}

/// How often a table changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Rows inserted, updated and deleted in a second, over the time that was measured.
    pub changes_per_s: f64,
    /// Bytes of one change as a record; `None`: not measured.
    pub bytes_per_change: Option<f64>,
}

impl Table {
    /// Changes a second; 0 where nothing was measured.
    pub fn changes_per_s(&self) -> f64 {
        self.rate.map_or(0.0, |rate| rate.changes_per_s)
    }
}
