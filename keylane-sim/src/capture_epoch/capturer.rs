//! A capturer: it opens its session step by step, then publishes, confirms and stores checkpoints.

use std::collections::BTreeMap;

use keylane_core::model::{Epoch, Offset, Position, TopicPartition};
use keylane_core::publish::{
    Acceptance, Checkpoint, ConfirmTracker, Header, RawRecord, RecordKind, Verdict,
};

use super::variants::Rule;
use crate::model::log::{Control, Log, Ticket, number_of};

/// The origin's slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    pub owner: Option<usize>,
    pub confirmed: u64,
    pub epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    TakeSlot,
    TakeNumber,
    CheckSlot,
    OpenControl,
    OpenPartitions(Ticket),
    Opening(Ticket, Ticket),
    Tails,
    Stream,
}

pub(super) struct Capturer {
    pub id: usize,
    pub hung: bool,
    pub alive: bool,
    rule: Rule,
    step: Step,
    epoch: Epoch,
    sent: u64,
    opened: Option<(Ticket, Ticket)>,
    checkpoints: BTreeMap<TopicPartition, Checkpoint>,
    tails: BTreeMap<TopicPartition, Position>,
    tracker: ConfirmTracker,
    batches: Vec<(u64, Ticket, TopicPartition, Position)>,
}

impl Capturer {
    pub(super) fn new(id: usize, rule: Rule) -> Self {
        Capturer {
            id,
            hung: false,
            alive: true,
            rule,
            step: Step::TakeSlot,
            epoch: Epoch(0),
            sent: 0,
            opened: None,
            checkpoints: BTreeMap::new(),
            tails: BTreeMap::new(),
            tracker: ConfirmTracker::default(),
            batches: Vec::new(),
        }
    }

    /// One step; `places` says where each position goes.
    pub(super) fn act(&mut self, slot: &mut Slot, log: &mut Log, places: &[TopicPartition]) {
        match self.step {
            Step::TakeSlot if slot.owner.is_none() => {
                slot.owner = Some(self.id);
                self.sent = slot.confirmed;
                self.tracker = ConfirmTracker::starting_at(slot.confirmed);
                self.step = Step::TakeNumber;
            }
            Step::TakeSlot => {}
            Step::TakeNumber => {
                slot.epoch += 1;
                self.epoch = match self.rule {
                    Rule::HighestSeenPlus1 => Epoch(1 + highest_seen(log)),
                    _ => Epoch(slot.epoch),
                };
                self.step = Step::CheckSlot;
            }
            Step::CheckSlot if self.rule.checks_slot() && slot.owner != Some(self.id) => {
                self.alive = false;
            }
            Step::CheckSlot if self.rule == Rule::TailsFirst => self.step = Step::Tails,
            Step::CheckSlot => self.step = Step::OpenControl,
            Step::OpenControl => {
                let value = log.number_control(Control::Open);
                let record = self.state(RecordKind::Open, value);
                self.step = Step::OpenPartitions(log.append(self.id, vec![record]));
            }
            Step::OpenPartitions(control) if log.durable(control).is_some() => {
                self.open_partitions(control, log);
            }
            Step::Opening(control, opens) if log.durable(opens).is_some() => {
                self.opened = Some((control, opens));
                self.step = if self.rule == Rule::TailsFirst {
                    Step::Stream
                } else {
                    Step::Tails
                };
            }
            Step::OpenPartitions(_) | Step::Opening(..) => {}
            Step::Tails => self.read_tails(log),
            Step::Stream => self.publish(log, places),
        }
    }

    fn open_partitions(&mut self, control: Ticket, log: &mut Log) {
        if self.rule == Rule::NoEpoch {
            self.opened = Some((control, control));
            self.step = Step::Tails;
            return;
        }
        let partitions: Vec<TopicPartition> = log.partitions.keys().cloned().collect();
        let open = |partition| (partition, self.plain(RecordKind::Open, Position::ZERO));
        let data = partitions.into_iter().filter(|one| *one != Log::control());
        let opens = log.append(self.id, data.map(open).collect());
        self.step = Step::Opening(control, opens);
    }

    fn read_tails(&mut self, log: &Log) {
        let ends: BTreeMap<TopicPartition, Offset> = match (self.rule, self.opened) {
            (Rule::TailsFirst | Rule::NoEpoch, _) | (_, None) => log.ends(),
            (_, Some((_, opens))) => log.durable(opens).unwrap_or_default().into_iter().collect(),
        };
        let stored = self.stored(log);
        for (partition, end) in ends {
            if partition == Log::control() {
                continue;
            }
            let none = Checkpoint {
                offset: Offset(0),
                acceptance: Acceptance::default(),
            };
            let mut checkpoint = stored.get(&partition).copied().unwrap_or(none);
            checkpoint.offset = checkpoint.offset.max(log.start(&partition));
            for record in log.between(&partition, checkpoint.offset, end) {
                self.judge(&mut checkpoint.acceptance, &record);
            }
            let younger = checkpoint.acceptance.epoch >= self.epoch;
            if younger && self.rule.checks_slot() && self.rule != Rule::NoEpoch {
                self.alive = false;
                return;
            }
            checkpoint.offset = checkpoint.offset.max(end.next());
            checkpoint.acceptance.epoch = self.epoch;
            self.tails
                .insert(partition.clone(), checkpoint.acceptance.reached);
            self.checkpoints.insert(partition, checkpoint);
        }
        self.step = if self.rule == Rule::TailsFirst {
            Step::OpenControl
        } else {
            Step::Stream
        };
    }

    /// The rule of acceptance; the real one unless the mutant has its own.
    fn judge(&self, acceptance: &mut Acceptance, record: &RawRecord) {
        let Ok(header) = Header::decode(record.keylane.as_deref().unwrap_or_default()) else {
            return;
        };
        match self.rule {
            Rule::LastOpenedWins if header.kind == RecordKind::Open => {
                acceptance.epoch = header.epoch;
            }
            Rule::NoEpoch if header.kind == RecordKind::Change => {
                acceptance.reached = acceptance.reached.max(header.position);
            }
            _ => {
                acceptance.judge(&header);
            }
        }
    }

    /// The checkpoints that the control partition holds, up to this session's own opening.
    fn stored(&self, log: &Log) -> BTreeMap<TopicPartition, Checkpoint> {
        let control = Log::control();
        let end = match (self.rule, self.opened) {
            (Rule::StaleCheckpointTrusted | Rule::TailsFirst, _) | (_, None) => None,
            (_, Some((control, _))) => log.durable(control).and_then(|all| Some(all.first()?.1)),
        };
        let end = end.unwrap_or_else(|| log.ends()[&control]);
        let (mut acceptance, mut found) = (Acceptance::default(), BTreeMap::new());
        for record in log.between(&control, Offset(0), end) {
            let Ok(header) = Header::decode(record.keylane.as_deref().unwrap_or_default()) else {
                continue;
            };
            let counts = acceptance.judge(&header) == Verdict::Take;
            if !counts && self.rule != Rule::StaleCheckpointTrusted {
                continue;
            }
            let value = record.value.as_deref().unwrap_or_default();
            if let Control::Checkpoint(all) = &log.controls[number_of(value)] {
                found.clone_from(all);
            }
        }
        found
    }

    fn publish(&mut self, log: &mut Log, places: &[TopicPartition]) {
        let Some(partition) = places.get(self.sent as usize) else {
            return;
        };
        self.sent += 1;
        let position = Position::new(self.sent, 0);
        let batch = self.tracker.sent(Some(self.sent));
        if position <= self.tails.get(partition).copied().unwrap_or_default() {
            self.tracker.durable(batch);
            return;
        }
        let record = self.plain(RecordKind::Change, position);
        let ticket = log.append(self.id, vec![(partition.clone(), record)]);
        self.batches
            .push((batch, ticket, partition.clone(), position));
        if self.rule == Rule::ConfirmBeforeAck {
            self.tracker.durable(batch);
        }
    }

    /// Acknowledgements come back in any order.
    pub(super) fn confirm(&mut self, slot: &mut Slot, log: &Log) {
        let mut left = Vec::new();
        for (batch, ticket, partition, position) in self.batches.drain(..) {
            let Some(offsets) = log.durable(ticket) else {
                left.push((batch, ticket, partition, position));
                continue;
            };
            self.tracker.durable(batch);
            let checkpoint = self.checkpoints.get_mut(&partition);
            if let (Some(checkpoint), Some((_, offset))) = (checkpoint, offsets.first()) {
                checkpoint.offset = checkpoint.offset.max(offset.next());
                checkpoint.acceptance.reached = checkpoint.acceptance.reached.max(position);
            }
        }
        self.batches = left;
        if slot.owner == Some(self.id) {
            slot.confirmed = slot.confirmed.max(self.tracker.confirmed());
        }
    }

    pub(super) fn store_checkpoint(&mut self, log: &mut Log) {
        if self.step == Step::Stream {
            let value = log.number_control(Control::Checkpoint(self.checkpoints.clone()));
            let record = self.state(RecordKind::State, value);
            log.append(self.id, vec![record]);
        }
    }

    fn plain(&self, kind: RecordKind, position: Position) -> RawRecord {
        RawRecord {
            headers: Vec::new(),
            offset: Offset(0),
            key: None,
            value: None,
            keylane: Some(Header::plain(kind, self.epoch, position).encode().into()),
            timestamp_ms: 0,
        }
    }

    fn state(&self, kind: RecordKind, value: bytes::Bytes) -> (TopicPartition, RawRecord) {
        let plain = self.plain(kind, Position::ZERO);
        let value = Some(value);
        (Log::control(), RawRecord { value, ..plain })
    }
}

fn highest_seen(log: &Log) -> u64 {
    let header = |record: &RawRecord| {
        let header = Header::decode(record.keylane.as_deref().unwrap_or_default());
        header.map_or(0, |header| header.epoch.0)
    };
    let all = log.partitions.values().flatten();
    all.map(header).max().unwrap_or(0)
}
