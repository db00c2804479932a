//! A log with faults: what a producer hands over lands later, in order for each producer and partition, perhaps after its death, perhaps only a prefix.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use keylane_core::capture::TableProgress;
use keylane_core::model::{Change, Offset, TopicPartition};
use keylane_core::publish::{Checkpoint, RawRecord};

use crate::Chance;

/// A batch's number.
pub(super) type Ticket = usize;

/// What a control record says.
#[derive(Clone, Debug)]
pub(super) enum Control {
    Open,
    Table(TableProgress),
    Checkpoint(BTreeMap<TopicPartition, Checkpoint>),
}

#[derive(Default)]
struct Batch {
    missing: usize,
    offsets: Vec<Option<(TopicPartition, Offset)>>,
}

#[derive(Default)]
pub(super) struct Log {
    pub partitions: BTreeMap<TopicPartition, Vec<RawRecord>>,
    /// What change records hold.
    pub changes: Vec<Arc<Change>>,
    /// What control records hold.
    pub controls: Vec<Control>,
    batches: Vec<Batch>,
    pipes: BTreeMap<(usize, TopicPartition), VecDeque<(Ticket, usize, RawRecord)>>,
}

impl Log {
    pub(super) fn control() -> TopicPartition {
        TopicPartition::new("control", 0)
    }

    /// Hands records over.
    pub(super) fn append(
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
    pub(super) fn durable(&self, ticket: Ticket) -> Option<Vec<(TopicPartition, Offset)>> {
        let batch = &self.batches[ticket];
        (batch.missing == 0).then(|| batch.offsets.iter().flatten().cloned().collect())
    }

    pub(super) fn anything_in_flight(&self) -> bool {
        self.pipes.values().any(|pipe| !pipe.is_empty())
    }

    /// One record lands.
    pub(super) fn land(&mut self, chance: &mut Chance) {
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
    pub(super) fn crash(&mut self, producer: usize, chance: &mut Chance) {
        for ((of, _), pipe) in &mut self.pipes {
            if *of == producer {
                let kept = chance.below(pipe.len() + 1);
                pipe.truncate(kept);
            }
        }
    }

    pub(super) fn number_change(&mut self, change: Change) -> Bytes {
        self.changes.push(Arc::new(change));
        crate::model::value_of((self.changes.len() - 1) as u32)
    }

    pub(super) fn number_control(&mut self, control: Control) -> Bytes {
        self.controls.push(control);
        crate::model::value_of((self.controls.len() - 1) as u32)
    }
}

/// The number that a record's value holds.
pub(super) fn number_of(value: &[u8]) -> usize {
    let digit = |number: usize, byte: &u8| (number << 8) | usize::from(*byte);
    value.iter().fold(0, digit)
}
