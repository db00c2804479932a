//! A capture session's streaming: events in, records out, acknowledgements back to the origin.

use keylane_core::capture::{OriginEvent, Publication, Sequenced};
use keylane_core::model::{Op, Position, TopicPartition};
use keylane_core::publish::{Header, RawRecord, RecordKind};

use super::capturer::{Asked, Awaiting, Capturer, Pending};
use super::wal::Wal;
use crate::Chance;
use crate::model::log::{Control, Log};

impl Capturer {
    /// One step of the streaming.
    pub(super) fn stream(&mut self, wal: &mut Wal, log: &mut Log, chance: &mut Chance) {
        if self.awaiting.is_some() {
            return self.await_control(wal, log);
        }
        if self.asked.is_some() && chance.percent(30) {
            return self.chunk(wal, chance);
        }
        match chance.below(10) {
            0..3 => self.durable(log),
            3..5 => self.ask(log),
            5 => self.store_checkpoint(log),
            6 => self.hand_over(Vec::new(), None, log, chance),
            _ => self.take(wal, log, chance),
        }
    }

    /// Whether there is nothing left to do until the origin does more.
    pub(super) fn is_idle(&self, wal: &Wal) -> bool {
        let sequencer = self.sequencer.as_ref();
        self.awaiting.is_none()
            && self.asked.is_none()
            && self.events.is_empty()
            && self.in_flight.is_empty()
            && self.cursor == wal.entries.len()
            && sequencer.is_some_and(|one| {
                one.plan().current().is_none() && self.last_marker >= one.resolved()
            })
    }

    fn await_control(&mut self, wal: &mut Wal, log: &Log) {
        let ticket = match &self.awaiting {
            Some(Awaiting::Begun(ticket, _) | Awaiting::Stored(ticket, _)) => *ticket,
            Some(Awaiting::Checkpoint(ticket, _)) => *ticket,
            None => return,
        };
        let Some(places) = log.durable(ticket) else {
            return;
        };
        match self.awaiting.take() {
            Some(Awaiting::Begun(_, request)) => {
                let at = places[0].1;
                if !self.rules.copy_begins_unchecked && !self.none_younger_before(log, at) {
                    self.alive = false;
                    return;
                }
                self.asked = Some(Asked {
                    request,
                    read: None,
                });
            }
            Some(Awaiting::Checkpoint(_, confirmed)) => {
                if wal.slot.owner != Some(self.id) {
                    self.alive = false;
                    return;
                }
                wal.slot.confirmed = confirmed;
                self.stored_confirmed = confirmed;
            }
            Some(Awaiting::Stored(_, tables)) => {
                for table in tables {
                    if let Some(sequencer) = &mut self.sequencer {
                        sequencer.stored(&table);
                    }
                }
            }
            None => {}
        }
    }

    /// The oldest batch is durable.
    fn durable(&mut self, log: &mut Log) {
        let Some(front) = self.in_flight.front() else {
            return;
        };
        let offsets = match front.ticket {
            None => Vec::new(),
            Some(ticket) => match log.durable(ticket) {
                None => return,
                Some(offsets) => offsets,
            },
        };
        let Some(pending) = self.in_flight.pop_front() else {
            return;
        };
        for ((partition, position), (_, offset)) in pending.reached.into_iter().zip(offsets) {
            if let Some(checkpoint) = self.checkpoints.get_mut(&partition) {
                checkpoint.offset = checkpoint.offset.max(offset.next());
                checkpoint.acceptance.reached = checkpoint.acceptance.reached.max(position);
            }
        }
        let (mut records, mut tables) = (Vec::new(), Vec::new());
        for progress in pending.copied {
            tables.push(progress.table.clone());
            let value = log.number_control(Control::Table(progress));
            records.push(self.control_record(RecordKind::State, value));
        }
        if !records.is_empty() {
            self.awaiting = Some(Awaiting::Stored(log.append(self.id, records), tables));
        }
        if let Some(end) = pending.end {
            self.confirmed = self.confirmed.max(end);
        }
    }

    fn ask(&mut self, log: &mut Log) {
        if self.asked.is_some() || self.answer.is_some() {
            return;
        }
        let rows_max = self.rows_max;
        let Some(sequencer) = &mut self.sequencer else {
            return;
        };
        let Some(request) = sequencer.next_chunk(rows_max) else {
            return;
        };
        let begun = sequencer.plan().current().cloned();
        if self.announced.contains(&request.table) || self.rules.copy_begins_unstored {
            self.asked = Some(Asked {
                request,
                read: None,
            });
        } else if let Some(progress) = begun {
            self.announced.push(request.table.clone());
            let value = log.number_control(Control::Table(progress));
            let record = self.control_record(RecordKind::State, value);
            let ticket = log.append(self.id, vec![record]);
            self.awaiting = Some(Awaiting::Begun(ticket, request));
        }
    }

    /// The origin reads the chunk, and later writes its place.
    fn chunk(&mut self, wal: &mut Wal, chance: &mut Chance) {
        let Some(mut asked) = self.asked.take() else {
            return;
        };
        let exact = *asked.request.table.name == *"bag";
        let ago = if self.rules.window_ignored && !exact {
            chance.below(4)
        } else {
            0
        };
        match asked.read.take() {
            None if !exact => {
                asked.read = Some(wal.read(&asked.request, ago));
                self.asked = Some(asked);
            }
            None => {
                let rows = wal.read(&asked.request, ago);
                self.answer = Some(wal.answer(&asked.request, rows));
            }
            Some(rows) => self.answer = Some(wal.answer(&asked.request, rows)),
        }
    }

    fn take(&mut self, wal: &Wal, log: &mut Log, chance: &mut Chance) {
        if self.events.is_empty() {
            match wal.entries.get(self.cursor) {
                Some(entry) => {
                    let events = wal.events(*entry, self.answer.as_ref(), chance);
                    self.events.extend(events);
                    self.cursor += 1;
                }
                None if chance.percent(30) => {
                    self.events
                        .push_back(OriginEvent::Idle { up_to: wal.end() });
                }
                None => return,
            }
        }
        let count = chance.between(1, 6).min(self.events.len());
        let events: Vec<OriginEvent> = self.events.drain(..count).collect();
        let (mut out, mut pending) = (Vec::new(), Pending::empty());
        for event in events {
            if matches!(event, OriginEvent::Chunk { .. }) {
                self.answer = None;
            }
            let Some(sequencer) = &mut self.sequencer else {
                return;
            };
            for sequenced in sequencer.step(event) {
                match sequenced {
                    Sequenced::Publish(publication) => {
                        out.push(self.published(*publication, log));
                    }
                    Sequenced::Resolved { end, .. } => pending.end = Some(end),
                    Sequenced::MarkerWanted => self.marker_wanted = true,
                    Sequenced::Copied { progress, .. } => pending.copied.push(progress),
                    _ => {}
                }
            }
        }
        self.hand_over(out, Some(pending), log, chance);
    }

    fn published(&mut self, publication: Publication, log: &mut Log) -> Record {
        let Publication {
            change,
            partition,
            key,
            order,
            stamp,
        } = publication;
        let position = change.position;
        self.marker_wanted |= stamp.floor > self.last_marker || change.op == Op::Truncate;
        let mut header = Header::plain(RecordKind::Change, self.epoch, position);
        header.stamp = stamp;
        header.order = Some(order);
        let record = RawRecord {
            headers: Vec::new(),
            offset: Default::default(),
            key: Some(key.into()),
            value: Some(log.number_change(change)),
            keylane: Some(header.encode().into()),
            timestamp_ms: 0,
        };
        (partition, position, record)
    }

    fn hand_over(
        &mut self,
        mut records: Vec<Record>,
        pending: Option<Pending>,
        log: &mut Log,
        chance: &mut Chance,
    ) {
        let mut pending = pending.unwrap_or_else(Pending::empty);
        if self.rules.copied_stored_early {
            self.store_early(&mut pending, log);
        }
        self.markers(&mut records, chance);
        pending.reached = records
            .iter()
            .map(|(partition, position, _)| (partition.clone(), *position))
            .collect();
        if !records.is_empty() {
            let records = records.into_iter().map(|(to, _, record)| (to, record));
            pending.ticket = Some(log.append(self.id, records.collect()));
        }
        if pending.ticket.is_some() || pending.end.is_some() || !pending.copied.is_empty() {
            self.in_flight.push_back(pending);
        }
    }

    /// The mutant's order: progress goes out before its chunk is durable.
    fn store_early(&mut self, pending: &mut Pending, log: &mut Log) {
        for progress in pending.copied.drain(..) {
            if let Some(sequencer) = &mut self.sequencer {
                sequencer.stored(&progress.table);
            }
            let value = log.number_control(Control::Table(progress));
            let record = self.control_record(RecordKind::State, value);
            log.append(self.id, vec![record]);
        }
    }

    fn markers(&mut self, records: &mut Vec<Record>, chance: &mut Chance) {
        let Some(resolved) = self.sequencer.as_ref().map(|one| one.resolved()) else {
            return;
        };
        let due = self.marker_wanted || chance.percent(20);
        if resolved <= self.last_marker || !due {
            return;
        }
        for partition in self.checkpoints.keys() {
            let record = self.plain(RecordKind::Marker, resolved);
            records.push((partition.clone(), resolved, record));
        }
        self.last_marker = resolved;
        self.marker_wanted = false;
    }

    fn store_checkpoint(&mut self, log: &mut Log) {
        if self.confirmed <= self.stored_confirmed {
            return;
        }
        let value = log.number_control(Control::Checkpoint(self.checkpoints.clone()));
        let record = self.control_record(RecordKind::State, value);
        let ticket = log.append(self.id, vec![record]);
        self.awaiting = Some(Awaiting::Checkpoint(ticket, self.confirmed));
    }
}

type Record = (TopicPartition, Position, RawRecord);

impl Pending {
    fn empty() -> Self {
        Pending {
            ticket: None,
            reached: Vec::new(),
            end: None,
            copied: Vec::new(),
        }
    }
}
