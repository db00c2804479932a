//! What is written to the replica for a run of changes: one write for each key, its columns folded, or one for each change.
//!
//! Folding keeps what the last change of each key left, column by column: a partial change after a whole one must not lose the whole one. It does not keep
//! steps in between, so a batch that fails on a constraint is applied again unfolded (folding `a → tmp → b` can make a solvable swap unsolvable).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Change, Op, Row, TableName, TableSchema, Value};

use super::{Work, WorkAction};

/// What to do with a row.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteKind {
    /// Insert the whole row; if its key is there already, write all its columns.
    Insert,
    /// Write all columns of the row of this key; if it is not there, count it as missing and insert it.
    Update,
    /// Write the present columns of the row of this key; if it is not there, count it as missing.
    Merge,
    /// Give the row of the old key this row's key and present columns; if it is not there, count it as missing.
    Move {
        /// The old row key's values (other columns may be absent).
        from: Row,
    },
    /// Delete the row of this key; if it is not there and `expected`, count it as missing.
    Delete {
        /// Whether the row should be there (not if it was inserted in the same fold, nor if it was renamed before).
        expected: bool,
    },
    /// Table without a key: insert the row.
    InsertUnkeyed,
    /// Table without a key: change exactly one row equal to `before` (NULL equals NULL).
    UpdateUnkeyed {
        /// The whole row before.
        before: Row,
    },
    /// Table without a key: delete exactly one row equal to this one.
    DeleteUnkeyed,
    /// Empty the table.
    Truncate,
}

/// A write of one row (or one table).
#[derive(Clone, Debug, PartialEq)]
pub struct RowWrite {
    /// The row's shape.
    pub schema: Arc<TableSchema>,
    /// What to do.
    pub kind: WriteKind,
    /// The row after; for a delete the row before, of which at least the key is present.
    pub row: Row,
    /// Index of the (last) change in the batch's work.
    pub work: usize,
}

/// One write for one change.
pub fn single(change: &Change, work: usize) -> RowWrite {
    let write = |kind, row: Option<&Row>| RowWrite {
        schema: change.schema.clone(),
        kind,
        row: row.cloned().unwrap_or_default(),
        work,
    };
    let (after, before) = (change.after.as_ref(), change.before.as_ref());
    let keyed = change.schema.has_key();
    match change.op {
        Op::Truncate => write(WriteKind::Truncate, None),
        Op::Read | Op::Insert if !keyed => write(WriteKind::InsertUnkeyed, after),
        Op::Update if !keyed => write(
            WriteKind::UpdateUnkeyed {
                before: before.cloned().unwrap_or_default(),
            },
            after,
        ),
        Op::Delete if !keyed => write(WriteKind::DeleteUnkeyed, before),
        Op::Delete => {
            let expected = change.moved_from.is_none();
            write(WriteKind::Delete { expected }, before)
        }
        Op::Insert if change.renames().is_some() => write(
            WriteKind::Move {
                from: change.moved_from.clone().unwrap_or_default(),
            },
            after,
        ),
        Op::Read | Op::Insert if change.is_complete() => write(WriteKind::Insert, after),
        Op::Update if change.is_complete() => write(WriteKind::Update, after),
        Op::Read | Op::Insert | Op::Update => write(WriteKind::Merge, after),
    }
}

/// One write for each change of a batch.
pub fn singles(work: &[Work]) -> Vec<RowWrite> {
    let single = |(index, work): (usize, &Work)| match &work.action {
        WorkAction::Apply(change) => Some(single(change, index)),
        WorkAction::Park(_) | WorkAction::Redrive => None,
    };
    work.iter().enumerate().filter_map(single).collect()
}

/// The writes of a batch's changes, folded. Runs follow one another; inside a run each key has one write, and the writes are in the order of their last change.
pub fn fold(work: &[Work]) -> Vec<Vec<RowWrite>> {
    let mut runs = Vec::new();
    let mut run = Run::default();
    for (index, work) in work.iter().enumerate() {
        let WorkAction::Apply(change) = &work.action else {
            continue;
        };
        let write = single(change, index);
        match write.kind {
            WriteKind::Insert | WriteKind::Update | WriteKind::Merge | WriteKind::Delete { .. } => {
                if !run.same_schema(&write.schema) {
                    run.finish_into(&mut runs);
                }
                run.add(&work.key, write);
            }
            // Order against its neighbours matters: a run of its own.
            WriteKind::Move { .. }
            | WriteKind::InsertUnkeyed
            | WriteKind::UpdateUnkeyed { .. }
            | WriteKind::DeleteUnkeyed
            | WriteKind::Truncate => {
                let unkeyed_insert = write.kind == WriteKind::InsertUnkeyed;
                if !(unkeyed_insert && run.only_unkeyed_inserts) {
                    run.finish_into(&mut runs);
                }
                run.only_unkeyed_inserts = unkeyed_insert;
                run.writes.push(Some(write));
                if !unkeyed_insert {
                    run.finish_into(&mut runs);
                }
            }
        }
    }
    run.finish_into(&mut runs);
    runs
}

#[derive(Default)]
struct Run {
    writes: Vec<Option<RowWrite>>,
    by_key: HashMap<(TableName, Bytes), usize>,
    schemas: HashMap<TableName, crate::model::SchemaId>,
    only_unkeyed_inserts: bool,
}

impl Run {
    /// Rows of one table are folded only while its shape stays, and keyed rows never with unkeyed ones.
    fn same_schema(&self, schema: &TableSchema) -> bool {
        !self.only_unkeyed_inserts
            && self
                .schemas
                .get(&schema.table)
                .is_none_or(|id| *id == schema.id)
    }

    fn add(&mut self, key: &Bytes, write: RowWrite) {
        let table = write.schema.table.clone();
        self.schemas.insert(table.clone(), write.schema.id);
        let place = (table, key.clone());
        let next = self.writes.len();
        let folded = match self
            .by_key
            .get(&place)
            .and_then(|index| self.writes.get_mut(*index))
            .and_then(Option::take)
        {
            Some(earlier) => folded(earlier, write),
            None => write,
        };
        self.writes.push(Some(folded));
        self.by_key.insert(place, next);
    }

    fn finish_into(&mut self, runs: &mut Vec<Vec<RowWrite>>) {
        let writes: Vec<RowWrite> = std::mem::take(self).writes.into_iter().flatten().collect();
        if !writes.is_empty() {
            runs.push(writes);
        }
    }
}

fn folded(earlier: RowWrite, mut later: RowWrite) -> RowWrite {
    use WriteKind::{Delete, Insert, Merge, Update};
    later.kind = match (&earlier.kind, &later.kind) {
        (Insert, Delete { .. }) | (Delete { expected: false }, Delete { .. }) => {
            Delete { expected: false }
        }
        (_, Delete { expected }) => Delete {
            expected: *expected,
        },
        (_, Insert) => Insert,
        (Insert | Delete { .. }, Update) => Insert,
        (Update | Merge, Update) => Update,
        (Insert, Merge) => Insert,
        (Update, Merge) => Update,
        (_, Merge) => Merge,
        // Only keyed kinds are folded.
        (_, other) => other.clone(),
    };
    if !matches!(later.kind, Delete { .. }) && !matches!(earlier.kind, Delete { .. }) {
        for (new, old) in later.row.iter_mut().zip(earlier.row) {
            if *new == Value::Absent {
                *new = old;
            }
        }
    }
    later
}
