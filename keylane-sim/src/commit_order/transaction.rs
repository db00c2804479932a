//! A transaction of the replica that is open: what it wrote, and which rows it keeps from others.

use std::collections::BTreeSet;
use std::sync::Arc;

use keylane_core::apply::{ApplyBatch, ApplyError, Batch, BatchKind, WorkAction};
use keylane_core::consume::RawPayload;
use keylane_core::model::{Change, Op, TableName, Value};

use crate::model::{Replica, Rows};

/// A batch that a worker has.
pub(super) struct Open {
    pub batch: Batch<RawPayload>,
    pub work: ApplyBatch,
    pub begun: Option<Begun>,
}

/// What it did when it began.
pub(super) struct Begun {
    /// Not everything before it was committed then.
    pub early: bool,
    /// The rows it found, and as it left them, and its effects; or why it could not go on.
    pub written: Result<Written, ApplyError>,
}

pub(super) struct Written {
    pub found: Rows,
    pub left: Rows,
    pub fork: Replica,
    pub missing: bool,
}

/// A row that is written, by its key; a whole table without.
type Lock = (TableName, Option<Vec<Value>>);

impl Open {
    /// Writes its rows, seen by nobody yet.
    pub(super) fn begin(
        &mut self,
        replica: &Replica,
        early: bool,
        decode: &dyn Fn(&[u8]) -> Arc<Change>,
    ) {
        let mut fork = replica.clone();
        let wrote = match self.batch.kind {
            BatchKind::Together => fork.apply(&self.work, decode).map(|_| ()),
            BatchKind::Plain | BatchKind::Careful => fork.write_rows(&self.work, decode),
        };
        let written = wrote.map(|()| Written {
            found: replica.rows.clone(),
            left: fork.rows.clone(),
            missing: fork.missing > replica.missing,
            fork,
        });
        self.begun = Some(Begun { early, written });
    }

    /// Whether one would have to wait for the other: both have written a row, or one has emptied a table that the other writes to. Who found no row keeps none.
    pub(super) fn collides(&self, other: &Open) -> bool {
        let (mine, theirs) = (self.locks(), other.locks());
        let held = |lock: &Lock| {
            theirs.iter().any(|other| {
                lock.0 == other.0 && (lock.1.is_none() || other.1.is_none() || lock.1 == other.1)
            })
        };
        mine.iter().any(held)
    }

    fn locks(&self) -> BTreeSet<Lock> {
        let Some(Begun {
            written: Ok(Written { found, left, .. }),
            ..
        }) = &self.begun
        else {
            return BTreeSet::new();
        };
        let written = found.changed(left).into_iter();
        let mut locks: BTreeSet<Lock> = written.map(|(table, key)| (table, Some(key))).collect();
        for work in &self.work.work {
            if let WorkAction::Apply(change) = &work.action
                && change.op == Op::Truncate
            {
                locks.insert((change.schema.table.clone(), None));
            }
        }
        locks
    }
}
