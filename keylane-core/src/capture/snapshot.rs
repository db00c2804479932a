//! The initial snapshot: which table is copied when, and how a chunk's rows merge with the stream (after DBLog, Netflix 2020).
//!
//! Tables are copied one after another, parents first. Changes of a table whose copy has not begun are not published: its chunks will be read later and
//! hold them. A chunk is asked for at a place in the stream and answered at a later one; rows that changed in between are left out of the chunk, because the
//! stream has told them already, except for the columns that the stream did not carry. A table without a key cannot be merged so: its chunks are exact at
//! their place in the stream, and a truncate goes before the first, so that a copy that begins anew doubles nothing.

use std::collections::{BTreeMap, HashMap};

use crate::model::{Change, Op, Position, Row, TableName, TableSchema, Value, key_text};

/// How far a table's copy is.
#[derive(Clone, Debug, PartialEq)]
pub enum TablePhase {
    /// Not begun.
    Waiting,
    /// Begun: changes from `since` on are published; chunks up to `after` are in the log.
    Copying {
        /// The stream's place when the copy began.
        since: Position,
        /// The key of the last row copied, `None` before the first chunk.
        after: Option<Vec<Value>>,
    },
    /// Done; changes from `since` on are published.
    Done {
        /// The stream's place when the copy began.
        since: Position,
    },
}

/// A table and how far its copy is.
#[derive(Clone, Debug, PartialEq)]
pub struct TableProgress {
    /// The table.
    pub table: TableName,
    /// How far.
    pub phase: TablePhase,
    /// Rows copied so far.
    pub rows: u64,
}

/// The order of copying and how far it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotPlan {
    tables: Vec<TableProgress>,
    index: BTreeMap<TableName, usize>,
}

impl SnapshotPlan {
    /// A plan over tables in copying order, with what is known of earlier progress.
    pub fn new(tables: Vec<TableProgress>) -> Self {
        let index = tables
            .iter()
            .enumerate()
            .map(|(index, progress)| (progress.table.clone(), index))
            .collect();
        SnapshotPlan { tables, index }
    }

    /// All tables, in copying order.
    pub fn tables(&self) -> &[TableProgress] {
        &self.tables
    }

    /// Adds a table that was not known (created since); its copy comes last.
    pub fn add(&mut self, table: TableName, phase: TablePhase) {
        if !self.index.contains_key(&table) {
            self.index.insert(table.clone(), self.tables.len());
            self.tables.push(TableProgress {
                table,
                phase,
                rows: 0,
            });
        }
    }

    /// The table being copied, or the next to copy; `None` when all are done.
    pub fn current(&self) -> Option<&TableProgress> {
        self.tables
            .iter()
            .find(|progress| !matches!(progress.phase, TablePhase::Done { .. }))
    }

    /// How far a table is.
    pub fn phase(&self, table: &TableName) -> Option<&TablePhase> {
        self.index
            .get(table)
            .and_then(|index| self.tables.get(*index))
            .map(|progress| &progress.phase)
    }

    /// Whether a change of this table at this position is to be published.
    pub fn publishes(&self, table: &TableName, position: Position) -> bool {
        match self.phase(table) {
            Some(TablePhase::Copying { since, .. } | TablePhase::Done { since }) => {
                position >= *since
            }
            Some(TablePhase::Waiting) | None => false,
        }
    }

    /// The current table's copy begins at this place of the stream, or at the latest one at which any began before: after a restart the stream tells again
    /// what lies before that, and changes of a table whose rows may refer to those of another must not be published where that one's are not. Returns the
    /// table.
    pub fn begin(&mut self, at: Position) -> Option<&TableProgress> {
        let begun = self.tables.iter().filter_map(|one| match one.phase {
            TablePhase::Copying { since, .. } | TablePhase::Done { since } => Some(since),
            TablePhase::Waiting => None,
        });
        let at = begun.fold(at, Position::max);
        let progress = self
            .tables
            .iter_mut()
            .find(|progress| !matches!(progress.phase, TablePhase::Done { .. }))?;
        if progress.phase == TablePhase::Waiting {
            progress.phase = TablePhase::Copying {
                since: at,
                after: None,
            };
        }
        Some(progress)
    }

    /// A chunk of the table was given out; `next_after` is `None` at the table's end. Returns the table's progress.
    pub fn copied(
        &mut self,
        table: &TableName,
        rows: u64,
        next_after: Option<Vec<Value>>,
    ) -> Option<&TableProgress> {
        let progress = self
            .index
            .get(table)
            .and_then(|index| self.tables.get_mut(*index))?;
        progress.rows += rows;
        if let TablePhase::Copying { since, after } = &mut progress.phase {
            match next_after {
                Some(key) => *after = Some(key),
                None => progress.phase = TablePhase::Done { since: *since },
            }
        }
        Some(progress)
    }

    /// The table's chunks are read from its start again, if it is being copied and any chunk went out. Returns its progress.
    pub fn copy_anew(&mut self, table: &TableName) -> Option<TableProgress> {
        let progress = self.tables.get_mut(*self.index.get(table)?)?;
        let TablePhase::Copying { after, .. } = &mut progress.phase else {
            return None;
        };
        after.take()?;
        progress.rows = 0;
        Some(progress.clone())
    }
}

/// What the stream told about the rows of one table while a chunk of it was being read.
#[derive(Debug, Default)]
pub struct Window {
    told: HashMap<String, Told>,
    truncated: bool,
    reread: bool,
}

#[derive(Debug)]
enum Told {
    /// The stream told the whole row, or its end.
    Whole,
    /// The stream told these columns; the others hold what the chunk read.
    Columns(Row),
}

impl Window {
    /// Notes a change of the chunk's table.
    pub fn note(&mut self, change: &Change) {
        let Some(key) = change.row_key() else {
            self.truncated = true;
            return;
        };
        // An incomplete row that moved to a new key: the chunk may hold it under the old one only.
        self.reread |= change.renames().is_some();
        match (&change.after, change.op) {
            (Some(after), Op::Update) if !change.is_complete() => match self.told.get_mut(&key) {
                Some(Told::Whole) => {}
                Some(Told::Columns(columns)) => overlay(columns, after),
                None => {
                    self.told.insert(key, Told::Columns(after.clone()));
                }
            },
            _ => {
                self.told.insert(key, Told::Whole);
            }
        }
    }

    /// The chunk's row as it is to be published; `None` if the stream has told it whole.
    pub fn merge(&self, schema: &TableSchema, mut row: Row) -> Option<Row> {
        if self.truncated {
            return None;
        }
        let key = key_text(schema, &schema.key, &row)?;
        match self.told.get(&key) {
            None => Some(row),
            Some(Told::Whole) => None,
            Some(Told::Columns(columns)) => {
                overlay(&mut row, columns);
                Some(row)
            }
        }
    }

    /// Whether the chunk cannot be merged and has to be read again.
    pub fn must_read_again(&self) -> bool {
        self.reread
    }

    /// How many rows the stream told meanwhile.
    pub fn len(&self) -> usize {
        self.told.len()
    }

    /// Whether the stream told nothing.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

fn overlay(row: &mut Row, columns: &Row) {
    for (old, new) in row.iter_mut().zip(columns) {
        if new.is_present() {
            *old = new.clone();
        }
    }
}
