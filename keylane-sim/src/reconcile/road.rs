//! The road between two tables of one column beside the key.

use std::collections::BTreeMap;

use crate::Chance;

/// A table's rows.
pub(super) type Rows = BTreeMap<i64, i64>;

/// A change: a row's new value, or that it is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub key: i64,
    pub value: Option<i64>,
    /// Lost on the way: no record tells of it.
    lost: bool,
}

/// A partition of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    /// Places in the origin's history.
    pub records: Vec<usize>,
    pub applied: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Road {
    /// As its readers see it.
    pub origin: Rows,
    /// How many of its changes they see: the log may have more, while the origin waits for a synchronous standby.
    visible: usize,
    pub replica: Rows,
    /// The replica's rows as they should be by now: every change that was passed took effect, and nothing else did.
    pub right: Rows,
    /// All changes of the origin, in the order of their commits.
    history: Vec<Change>,
    /// How many of them the log has.
    captured: usize,
    pub partitions: Vec<Partition>,
    /// Nobody but the one who mends writes the replica.
    pub fenced: bool,
}

impl Road {
    pub fn new(keys: i64, partitions: usize) -> Self {
        let rows: Rows = (0..keys).map(|key| (key, 0)).collect();
        Road {
            origin: rows.clone(),
            visible: 0,
            replica: rows.clone(),
            right: rows,
            history: Vec::new(),
            captured: 0,
            partitions: vec![Partition::default(); partitions],
            fenced: false,
        }
    }

    fn partition_of(&self, key: i64) -> usize {
        usize::try_from(key).unwrap_or(0) % self.partitions.len()
    }

    /// A commit at the origin; values come back.
    pub fn commit(&mut self, keys: i64, lost: bool, chance: &mut Chance) {
        let key = chance.below(usize::try_from(keys).unwrap_or(1)) as i64;
        let value = (!chance.percent(30)).then(|| chance.below(3) as i64);
        self.history.push(Change { key, value, lost });
    }

    /// The origin's readers see the next change. Whether there was one.
    pub fn show(&mut self) -> bool {
        let Some(change) = self.history.get(self.visible) else {
            return false;
        };
        set(&mut self.origin, change.key, change.value);
        self.visible += 1;
        true
    }

    /// The log gets the next change. Whether there was one.
    pub fn capture(&mut self) -> bool {
        let Some(change) = self.history.get(self.captured) else {
            return false;
        };
        let place = self.partition_of(change.key);
        // A lost change has a place, so that it is passed in its turn, but its record is not there.
        self.partitions[place].records.push(self.captured);
        self.captured += 1;
        true
    }

    /// A partition's next record takes effect. Whether there was one.
    pub fn apply(&mut self, number: usize) -> bool {
        if self.fenced {
            return false;
        }
        let partition = &mut self.partitions[number];
        let Some(place) = partition.records.get(partition.applied) else {
            return false;
        };
        partition.applied += 1;
        let change = self.history[*place];
        set(&mut self.right, change.key, change.value);
        if !change.lost {
            set(&mut self.replica, change.key, change.value);
        }
        true
    }

    /// A mark at the origin: its place. It waits for whom all before it wait for, so that they are seen.
    pub fn mark(&mut self) -> usize {
        while self.show() {}
        self.history.len()
    }

    /// Whether everything before a mark is applied.
    pub fn has_applied(&self, mark: usize) -> bool {
        let behind = |partition: &Partition| {
            let next = partition.records.get(partition.applied);
            next.is_none_or(|place| *place >= mark)
        };
        self.captured >= mark && self.partitions.iter().all(behind)
    }

    pub fn ends(&self) -> Vec<usize> {
        self.partitions.iter().map(|it| it.records.len()).collect()
    }

    /// Whether a record of the key lies between two ends; with `lost`, whether one would that was lost.
    pub fn touched(&self, key: i64, (from, to): (&[usize], &[usize]), lost: bool) -> bool {
        let number = self.partition_of(key);
        let records = &self.partitions[number].records;
        let between = records.get(from[number]..to[number]);
        let mut between = between.unwrap_or_default().iter();
        between.any(|place| {
            let change = &self.history[*place];
            change.key == key && change.lost == lost
        })
    }

    /// A write at the replica that is nobody's change.
    pub fn rogue(&mut self, key: i64, value: Option<i64>) {
        if !self.fenced {
            set(&mut self.replica, key, value);
        }
    }

    /// Everything is captured and applied.
    pub fn drain(&mut self) {
        while self.show() {}
        while self.capture() {}
        for number in 0..self.partitions.len() {
            while self.apply(number) {}
        }
    }
}

pub(super) fn set(rows: &mut Rows, key: i64, value: Option<i64>) {
    match value {
        Some(value) => rows.insert(key, value),
        None => rows.remove(&key),
    };
}
