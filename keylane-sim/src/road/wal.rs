//! The origin as a capturer sees it: a log of commits, a slot that one process holds, and chunk reads bracketed by the log.

use std::sync::Arc;

use keylane_core::capture::{ChunkRequest, OriginEvent};
use keylane_core::model::{Change, Op, Row, TableSchema, Value};

use crate::Chance;
use crate::model::{Shop, Transaction};

/// What stands at a place of the origin's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A transaction, by number.
    Transaction(usize),
    /// The answer to a chunk request.
    Answer(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub commit: u64,
    pub content: Content,
}

/// The slot: who holds it, and up to where the origin may have forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    pub owner: Option<usize>,
    pub confirmed: u64,
    pub epoch: u64,
}

/// The rows of an answer; only the session that asked has them.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub number: u64,
    pub request: u64,
    pub schema: Arc<TableSchema>,
    pub rows: Vec<Row>,
    pub next_after: Option<Vec<Value>>,
}

pub(super) struct Wal {
    /// The origin's rows after each number of transactions.
    states: Vec<Shop>,
    transactions: Vec<Transaction>,
    committed: usize,
    place: u64,
    answers: u64,
    pub entries: Vec<Entry>,
    pub slot: Slot,
    /// How many changes each transaction makes of row-key changes counted twice.
    pub positions: Vec<(u64, u32)>,
}

impl Wal {
    /// The first `before` transactions are in the rows, but not told any more.
    pub(super) fn new(states: Vec<Shop>, transactions: Vec<Transaction>, before: usize) -> Self {
        let mut wal = Wal {
            states,
            transactions,
            committed: before,
            place: 1000,
            answers: 0,
            entries: Vec::new(),
            slot: Slot::default(),
            positions: Vec::new(),
        };
        wal.slot.confirmed = wal.place;
        wal
    }

    pub(super) fn all_committed(&self) -> bool {
        self.committed == self.transactions.len()
    }

    /// The rows now.
    pub(super) fn now(&self) -> &Shop {
        &self.states[self.committed]
    }

    /// Everything so far stands before this place.
    pub(super) fn end(&self) -> u64 {
        self.place + 1
    }

    pub(super) fn commit(&mut self) {
        self.place += 10;
        let changes = &self.transactions[self.committed].changes;
        let count = changes
            .iter()
            .map(|change| if rekeys(change) { 2 } else { 1 })
            .sum();
        self.positions.push((self.place, count));
        self.entries.push(Entry {
            commit: self.place,
            content: Content::Transaction(self.committed),
        });
        self.committed += 1;
    }

    /// The first entry to tell a session that starts now.
    pub(super) fn resume(&self) -> usize {
        let confirmed = self.slot.confirmed;
        self.entries
            .partition_point(|entry| entry.commit < confirmed)
    }

    /// Reads a chunk as the rows stood a number of transactions ago, and writes its place into the log.
    pub(super) fn read(
        &self,
        request: &ChunkRequest,
        ago: usize,
    ) -> (Vec<Row>, Option<Vec<Value>>) {
        let shop = &self.states[self.committed.saturating_sub(ago)];
        let mut rows = shop.rows(&request.table);
        if *request.table.name == *"bag" {
            return (rows, None);
        }
        rows.sort_by_key(number);
        let after = request.after.as_ref().map(number);
        rows.retain(|row| after.is_none_or(|after| number(row) > after));
        let more = rows.len() > request.rows_max as usize;
        rows.truncate(request.rows_max as usize);
        let last = rows.last().filter(|_| more);
        let next_after = last.map(|row| vec![row[0].clone()]);
        (rows, next_after)
    }

    pub(super) fn answer(
        &mut self,
        request: &ChunkRequest,
        (rows, next_after): (Vec<Row>, Option<Vec<Value>>),
    ) -> Answer {
        self.place += 10;
        self.answers += 1;
        self.entries.push(Entry {
            commit: self.place,
            content: Content::Answer(self.answers),
        });
        let tables = self.now().tables();
        let schema = tables
            .into_iter()
            .find(|schema| schema.table == request.table);
        Answer {
            number: self.answers,
            request: request.id,
            schema: schema.expect("only the origin's tables are asked for"),
            rows,
            next_after,
        }
    }

    /// An entry's events.
    pub(super) fn events(
        &self,
        entry: Entry,
        answer: Option<&Answer>,
        chance: &mut Chance,
    ) -> Vec<OriginEvent> {
        let mut events = vec![OriginEvent::Begin {
            commit: entry.commit,
            tx: entry.commit,
            committed_at_us: 0,
        }];
        match (entry.content, answer) {
            (Content::Transaction(number), _) => {
                events.extend(told(&self.transactions[number].changes));
            }
            (Content::Answer(number), Some(answer)) if answer.number == number => {
                events.extend(chunks(answer, chance));
            }
            (Content::Answer(_), _) => events.push(OriginEvent::Message),
        }
        events.push(OriginEvent::Commit {
            end: entry.commit + 1,
        });
        events
    }
}

/// Truncates that follow one another were one statement.
fn told(changes: &[Change]) -> Vec<OriginEvent> {
    let mut events = Vec::new();
    for change in changes {
        let schema = change.schema.clone();
        let (before, after) = (change.before.clone(), change.after.clone());
        match (change.op, after) {
            (Op::Truncate, _) => match events.last_mut() {
                Some(OriginEvent::Truncate { schemas }) => schemas.insert(0, schema),
                _ => events.push(OriginEvent::Truncate {
                    schemas: vec![schema],
                }),
            },
            (Op::Insert | Op::Read, Some(after)) => {
                events.push(OriginEvent::Insert { schema, after })
            }
            (Op::Update, Some(after)) => events.push(OriginEvent::Update {
                schema,
                before,
                after,
            }),
            _ => events.push(OriginEvent::Delete {
                schema,
                before: before.unwrap_or_default(),
            }),
        }
    }
    events
}

fn chunks(answer: &Answer, chance: &mut Chance) -> Vec<OriginEvent> {
    let chunk = |rows: Vec<Row>, next_after| OriginEvent::Chunk {
        id: answer.request,
        schema: answer.schema.clone(),
        rows,
        next_after,
    };
    if answer.schema.has_key() || answer.rows.is_empty() {
        return vec![chunk(answer.rows.clone(), answer.next_after.clone())];
    }
    let at = chance.below(answer.rows.len());
    let (first, rest) = answer.rows.split_at(at);
    vec![
        chunk(first.to_vec(), Some(Vec::new())),
        chunk(rest.to_vec(), None),
    ]
}

fn rekeys(change: &Change) -> bool {
    let keyed = change.schema.has_key();
    let (before, after) = (&change.before, &change.after);
    match (before, after) {
        (Some(before), Some(after)) => keyed && before[0] != after[0],
        _ => false,
    }
}

fn number(row: &Row) -> u64 {
    match row.first() {
        Some(Value::Number(digits)) => digits.parse().unwrap_or(0),
        _ => 0,
    }
}
