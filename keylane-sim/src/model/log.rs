//! A log with faults: what a producer hands over lands later, in order for each producer and partition, perhaps after its death, perhaps only a prefix.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use keylane_core::capture::TableProgress;
use keylane_core::model::{Change, Offset, TopicPartition};
use keylane_core::publish::{Checkpoint, RawRecord};

use crate::Chance;

/// A batch's number.
pub(crate) type Ticket = usize;

/// What a control record says.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    Open,
    Table(TableProgress),
    Checkpoint(BTreeMap<TopicPartition, Checkpoint>),
}

/// What a producer has handed over for one partition: batch, place in the batch, record.
type Pipe = VecDeque<(Ticket, usize, RawRecord)>;

#[derive(Default)]
struct Batch {
    missing: usize,
    offsets: Vec<Option<(TopicPartition, Offset)>>,
}

#[derive(Default)]
pub(crate) struct Log {
    pub partitions: BTreeMap<TopicPartition, Vec<RawRecord>>,
    /// What change records hold.
    pub changes: Vec<Arc<Change>>,
    /// What control records hold.
    pub controls: Vec<Control>,
    /// The lowest offset that retention has left.
    starts: BTreeMap<TopicPartition, Offset>,
    batches: Vec<Batch>,
    pipes: BTreeMap<(usize, TopicPartition), Pipe>,
}

impl Log {
    pub(crate) fn control() -> TopicPartition {
        TopicPartition::new("control", 0)
    }

    /// Hands records over.
    pub(crate) fn append(
        &mut self,
        producer: usize,
        records: Vec<(TopicPartition, RawRecord)>,
    ) -> Ticket {
        let ticket = self.batches.len();
        self.batches.push(Batch {
            missing: records.len(),
            offsets: vec![None; records.len()],
        });
        for (index, (partition, record)) in records.into_iter().enumerate() {
            let pipe = self.pipes.entry((producer, partition)).or_default();
            pipe.push_back((ticket, index, record));
        }
        ticket
    }

    /// The offsets of a batch all of whose records have landed.
    pub(crate) fn durable(&self, ticket: Ticket) -> Option<Vec<(TopicPartition, Offset)>> {
        let batch = &self.batches[ticket];
        (batch.missing == 0).then(|| batch.offsets.iter().flatten().cloned().collect())
    }

    pub(crate) fn anything_in_flight(&self) -> bool {
        self.pipes.values().any(|pipe| !pipe.is_empty())
    }

    /// One record lands.
    pub(crate) fn land(&mut self, chance: &mut Chance) {
        let full: Vec<(usize, TopicPartition)> = self
            .pipes
            .iter()
            .filter(|(_, pipe)| !pipe.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        let Some(name) = chance.pick(&full) else {
            return;
        };
        let Some((ticket, index, mut record)) =
            self.pipes.get_mut(name).and_then(VecDeque::pop_front)
        else {
            return;
        };
        let records = self.partitions.entry(name.1.clone()).or_default();
        let offset = Offset(records.len() as u64);
        record.offset = offset;
        records.push(record);
        let batch = &mut self.batches[ticket];
        batch.offsets[index] = Some((name.1.clone(), offset));
        batch.missing -= 1;
    }

    /// The producer dies: of each pipe a suffix is lost, the rest lands later.
    pub(crate) fn crash(&mut self, producer: usize, chance: &mut Chance) {
        for ((of, _), pipe) in &mut self.pipes {
            if *of == producer {
                let kept = chance.below(pipe.len() + 1);
                pipe.truncate(kept);
            }
        }
    }

    /// The lowest offset still held.
    pub(crate) fn start(&self, partition: &TopicPartition) -> Offset {
        self.starts.get(partition).copied().unwrap_or_default()
    }

    /// The next offset of each partition.
    pub(crate) fn ends(&self) -> BTreeMap<TopicPartition, Offset> {
        let end =
            |(of, all): (&TopicPartition, &Vec<RawRecord>)| (of.clone(), Offset(all.len() as u64));
        self.partitions.iter().map(end).collect()
    }

    /// What is still held of a range.
    pub(crate) fn between(
        &self,
        partition: &TopicPartition,
        from: Offset,
        end: Offset,
    ) -> Vec<RawRecord> {
        let from = from.max(self.start(partition));
        let within = |record: &&RawRecord| record.offset >= from && record.offset < end;
        let all = self.partitions.get(partition).into_iter().flatten();
        all.filter(within).cloned().collect()
    }

    /// Retention empties a part of what lies behind the youngest checkpoint that counts.
    pub(crate) fn retain(&mut self, chance: &mut Chance) {
        let (mut current, mut stored) = (0, None);
        for record in &self.partitions[&Self::control()] {
            let (kind, epoch, _) = glance(record);
            match kind {
                'o' => current = epoch.max(current),
                'x' if epoch == current => {
                    let value = record.value.as_deref().unwrap_or_default();
                    if let Control::Checkpoint(all) = &self.controls[number_of(value)] {
                        stored = Some(all);
                    }
                }
                _ => {}
            }
        }
        for (partition, checkpoint) in stored.into_iter().flatten() {
            let start = self.starts.entry(partition.clone()).or_default();
            let room = checkpoint.offset.0.saturating_sub(start.0) as usize;
            start.0 += chance.below(room + 1) as u64;
        }
    }

    pub(crate) fn number_change(&mut self, change: Change) -> Bytes {
        self.changes.push(Arc::new(change));
        super::value_of((self.changes.len() - 1) as u32)
    }

    pub(crate) fn number_control(&mut self, control: Control) -> Bytes {
        self.controls.push(control);
        super::value_of((self.controls.len() - 1) as u32)
    }
}

/// The number that a record's value holds.
pub(crate) fn number_of(value: &[u8]) -> usize {
    let digit = |number: usize, byte: &u8| (number << 8) | usize::from(*byte);
    value.iter().fold(0, digit)
}

/// A record's kind, epoch and position, read without the code under test.
pub(crate) fn glance(record: &RawRecord) -> (char, u64, (u64, u64)) {
    let text = String::from_utf8_lossy(record.keylane.as_deref().unwrap_or_default()).into_owned();
    let field = |name: &str| {
        let of = |field: &str| {
            field
                .strip_prefix(name)?
                .strip_prefix('=')
                .map(str::to_owned)
        };
        text.split(' ').find_map(of).unwrap_or_default()
    };
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
    let position = field("p");
    let (commit, ordinal) = position.split_once('.').unwrap_or(("", ""));
    let kind = field("k").chars().next().unwrap_or(' ');
    (kind, hex(&field("e")), (hex(commit), hex(ordinal)))
}

/// The positions of the change records that count. `judge` is told of each epoch that is opened (true) and asked for each change's epoch (false).
pub(crate) fn accepted(
    records: &[RawRecord],
    mut judge: impl FnMut(bool, u64) -> bool,
) -> Vec<(u64, u64)> {
    let mut out = Vec::new();
    for (kind, epoch, position) in records.iter().map(glance) {
        match kind {
            'o' => {
                judge(true, epoch);
            }
            'c' if judge(false, epoch) => out.push(position),
            _ => {}
        }
    }
    out
}
