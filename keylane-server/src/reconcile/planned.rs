//! What a repair would write, as a dry run tells it.

use keylane::sqlite::journal::Noted;
use keylane_core::model::{Row, Value};
use keylane_core::reconcile::TablePlan;
use serde::Serialize;
use serde_json::Value as Json;

use super::view::text_of;

/// Rows of a table that a dry run tells one by one; of more it tells how many. `reconcile show RUN --rows` has them all.
const TOLD_MAX: usize = 100;

/// What a repair would write into a table, if nothing changed until then. Counts are rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Planned {
    /// The replica would get them.
    pub insert: u64,
    /// They would be made as the origin has them.
    pub update: u64,
    /// They would be gone.
    pub delete: u64,
    /// One by one, the first hundred.
    pub rows: Vec<PlannedRow>,
}

/// A row that would be written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedRow {
    /// `insert`, `update` or `delete`.
    pub write: &'static str,
    /// The key's columns.
    pub key: Vec<Cell>,
    /// Of an insert every other column, of an update those that differ.
    pub set: Vec<Cell>,
}

/// A column's value at the replica and the one that would be written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Its name.
    pub column: String,
    /// What the replica has now; absent where it has none, and of a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Json>,
    /// What it would have.
    pub to: Json,
    #[serde(skip)]
    pub(super) values: (Option<Value>, Value),
}

impl Planned {
    /// Of rows that are to be mended.
    pub(super) fn of(plan: &TablePlan, open: &[Noted]) -> Planned {
        let mut planned = Planned {
            rows: open
                .iter()
                .take(TOLD_MAX)
                .map(|noted| row(plan, noted))
                .collect(),
            ..Planned::default()
        };
        for noted in open {
            match write(noted) {
                "insert" => planned.insert += 1,
                "update" => planned.update += 1,
                _ => planned.delete += 1,
            }
        }
        planned
    }

    /// All of them.
    pub(super) fn total(&self) -> u64 {
        self.insert + self.update + self.delete
    }
}

fn write(noted: &Noted) -> &'static str {
    match noted.kind.as_str() {
        "missing" => "insert",
        "extra" => "delete",
        _ => "update",
    }
}

fn row(plan: &TablePlan, noted: &Noted) -> PlannedRow {
    let at = |row: &Option<Row>, place: usize| row.as_ref().and_then(|row| row.get(place).cloned());
    let write = write(noted);
    let written = plan.columns.iter().enumerate().filter(|(place, column)| {
        let is_asked = match write {
            "insert" => *place >= plan.key,
            _ => noted.columns.iter().any(|name| **name == *column.name),
        };
        is_asked && !column.generated
    });
    let set = written.filter_map(|(place, column)| {
        let to = at(&noted.origin, place)?;
        Some(cell(&column.replica_name, at(&noted.replica, place), to))
    });
    let key = plan.columns.iter().zip(&noted.key);
    PlannedRow {
        write,
        set: set.collect(),
        key: key
            .map(|(column, value)| cell(&column.replica_name, None, value.clone()))
            .collect(),
    }
}

fn cell(name: &str, from: Option<Value>, to: Value) -> Cell {
    Cell {
        column: name.to_owned(),
        from: from.as_ref().map(text_of),
        to: text_of(&to),
        values: (from, to),
    }
}
