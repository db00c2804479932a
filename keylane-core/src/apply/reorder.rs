//! One transaction's writes in whatever order the replica's constraints allow.
//!
//! The origin's log tells a transaction in an order that immediate constraints may forbid, though its end is sound. Any write that violates is put off and tried
//! again when others have gone. Deletes go past deletes that were put off, and other writes past others; only where that leads nowhere does anything go past
//! anything. What is left in the end is a ring: rows that each hold what the next one needs.
//!
//! Writes of one key keep their order.
//!
//! Where a delete takes other rows with it at the replica (a foreign key with an action), it takes what it took at the origin only if it keeps its place:
//! nothing goes past it in either direction. The delete that is half of a row-key change took nothing at the origin; there the row is renamed in place.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use bytes::Bytes;

use super::{RowWrite, Work, WorkAction, WriteKind, singles};
use crate::model::{Row, TableName, key_text};

/// The writes of a transaction of which a part is left, one for each change, in position order. Where a delete would take other rows with it, a row-key change (a delete
/// and an insert) is one write that renames the row.
pub fn in_transaction(work: &[Work], takes_others: impl Fn(&TableName) -> bool) -> Vec<RowWrite> {
    let mut writes: Vec<RowWrite> = Vec::new();
    for mut write in singles(work) {
        let moved_from = match work.get(write.work).map(|work| &work.action) {
            Some(WorkAction::Apply(change)) => change.moved_from.as_ref(),
            Some(WorkAction::Park(_) | WorkAction::Redrive) | None => None,
        };
        let key = |row: &Row| key_text(&write.schema, &write.schema.key, row);
        let is_half = |delete: &RowWrite| {
            matches!(delete.kind, WriteKind::Delete { .. })
                && delete.schema.table == write.schema.table
                && key(&delete.row) == moved_from.and_then(key)
        };
        if write.kind == WriteKind::Insert
            && takes_others(&write.schema.table)
            && writes.last().is_some_and(is_half)
            && let Some(delete) = writes.pop()
        {
            write.kind = WriteKind::Move { from: delete.row };
        }
        writes.push(write);
    }
    writes
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Try these, by their indices among the writes, one after another up to the first that violates; then [`Reordering::went`].
    Try(Vec<usize>),
    /// All have gone.
    Done,
    /// What is left cannot go.
    Stuck,
}

/// What keeps its order: a key, or a whole table where one of its writes is about more than one key.
type Ordered = (TableName, Option<Bytes>);

/// Which writes of a transaction are to be tried next. Pure: whoever drives it tells how each try went.
#[derive(Debug)]
pub struct Reordering {
    writes: Vec<Candidate>,
    pending: BTreeSet<usize>,
    queues: HashMap<Ordered, VecDeque<usize>>,
    /// What this pass still has to try.
    pass: VecDeque<usize>,
    run: Vec<usize>,
    /// Of this pass: table and whether deletes; one that violated makes it likely that its like will too.
    unlikely: HashSet<(TableName, bool)>,
    progressed: bool,
    /// Nothing is unlikely in this pass.
    exact: bool,
}

#[derive(Debug)]
struct Candidate {
    ordered: Ordered,
    deletes: bool,
    /// Takes other rows with it.
    keeps_place: bool,
}

impl Reordering {
    /// Over the writes that [`in_transaction`] gave; `takes_others` tells the tables whose deletes take other rows with them.
    pub fn new(
        writes: &[RowWrite],
        work: &[Work],
        takes_others: impl Fn(&TableName) -> bool,
    ) -> Self {
        let wide: HashSet<&TableName> = writes
            .iter()
            .filter(|write| is_wide(&write.kind))
            .map(|write| &write.schema.table)
            .collect();
        let candidate = |write: &RowWrite| {
            let table = write.schema.table.clone();
            let key = work.get(write.work).map(|work| work.key.clone());
            let moves = matches!(write.kind, WriteKind::Move { .. });
            Candidate {
                keeps_place: (removes(&write.kind) || moves) && takes_others(&table),
                deletes: removes(&write.kind),
                ordered: (table, key.filter(|_| !wide.contains(&write.schema.table))),
            }
        };
        let writes: Vec<Candidate> = writes.iter().map(candidate).collect();
        let mut queues: HashMap<Ordered, VecDeque<usize>> = HashMap::new();
        for (index, write) in writes.iter().enumerate() {
            let queue = queues.entry(write.ordered.clone()).or_default();
            queue.push_back(index);
        }
        let mut reordering = Reordering {
            pending: (0..writes.len()).collect(),
            writes,
            queues,
            pass: VecDeque::new(),
            run: Vec::new(),
            unlikely: HashSet::new(),
            progressed: false,
            exact: false,
        };
        reordering.begin_pass();
        reordering
    }

    /// What to do next.
    pub fn turn(&mut self) -> Turn {
        loop {
            if self.pending.is_empty() {
                return Turn::Done;
            }
            self.run = self.next_run();
            if !self.run.is_empty() {
                return Turn::Try(self.run.clone());
            }
            if self.exact && !self.progressed {
                return Turn::Stuck;
            }
            self.exact = !self.progressed;
            self.begin_pass();
        }
    }

    /// How the last [`Turn::Try`] went: so many have gone, and whether the one behind them violated a constraint.
    pub fn went(&mut self, count: usize, violated: bool) {
        let run = std::mem::take(&mut self.run);
        for index in run.iter().take(count) {
            self.pending.remove(index);
            if let Some(write) = self.writes.get(*index)
                && let Some(queue) = self.queues.get_mut(&write.ordered)
            {
                queue.pop_front();
            }
        }
        self.progressed |= count > 0;
        let mut rest = run.into_iter().skip(count);
        if violated && let Some(write) = rest.next().and_then(|index| self.writes.get(index)) {
            self.unlikely
                .insert((write.ordered.0.clone(), write.deletes));
        }
        for index in rest.rev() {
            self.pass.push_front(index);
        }
    }

    fn begin_pass(&mut self) {
        self.pass = self.pending.iter().copied().collect();
        self.unlikely.clear();
        self.progressed = false;
    }

    /// What of this pass may be tried in a row: whatever stands behind nothing of its key that is not in the row before it.
    fn next_run(&mut self) -> Vec<usize> {
        let mut pass = std::mem::take(&mut self.pass).into_iter().peekable();
        let mut run = Vec::new();
        let mut in_run: HashMap<&Ordered, usize> = HashMap::new();
        let (mut put_passed_over, mut delete_passed_over) = (false, false);
        for index in &self.pending {
            let Some(write) = self.writes.get(*index) else {
                continue;
            };
            let in_pass = pass.next_if_eq(index).is_some();
            let kind = (write.ordered.0.clone(), write.deletes);
            // What is to be written may need what a later delete removes, and what is to be deleted may be held by what a later write refers to it with.
            let crosses = if write.deletes {
                put_passed_over
            } else {
                delete_passed_over
            };
            let unlikely = crosses || self.unlikely.contains(&kind);
            let before = in_run.entry(&write.ordered).or_default();
            let queue = self.queues.get(&write.ordered);
            let is_next = queue.and_then(|queue| queue.get(*before)) == Some(index);
            if write.keeps_place && (put_passed_over || delete_passed_over) {
                break;
            }
            if in_pass && is_next && (self.exact || !unlikely) {
                *before += 1;
                run.push(*index);
                continue;
            }
            if write.keeps_place {
                break;
            }
            put_passed_over |= !write.deletes;
            delete_passed_over |= write.deletes;
        }
        run
    }
}

fn removes(kind: &WriteKind) -> bool {
    matches!(kind, WriteKind::Delete { .. } | WriteKind::Truncate)
}

/// Whether a write is about more than its record's key.
fn is_wide(kind: &WriteKind) -> bool {
    match kind {
        WriteKind::Move { .. }
        | WriteKind::InsertUnkeyed
        | WriteKind::UpdateUnkeyed { .. }
        | WriteKind::DeleteUnkeyed
        | WriteKind::Truncate => true,
        WriteKind::Insert | WriteKind::Update | WriteKind::Merge | WriteKind::Delete { .. } => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Change, Column, Offset, Op, Position, TableSchema, Value};

    /// Letters are tables, numbers keys: `-p1` deletes, `p1` writes, `p1>2` is the second half of a change of the key from 1 to 2.
    fn work(text: &str) -> Vec<Work> {
        let mut work = Vec::new();
        for word in text.split(' ') {
            let (table, keys) = word.trim_start_matches('-').split_at(1);
            let (old, key) = keys.split_once('>').unwrap_or(("", keys));
            let schema = Arc::new(TableSchema {
                id: Default::default(),
                table: TableName::new("public", table),
                columns: vec![Column {
                    name: "id".into(),
                    type_name: "integer".into(),
                    nullable: false,
                    generated: false,
                }],
                key: vec![0],
                order_key: Vec::new(),
                uniques: Vec::new(),
                references: Vec::new(),
                referenced: Vec::new(),
            });
            let row = vec![Value::number(key)];
            let (op, before, after) = if word.starts_with('-') {
                (Op::Delete, Some(row), None)
            } else {
                (Op::Insert, None, Some(row))
            };
            work.push(Work {
                step: 0,
                offset: Offset(0),
                key: Bytes::copy_from_slice(key.as_bytes()),
                action: WorkAction::Apply(Arc::new(Change {
                    schema,
                    op,
                    before,
                    after,
                    moved_from: (!old.is_empty()).then(|| vec![Value::number(old)]),
                    position: Position::ZERO,
                    tx: 0,
                    committed_at_us: 0,
                })),
            });
        }
        work
    }

    /// Drives a reordering where a write may go only behind those named with it; returns the order.
    fn order(text: &str, needs: &[(&str, &str)], takes_others: &str) -> Option<String> {
        let words: Vec<&str> = text.split(' ').collect();
        let takes = |table: &TableName| *table.name == *takes_others;
        let work = work(text);
        let writes = in_transaction(&work, takes);
        let mut reordering = Reordering::new(&writes, &work, takes);
        let mut gone: Vec<&str> = Vec::new();
        loop {
            let run = match reordering.turn() {
                Turn::Try(run) => run,
                Turn::Done => return Some(gone.join(" ")),
                Turn::Stuck => return None,
            };
            let before = gone.len();
            let mut violated = false;
            for index in run {
                let word = words[writes[index].work];
                violated = needs
                    .iter()
                    .any(|(of, needed)| *of == word && !gone.contains(needed));
                if violated {
                    break;
                }
                gone.push(word);
            }
            reordering.went(gone.len() - before, violated);
        }
    }

    #[test]
    fn a_cascade_goes_children_first() {
        let needs = [("-p1", "-c1"), ("-p2", "-c3")];
        let order = order("-p1 -p2 -c1 -c2 -c3", &needs, "");
        assert_eq!(order.as_deref(), Some("-c1 -c2 -c3 -p1 -p2"));
    }

    #[test]
    fn a_child_told_before_its_parent_waits_for_it() {
        let order = order("c1 c2 p1", &[("c1", "p1")], "");
        assert_eq!(order.as_deref(), Some("p1 c1 c2"));
    }

    #[test]
    fn writes_of_one_key_keep_their_order() {
        let order = order("-p1 p1 -c1", &[("-p1", "-c1")], "");
        assert_eq!(order.as_deref(), Some("-c1 -p1 p1"));
    }

    #[test]
    fn nothing_goes_past_a_delete_that_takes_others_with_it() {
        let order = |needs: &[(&str, &str)]| order("c1 -p1 c2 p2", needs, "p");
        assert_eq!(order(&[]).as_deref(), Some("c1 -p1 c2 p2"));
        assert_eq!(order(&[("c2", "p2")]).as_deref(), Some("c1 -p1 p2 c2"));
        assert_eq!(order(&[("c1", "p2")]), None);
    }

    #[test]
    fn a_row_key_change_is_a_rename_where_the_delete_would_take_others() {
        for (told, takes_others, expect) in [
            ("-p1 p1>2 c1", "p", "p1>2 c1"),
            ("-p1 p1>2 c1", "", "-p1 p1>2 c1"),
            ("-p1 p2", "p", "-p1 p2"),
            ("-p3 p1>2", "p", "-p3 p1>2"),
        ] {
            assert_eq!(order(told, &[], takes_others).as_deref(), Some(expect));
        }
    }

    #[test]
    fn a_ring_is_stuck() {
        assert_eq!(order("c1 p1", &[("c1", "p1"), ("p1", "c1")], ""), None);
    }
}
