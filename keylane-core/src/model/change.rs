//! A change: what happened to one row (or one table), where it stands, and when.

use std::sync::Arc;

use super::{KeyText, Position, TableSchema, Value, key_text};

/// A row's values, in the order of its schema's columns; columns that the change does not carry are [`Value::Absent`].
pub type Row = Vec<Value>;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A row was read by the initial snapshot.
    Read,
    /// A row was inserted.
    Insert,
    /// A row was updated; its row key did not change.
    Update,
    /// A row was deleted; `before` holds at least the row key (the whole row for a table without a key).
    Delete,
    /// The table was emptied.
    Truncate,
}

impl Op {
    /// Debezium's letter.
    pub fn letter(self) -> char {
        match self {
            Op::Read => 'r',
            Op::Insert => 'c',
            Op::Update => 'u',
            Op::Delete => 'd',
            Op::Truncate => 't',
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The table's shape when the change was made.
    pub schema: Arc<TableSchema>,
    /// What happened.
    pub op: Op,
    /// The row before, as far as the origin tells.
    pub before: Option<Row>,
    /// The row after; columns may be absent (unchanged out-of-line values).
    pub after: Option<Row>,
    /// For an insert that is half of a row-key change: the old row, as far as the origin tells it; at least its key. For a delete: its key, if the other half went
    /// first and took the row along.
    pub moved_from: Option<Row>,
    /// Where it stands at the origin.
    pub position: Position,
    /// The origin's transaction id.
    pub tx: u64,
    /// When the origin committed it, microseconds since 1970 (UTC).
    pub committed_at_us: i64,
}

impl Change {
    /// The row that tells the row key: the row after, else the row before.
    pub fn keyed_row(&self) -> Option<&Row> {
        self.after.as_ref().or(self.before.as_ref())
    }

    /// The row key in canonical form. `None` for a truncate. A table without a key uses its name: all its changes keep one order.
    pub fn row_key(&self) -> Option<KeyText> {
        if self.op == Op::Truncate {
            return None;
        }
        if !self.schema.has_key() {
            return Some(format!("{{\"table\":\"{}\"}}", self.schema.table));
        }
        key_text(&self.schema, &self.schema.key, self.keyed_row()?)
    }

    /// The order key in canonical form; the row key unless the table has an order key of its own.
    pub fn order_key(&self) -> Option<KeyText> {
        if self.schema.order_key == self.schema.key || !self.schema.has_key() {
            return self.row_key();
        }
        key_text(&self.schema, &self.schema.order_key, self.keyed_row()?)
    }

    /// The old row, if this is half of a row-key change whose row came incomplete: the replica renames the row in place, because only its old row holds the
    /// columns that were not sent.
    pub fn renames(&self) -> Option<&Row> {
        let renames = self.op != Op::Delete && !self.is_complete();
        self.moved_from.as_ref().filter(|_| renames)
    }

    /// Whether every column of the row after is present.
    pub fn is_complete(&self) -> bool {
        self.after
            .as_ref()
            .is_some_and(|row| row.iter().all(Value::is_present))
    }

    /// Memory this change holds, for byte budgets.
    pub fn size_bytes(&self) -> usize {
        let rows = self
            .before
            .iter()
            .chain(&self.after)
            .chain(&self.moved_from);
        size_of::<Change>() + rows.flatten().map(Value::size_bytes).sum::<usize>()
    }
}
