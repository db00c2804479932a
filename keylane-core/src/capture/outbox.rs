//! The outbox tables of a capture session: what becomes of their rows.
//!
//! A row is published when it is inserted, and only then: what deletes it (its writer, in the same transaction, or the purge behind its publication) says nothing. Events stand in the
//! same numbering as all changes, so the tail of a topic's partition tells which of them it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::OriginEvent;
use crate::model::{Change, Op, OrderHash, Position, Row, TableName, TableSchema, TopicPartition};
use crate::outbox::{Event, Refusal, RefusalCode, Rules, TOPICS_MAX, place};

/// A topic that events go into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventTopic {
    /// Its number of partitions.
    pub partitions: u32,
    /// The largest record that it takes, if it tells.
    pub record_bytes_max: Option<usize>,
}

/// A row of an outbox table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxRow {
    /// Its table.
    pub table: TableName,
    /// Its number there.
    pub seq: i64,
}

/// An event to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPublication {
    /// The event.
    pub event: Event,
    /// Where to.
    pub partition: TopicPartition,
    /// The hash of what it is ordered by.
    pub order: OrderHash,
    /// Where it stands at the origin.
    pub position: Position,
    /// When the origin committed it, microseconds since 1970.
    pub committed_at_us: i64,
    /// Its row.
    pub row: OutboxRow,
}

/// A row that cannot be published, whole, to be written back with the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedRow {
    /// Which.
    pub row: OutboxRow,
    /// Its table's shape.
    pub schema: Arc<TableSchema>,
    /// Its cells.
    pub cells: Row,
    /// Why.
    pub refusal: Refusal,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RowStep {
    Publish(Box<EventPublication>),
    /// The log holds it.
    Replay(OutboxRow),
    Refused(Box<RefusedRow>),
    Nothing,
}

/// The outbox tables of one session.
#[derive(Clone, Debug)]
pub struct OutboxTables {
    tables: BTreeSet<TableName>,
    rules: Rules,
    /// Topics that tables' changes go into, which are no events'.
    of_tables: BTreeSet<Arc<str>>,
    /// What is known of topics; `None`: it is not there.
    topics: BTreeMap<Arc<str>, Option<EventTopic>>,
    tails: BTreeMap<TopicPartition, Position>,
}

impl OutboxTables {
    /// These tables, and the topics that other tables' changes go into.
    pub fn new(
        tables: impl IntoIterator<Item = TableName>,
        rules: Rules,
        of_tables: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        OutboxTables {
            tables: tables.into_iter().collect(),
            rules,
            of_tables: of_tables.into_iter().collect(),
            topics: BTreeMap::new(),
            tails: BTreeMap::new(),
        }
    }

    /// Whether it is one of them.
    pub fn holds(&self, table: &TableName) -> bool {
        self.tables.contains(table)
    }

    /// The topic that a row names, if it may name it and nothing is known of it: it is to be opened before the event is taken in.
    pub fn unknown_topic(&self, event: &OriginEvent) -> Option<Arc<str>> {
        let OriginEvent::Insert { schema, after } = event else {
            return None;
        };
        if !self.holds(&schema.table) || self.topics.len() >= TOPICS_MAX {
            return None;
        }
        let topic = Event::topic_of_row(schema, after);
        let is_new = !self.topics.contains_key(topic) && !self.of_tables.contains(topic);
        let may = is_new
            && self.rules.allow(topic).is_ok()
            && place(schema, after).is_some_and(|place| !place.is_parked);
        may.then(|| topic.into())
    }

    /// A topic is open: how far each of its partitions is.
    pub fn open(
        &mut self,
        name: Arc<str>,
        topic: EventTopic,
        tails: BTreeMap<TopicPartition, Position>,
    ) {
        self.topics.insert(name, Some(topic));
        self.tails.extend(tails);
    }

    /// There is no such topic.
    pub fn missing(&mut self, name: Arc<str>) {
        self.topics.insert(name, None);
    }

    /// Topics that were not there are asked for anew when a row names them next.
    pub fn forget_missing(&mut self) {
        self.topics.retain(|_, topic| topic.is_some());
    }

    pub(super) fn step(&self, change: Change) -> RowStep {
        let is_new = change.op == Op::Insert && change.moved_from.is_none();
        let (schema, position) = (change.schema, change.position);
        let Some(cells) = change.after.filter(|_| is_new) else {
            return RowStep::Nothing;
        };
        let Some(stands) = place(&schema, &cells).filter(|place| !place.is_parked) else {
            return RowStep::Nothing;
        };
        let row = OutboxRow {
            table: schema.table.clone(),
            seq: stands.seq,
        };
        let routed = Event::of_row(&schema, &cells, &self.rules)
            .and_then(|event| self.route(&event).map(|partition| (event, partition)));
        match routed {
            Ok((_, partition))
                if self
                    .tails
                    .get(&partition)
                    .is_some_and(|tail| position <= *tail) =>
            {
                RowStep::Replay(row)
            }
            Ok((event, partition)) => RowStep::Publish(Box::new(EventPublication {
                order: event.order(),
                event,
                partition,
                position,
                committed_at_us: change.committed_at_us,
                row,
            })),
            Err(refusal) => RowStep::Refused(Box::new(RefusedRow {
                row,
                schema,
                cells,
                refusal,
            })),
        }
    }

    fn route(&self, event: &Event) -> Result<TopicPartition, Refusal> {
        let topic = &event.topic;
        if self.of_tables.contains(topic) {
            let why = format!("topic {topic} holds the changes of a table");
            return Err(Refusal::new(RefusalCode::TopicNotAllowed, why));
        }
        match self.topics.get(topic) {
            Some(Some(known)) => {
                let (size, max) = (event.size_bytes(), known.record_bytes_max);
                if let Some(max) = max.filter(|max| size + RECORD_BYTES > *max) {
                    let why = format!(
                        "the event has {size} bytes, topic {topic} takes {max} (max.message.bytes) with {RECORD_BYTES} for its framing"
                    );
                    return Err(Refusal::new(RefusalCode::TooLarge, why));
                }
                let number = event.order().partition(known.partitions);
                Ok(TopicPartition::new(topic.clone(), number))
            }
            Some(None) => Err(Refusal::new(
                RefusalCode::TopicMissing,
                format!("topic {topic} is not there"),
            )),
            None => Err(Refusal::new(
                RefusalCode::TopicNotAllowed,
                format!("topic {topic} would be one of more than {TOPICS_MAX}"),
            )),
        }
    }
}

/// What a record takes besides its event: Keylane's own header, and the frame of its batch.
const RECORD_BYTES: usize = 512;

#[cfg(test)]
mod tests;
