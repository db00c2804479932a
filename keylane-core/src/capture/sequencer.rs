//! From the origin's events to numbered, routed and stamped changes, in the order they are to be published.
//!
//! Numbering is a function of the transaction alone (what is published or not, and what is a replay, is decided after it), so a restart numbers the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::outbox::RowStep;
use super::{
    ChunkRequest, EventPublication, OriginEvent, OutboxRow, OutboxTables, Place, RefusedRow, Route,
    SnapshotPlan, TablePhase, TableProgress, Window, WriteSet, split_key_change,
};
use crate::model::{
    Change, Op, OrderHash, Position, Row, TableName, TableSchema, TopicPartition, murmur2,
};
use crate::publish::Stamp;

/// What follows from an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Sequenced {
    /// A change to publish.
    Publish(Box<Publication>),
    /// A change that the log holds already.
    Replay,
    /// A change of a table whose copy has not begun, or of one that is not captured: nothing to publish.
    Unpublished,
    /// The transaction is complete: everything up to `position` has been given out, and once it is durable the origin may forget up to `end`.
    Resolved {
        /// Everything up to here has been given out.
        position: Position,
        /// The origin may forget up to here.
        end: u64,
    },
    /// Readers wait for a marker: write one to every partition as soon as the transaction is complete.
    MarkerWanted,
    /// A chunk was given out, or a table's copy starts anew: its progress, to be stored once everything given out before is durable, and before the origin
    /// may forget this transaction.
    Copied {
        /// The table's progress at this place; the plan may be further by the time it is stored.
        progress: TableProgress,
        /// Rows of the chunk that were given out.
        rows: u64,
    },
    /// The chunk cannot be merged: ask for it again.
    ReadAgain,
    /// An event of an outbox to publish.
    Event(Box<EventPublication>),
    /// An event that the log holds already.
    EventReplay(OutboxRow),
    /// A row of an outbox that cannot be published: to be parked before the origin may forget this transaction.
    EventRefused(Box<RefusedRow>),
    /// The change does not carry every column of its row key or order key, so nothing tells where it belongs. Nothing may be published behind it.
    KeyIncomplete(TableName),
}

/// A change and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// The change.
    pub change: Change,
    /// Where.
    pub partition: TopicPartition,
    /// The record's key: the row key in canonical form, with the table in it where the topic is another's.
    pub key: String,
    /// The order key's hash.
    pub order: OrderHash,
    /// What it depends on.
    pub stamp: Stamp,
}

struct Transaction {
    commit: u64,
    tx: u64,
    committed_at_us: i64,
    ordinal: u32,
    marker_wanted: bool,
}

/// The sequencer of one capture session.
pub struct Sequencer {
    routes: BTreeMap<TableName, (Route, u32)>,
    outbox: Option<OutboxTables>,
    tails: BTreeMap<TopicPartition, Position>,
    highest_tail: Position,
    write_set: WriteSet,
    past_tails: bool,
    plan: SnapshotPlan,
    window: Window,
    outstanding: Option<(u64, TableName, u64)>,
    /// The table that is copied whole, until that is stored.
    unstored: Option<TableName>,
    chunk_id: u64,
    transaction: Option<Transaction>,
    resolved: Position,
}

impl Sequencer {
    /// A session whose partitions' tails were read, whose origin tells everything behind `confirmed`, and whose write set holds `entries_max` values.
    pub fn new(
        tails: BTreeMap<TopicPartition, Position>,
        confirmed: u64,
        plan: SnapshotPlan,
        entries_max: usize,
    ) -> Self {
        let highest_tail = tails.values().copied().max().unwrap_or_default();
        Sequencer {
            routes: BTreeMap::new(),
            outbox: None,
            tails,
            highest_tail,
            write_set: WriteSet::new(entries_max, Position::end_of(confirmed)),
            past_tails: false,
            plan,
            window: Window::default(),
            outstanding: None,
            unstored: None,
            chunk_id: 0,
            transaction: None,
            resolved: Position::new(confirmed, 0),
        }
    }

    /// Makes a table's route known.
    pub fn route(&mut self, table: TableName, route: Route) {
        let hash = murmur2(route.topic.as_bytes());
        self.routes.insert(table, (route, hash));
    }

    /// Rows of these tables are events.
    pub fn set_outbox(&mut self, outbox: OutboxTables) {
        self.outbox = Some(outbox);
    }

    /// The outbox tables, if there are any.
    pub fn outbox(&self) -> Option<&OutboxTables> {
        self.outbox.as_ref()
    }

    /// The outbox tables, to be told of their topics.
    pub fn outbox_mut(&mut self) -> Option<&mut OutboxTables> {
        self.outbox.as_mut()
    }

    /// Whether it is known what becomes of a table's changes.
    pub fn has_route(&self, table: &TableName) -> bool {
        self.routes.contains_key(table) || self.is_outbox(table)
    }

    fn is_outbox(&self, table: &TableName) -> bool {
        self.outbox
            .as_ref()
            .is_some_and(|outbox| outbox.holds(table))
    }

    /// How far the snapshot is.
    pub fn plan(&self) -> &SnapshotPlan {
        &self.plan
    }

    /// How far the snapshot is, to be changed (a table came).
    pub fn plan_mut(&mut self) -> &mut SnapshotPlan {
        &mut self.plan
    }

    /// Everything up to here has been given out.
    pub fn resolved(&self) -> Position {
        self.resolved
    }

    /// A table's progress that [`Sequenced::Copied`] told is stored durably. The next table's copy waits for it: else its rows could be in the log, and be
    /// applied, before rows of this one that they refer to and that a crash takes back.
    pub fn stored(&mut self, table: &TableName) {
        if self.unstored.as_ref() == Some(table) {
            self.unstored = None;
        }
    }

    /// The next piece to copy, if no transaction is open, none is outstanding, the table before is stored as done and the snapshot is not done. The caller
    /// stores the table's progress (`plan().current()`) durably before it asks the origin.
    pub fn next_chunk(&mut self, rows_max: u32) -> Option<ChunkRequest> {
        if self.outstanding.is_some() || self.transaction.is_some() || self.unstored.is_some() {
            return None;
        }
        // Below the highest tail a change of the table may count as a replay, because a marker passed it, though it was never published.
        let at = self.resolved.max(self.highest_tail).successor();
        let progress = self.plan.begin(at)?;
        let TablePhase::Copying { after, .. } = &progress.phase else {
            return None;
        };
        self.chunk_id += 1;
        self.window = Window::default();
        let request = ChunkRequest {
            id: self.chunk_id,
            table: progress.table.clone(),
            after: after.clone(),
            rows_max,
        };
        self.outstanding = Some((request.id, request.table.clone(), 0));
        Some(request)
    }

    /// Takes an event.
    pub fn step(&mut self, event: OriginEvent) -> Vec<Sequenced> {
        match event {
            OriginEvent::Begin {
                commit,
                tx,
                committed_at_us,
            } => {
                self.transaction = Some(Transaction {
                    commit,
                    tx,
                    committed_at_us,
                    ordinal: 0,
                    marker_wanted: false,
                });
                Vec::new()
            }
            OriginEvent::Insert { schema, after } => {
                self.change(schema, Op::Insert, None, Some(after))
            }
            OriginEvent::Update {
                schema,
                before,
                after,
            } => self.change(schema, Op::Update, before, Some(after)),
            OriginEvent::Delete { schema, before } => {
                self.change(schema, Op::Delete, Some(before), None)
            }
            OriginEvent::Truncate { schemas } => self.truncate(schemas),
            OriginEvent::Message => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.marker_wanted = true;
                }
                Vec::new()
            }
            OriginEvent::Chunk {
                id,
                schema,
                rows,
                next_after,
            } => self.chunk(id, &schema, rows, next_after),
            OriginEvent::Commit { end } => self.commit(end),
            OriginEvent::Idle { up_to } => {
                let position = Position::new(up_to, 0).predecessor();
                if self.transaction.is_some() || position <= self.resolved {
                    return Vec::new();
                }
                self.resolved = position;
                vec![Sequenced::Resolved {
                    position,
                    end: up_to,
                }]
            }
        }
    }

    fn commit(&mut self, end: u64) -> Vec<Sequenced> {
        let Some(transaction) = self.transaction.take() else {
            return Vec::new();
        };
        let position =
            Position::end_of(transaction.commit).max(Position::new(end, 0).predecessor());
        self.resolved = self.resolved.max(position);
        let marker = transaction.marker_wanted.then_some(Sequenced::MarkerWanted);
        [Sequenced::Resolved {
            position: self.resolved,
            end,
        }]
        .into_iter()
        .chain(marker)
        .collect()
    }

    fn change(
        &mut self,
        schema: Arc<TableSchema>,
        op: Op,
        before: Option<Row>,
        after: Option<Row>,
    ) -> Vec<Sequenced> {
        let Some(transaction) = &mut self.transaction else {
            return Vec::new();
        };
        let change = Change {
            schema,
            op,
            before,
            after,
            moved_from: None,
            position: Position::new(transaction.commit, transaction.ordinal),
            tx: transaction.tx,
            committed_at_us: transaction.committed_at_us,
        };
        let changes = split_key_change(change);
        transaction.ordinal = transaction.ordinal.saturating_add(changes.len() as u32);
        changes
            .into_iter()
            .flat_map(|change| self.place(change))
            .collect()
    }

    /// Children first: a replica with foreign keys takes them one by one.
    fn truncate(&mut self, schemas: Vec<Arc<TableSchema>>) -> Vec<Sequenced> {
        let mut left = schemas;
        let mut ordered: Vec<Arc<TableSchema>> = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let childless = left.iter().position(|parent| {
                let refers = |child: &Arc<TableSchema>| {
                    child.table != parent.table
                        && child
                            .references
                            .iter()
                            .any(|key| key.parent == parent.table)
                };
                !left.iter().any(refers)
            });
            // Tables that refer to each other in a ring have no right order.
            ordered.push(left.remove(childless.unwrap_or(0)));
        }
        ordered
            .into_iter()
            .flat_map(|schema| self.change(schema, Op::Truncate, None, None))
            .collect()
    }

    fn place(&mut self, change: Change) -> Vec<Sequenced> {
        if let Some(outbox) = self
            .outbox
            .as_ref()
            .filter(|it| it.holds(&change.schema.table))
        {
            return vec![match outbox.step(change) {
                RowStep::Publish(publication) => Sequenced::Event(publication),
                RowStep::Replay(row) => Sequenced::EventReplay(row),
                RowStep::Refused(refused) => Sequenced::EventRefused(refused),
                RowStep::Nothing => Sequenced::Unpublished,
            }];
        }
        let table = &change.schema.table;
        // What is not published is in the chunk only: it was committed before the chunk was read.
        if !self.plan.publishes(table, change.position) {
            return vec![Sequenced::Unpublished];
        }
        if self
            .outstanding
            .as_ref()
            .is_some_and(|(_, copied, _)| copied == table)
        {
            self.window.note(&change);
        }
        // An incomplete row that moves: the replica may not have it yet, and no later chunk would bring it if its new key is in the part that is copied.
        let anew = change
            .renames()
            .is_some()
            .then(|| self.plan.copy_anew(table))
            .flatten();
        let again = anew.map(|progress| Sequenced::Copied { progress, rows: 0 });
        [self.publication(change)]
            .into_iter()
            .chain(again)
            .collect()
    }

    fn publication(&mut self, change: Change) -> Sequenced {
        let Some((route, topic_hash)) = self.routes.get(&change.schema.table) else {
            return Sequenced::Unpublished;
        };
        let Some((key, order)) = route.keys(&change) else {
            return Sequenced::KeyIncomplete(change.schema.table.clone());
        };
        let partition = TopicPartition {
            topic: route.topic.clone(),
            partition: order.partition(route.partitions),
        };
        let place = Place {
            topic_hash: *topic_hash,
            partition: partition.partition,
            order,
        };
        let stamp = self.stamp(&change, place);
        if self
            .tails
            .get(&partition)
            .is_some_and(|tail| change.position <= *tail)
        {
            return Sequenced::Replay;
        }
        Sequenced::Publish(Box::new(Publication {
            change,
            partition,
            key,
            order,
            stamp,
        }))
    }

    /// Below the highest tail some changes are in the log already, among them snapshot rows that are not told again: there each change waits for everything
    /// before it. Above it the write set knows all.
    fn stamp(&mut self, change: &Change, place: Place) -> Stamp {
        if change.position <= self.highest_tail {
            return Stamp {
                floor: change.position.predecessor(),
                dependencies: Vec::new(),
            };
        }
        if !self.past_tails {
            self.past_tails = true;
            self.write_set.forget(self.highest_tail);
        }
        self.write_set.stamp(change, place)
    }

    fn chunk(
        &mut self,
        id: u64,
        schema: &Arc<TableSchema>,
        rows: Vec<Row>,
        next_after: Option<Vec<crate::model::Value>>,
    ) -> Vec<Sequenced> {
        // An answer to a request of an earlier session has no rows that count.
        let Some((outstanding, table, given)) = self.outstanding.take() else {
            return Vec::new();
        };
        if outstanding != id {
            self.outstanding = Some((outstanding, table, given));
            return Vec::new();
        }
        if self.window.must_read_again() {
            return vec![Sequenced::ReadAgain];
        }
        let mut out = Vec::with_capacity(rows.len() + 1);
        let keyed = schema.has_key();
        if !keyed && given == 0 {
            out.extend(self.read_change(schema, Op::Truncate, None));
        }
        let mut count = 0;
        for row in rows {
            let row = if keyed {
                self.window.merge(schema, row)
            } else {
                Some(row)
            };
            let Some(row) = row else { continue };
            count += 1;
            out.extend(self.read_change(schema, Op::Read, Some(row)));
        }
        if !keyed && next_after.is_some() {
            // The rest follows in the same transaction.
            self.outstanding = Some((id, table, given + count + 1));
            return out;
        }
        let progress = self.plan.copied(&table, given + count, next_after).cloned();
        if progress
            .as_ref()
            .is_some_and(|one| matches!(one.phase, TablePhase::Done { .. }))
        {
            self.unstored = Some(table);
        }
        out.extend(progress.map(|progress| Sequenced::Copied {
            progress,
            rows: given + count,
        }));
        out
    }

    fn read_change(
        &mut self,
        schema: &Arc<TableSchema>,
        op: Op,
        after: Option<Row>,
    ) -> Option<Sequenced> {
        let transaction = self.transaction.as_mut()?;
        let change = Change {
            schema: schema.clone(),
            op,
            before: None,
            after,
            moved_from: None,
            position: Position::new(transaction.commit, transaction.ordinal),
            tx: transaction.tx,
            committed_at_us: transaction.committed_at_us,
        };
        transaction.ordinal = transaction.ordinal.saturating_add(1);
        Some(self.publication(change))
    }
}
