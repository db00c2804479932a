//! The write set: which earlier change each change depends on, from a bounded history. After MySQL's WRITESET dependency tracking, per record and per
//! acquisition.
//!
//! - Every change depends on the last change of its row.
//! - A put *acquires* its row key and unique values and depends on the last acquisition of each; it *references* its parents and depends on the acquisition by
//!   which each parent came to hold what is referred to: that it was updated since, and kept its key, matters to nobody who refers to it.
//! - What a row gives up that others may refer to (a parent's delete, its new key, its new value in a referenced unique column) depends on every reference
//!   to it. If neither the before image nor the history tells the value given up, the change depends on everything before it.
//! - A truncate or a change of schema depends on everything before it, and everything after depends on it.
//!
//! Dependencies inside one lane need no stamp: a lane keeps its order. A dependency on a single change names it (topic, partition, order hash, position), so
//! that a reader waits for that lane alone; what would need a list becomes the stamp's floor (everything up to a position, everywhere). Naming is sound
//! because each acquisition itself depended on the one before it. When the history is full it is forgotten and its place becomes the floor of all that follows:
//! more waiting, never wrong. No before image is needed: a release that the stamps cannot know only points backwards, and an applier that meets it waits for
//! everything before (see `apply::Lanes`).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::model::{
    Change, Op, OrderHash, Position, Row, TableName, TableSchema, Value, canonical,
};
use crate::publish::{Dependency, Stamp};

/// Where a change goes in the log; two changes of equal places are in one lane whatever the lane count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Murmur2 of the topic's name.
    pub topic_hash: u32,
    /// The partition.
    pub partition: u32,
    /// The order key's hash.
    pub order: OrderHash,
}

/// An acquisition of a value.
#[derive(Clone, Copy)]
struct Touch {
    place: Place,
    position: Position,
}

/// Who holds a value.
#[derive(Clone, Copy)]
struct Holder {
    /// Its last acquisition.
    last: Touch,
    /// The one since which it was held without a break; `None` if that was before the history.
    since: Option<Touch>,
}

impl Holder {
    fn anew(touch: Touch) -> Self {
        Holder {
            last: touch,
            since: Some(touch),
        }
    }
}

/// References to a value: all from one place, or from several.
#[derive(Clone, Copy)]
enum References {
    One(Touch),
    Many(Position),
}

/// The bounded history.
pub struct WriteSet {
    acquired: HashMap<u64, Holder>,
    references: HashMap<u64, References>,
    /// What a row holds in referenced columns besides its key, by (row, columns).
    held: HashMap<u64, u64>,
    entries_max: usize,
    floor: Position,
    hasher: RandomState,
}

impl WriteSet {
    /// An empty history of at most `entries_max` values (about 100 bytes each), whose past up to `floor` is unknown.
    pub fn new(entries_max: usize, floor: Position) -> Self {
        WriteSet {
            acquired: HashMap::new(),
            references: HashMap::new(),
            held: HashMap::new(),
            entries_max,
            floor,
            hasher: RandomState::new(),
        }
    }

    /// Stamps a change that goes to `place`, and remembers it. Changes come in position order.
    pub fn stamp(&mut self, change: &Change, place: Place) -> Stamp {
        if self.acquired.len() + self.references.len() + self.held.len() >= self.entries_max {
            self.forget(change.position.predecessor());
        }
        let schema = &*change.schema;
        let mut stamp = Stamp {
            floor: self.floor,
            dependencies: Vec::new(),
        };
        if change.op == Op::Truncate {
            stamp.floor = change.position.predecessor();
            self.forget(change.position);
            return stamp;
        }
        let touch = Touch {
            place,
            position: change.position,
        };
        let renames = change.renames();
        let keeps_key = change.op == Op::Update && renames.is_none();
        let old = renames.or(change.before.as_ref());
        let new = change.after.as_ref();
        if change.op != Op::Insert && change.op != Op::Read || renames.is_some() {
            self.release(&mut stamp, schema, old, new, touch);
        }
        if let Some(old) = old {
            self.acquire(&mut stamp, schema, &schema.key, old, touch, keeps_key);
        } else if let Some(moved) = &change.moved_from
            && let Some(token) = self.row_token(schema, &schema.key, moved)
        {
            // The other half goes first: where deletes take others with them, both go as one.
            self.look(&mut stamp, token, place);
        }
        if let Some(new) = new {
            self.put(&mut stamp, schema, new, touch, keeps_key);
        }
        stamp
    }

    /// Everything up to `position` becomes unknown: what follows waits for it.
    pub fn forget(&mut self, position: Position) {
        self.acquired.clear();
        self.references.clear();
        self.held.clear();
        self.floor = self.floor.max(position);
    }

    fn put(
        &mut self,
        stamp: &mut Stamp,
        schema: &TableSchema,
        row: &Row,
        touch: Touch,
        keeps_key: bool,
    ) {
        self.acquire(stamp, schema, &schema.key, row, touch, keeps_key);
        for unique in schema.uniques.iter().chain(
            schema
                .referenced
                .iter()
                .filter(|columns| **columns != schema.key),
        ) {
            // The value may be another than before, which is not always told.
            self.acquire(stamp, schema, unique, row, touch, false);
        }
        for columns in schema
            .referenced
            .iter()
            .filter(|columns| **columns != schema.key)
        {
            if let (Some(place), Some(token)) = (
                self.holding(schema, columns, row),
                self.row_token(schema, columns, row),
            ) {
                self.held.insert(place, token);
            }
        }
        for reference in &schema.references {
            let Some(token) = self.child_token(schema, reference, row) else {
                continue;
            };
            if let Some(since) = self.acquired.get(&token).and_then(|held| held.since) {
                depend(stamp, since, touch.place);
            }
            let entry = match self.references.get(&token) {
                None => References::One(touch),
                Some(References::One(earlier)) if earlier.place == touch.place => {
                    References::One(touch)
                }
                Some(References::One(_) | References::Many(_)) => References::Many(touch.position),
            };
            self.references.insert(token, entry);
        }
    }

    /// The row gives up what it held in referenced columns, as far as it changes: every reference to that comes first.
    fn release(
        &mut self,
        stamp: &mut Stamp,
        schema: &TableSchema,
        old: Option<&Row>,
        new: Option<&Row>,
        touch: Touch,
    ) {
        for columns in &schema.referenced {
            let given_up = match old {
                Some(old) if tells(columns, old) => self.row_token(schema, columns, old),
                // A before image that is not sent means that the row key stayed.
                None if *columns == schema.key => continue,
                // Not sent because it is unchanged.
                _ if new.is_some_and(|new| !tells(columns, new)) => continue,
                _ => match new
                    .or(old)
                    .and_then(|row| self.held_by(schema, columns, row))
                {
                    Some(held) => Some(held),
                    None => {
                        stamp.floor = stamp.floor.max(touch.position.predecessor());
                        continue;
                    }
                },
            };
            let Some(given_up) = given_up else { continue };
            if new.and_then(|new| self.row_token(schema, columns, new)) == Some(given_up) {
                continue;
            }
            match self.references.get(&given_up).copied() {
                Some(References::One(earlier)) => depend(stamp, earlier, touch.place),
                Some(References::Many(position)) => stamp.floor = stamp.floor.max(position),
                None => {}
            }
            // Where references are checked at commit, the next one to this value may be told before its next holder.
            self.look(stamp, given_up, touch.place);
            self.acquired.insert(given_up, Holder::anew(touch));
        }
    }

    /// What the history says that the row holds in these columns.
    fn held_by(&self, schema: &TableSchema, columns: &[usize], row: &Row) -> Option<u64> {
        let place = self.holding(schema, columns, row)?;
        self.held.get(&place).copied()
    }

    fn holding(&self, schema: &TableSchema, columns: &[usize], row: &Row) -> Option<u64> {
        let row = self.row_token(schema, &schema.key, row)?;
        Some(self.hasher.hash_one((row, columns)))
    }

    fn row_token(&self, schema: &TableSchema, columns: &[usize], row: &Row) -> Option<u64> {
        let names = columns.iter().map(|index| name_of(schema, *index));
        self.token(&schema.table, names, schema, columns, row)
    }

    fn acquire(
        &mut self,
        stamp: &mut Stamp,
        schema: &TableSchema,
        columns: &[usize],
        row: &Row,
        touch: Touch,
        held_already: bool,
    ) {
        if columns.is_empty() {
            return;
        }
        let Some(token) = self.row_token(schema, columns, row) else {
            return;
        };
        self.look(stamp, token, touch.place);
        let held = if held_already {
            let since = self.acquired.get(&token).and_then(|held| held.since);
            Holder { last: touch, since }
        } else {
            Holder::anew(touch)
        };
        self.acquired.insert(token, held);
    }

    fn look(&self, stamp: &mut Stamp, token: u64, place: Place) {
        if let Some(held) = self.acquired.get(&token) {
            depend(stamp, held.last, place);
        }
    }

    fn child_token(
        &self,
        schema: &TableSchema,
        reference: &crate::model::ForeignKey,
        row: &Row,
    ) -> Option<u64> {
        self.token(
            &reference.parent,
            reference.parent_columns.iter().map(|name| &**name),
            schema,
            &reference.columns,
            row,
        )
    }

    /// The fingerprint of (table, columns, values); `None` if a value is NULL or absent (then it is not held by any constraint, or did not change).
    /// Columns are put in one order, so that a foreign key finds its parent's unique key however either lists them. Two values that share a fingerprint
    /// only wait for each other.
    fn token<'a>(
        &self,
        table: &TableName,
        names: impl Iterator<Item = &'a str>,
        schema: &TableSchema,
        columns: &[usize],
        row: &Row,
    ) -> Option<u64> {
        let mut parts = Vec::with_capacity(columns.len());
        for (name, index) in names.zip(columns) {
            let value = canonical(&schema.columns.get(*index)?.type_name, row.get(*index)?)?;
            if value == Value::Null {
                return None;
            }
            parts.push((name, value.as_sql_text()?.into_owned()));
        }
        parts.sort();
        Some(self.hasher.hash_one((&table.schema, &table.name, parts)))
    }
}

/// Whether the row carries all these columns.
fn tells(columns: &[usize], row: &Row) -> bool {
    let told = |index: &usize| row.get(*index).is_some_and(Value::is_present);
    columns.iter().all(told)
}

fn name_of(schema: &TableSchema, index: usize) -> &str {
    schema.columns.get(index).map_or("", |column| &column.name)
}

fn depend(stamp: &mut Stamp, on: Touch, place: Place) {
    if on.place == place || on.position <= stamp.floor {
        return;
    }
    let dependency = Dependency {
        topic_hash: on.place.topic_hash,
        partition: on.place.partition,
        order: on.place.order,
        position: on.position,
    };
    if let Some(same) = stamp.dependencies.iter_mut().find(|other| {
        (other.topic_hash, other.partition, other.order)
            == (
                dependency.topic_hash,
                dependency.partition,
                dependency.order,
            )
    }) {
        same.position = same.position.max(dependency.position);
    } else if stamp.dependencies.len() < Stamp::DEPENDENCIES_MAX {
        stamp.dependencies.push(dependency);
    } else {
        stamp.floor = stamp.floor.max(dependency.position);
    }
}

#[cfg(test)]
mod tests;
