//! A capture session's opening, in the order that the `capture_epoch` simulation shows to be exact.

use std::collections::{BTreeMap, VecDeque};

use keylane_core::capture::{
    ChunkRequest, Guest, OriginEvent, Route, Sequencer, SnapshotPlan, TablePhase, TableProgress,
};
use keylane_core::model::{Epoch, Offset, Position, TableName, TopicPartition};
use keylane_core::publish::{Acceptance, Checkpoint, Header, RawRecord, RecordKind, Verdict};

use super::variants::Rules;
use super::wal::{Answer, Wal};
use crate::model::log::{Control, Log, Ticket, number_of};
use crate::model::{Routes, Shop};

/// What a handed-over batch means once it is durable.
pub(super) struct Pending {
    pub ticket: Option<Ticket>,
    pub reached: Vec<(TopicPartition, Position)>,
    pub end: Option<u64>,
    pub copied: Vec<TableProgress>,
}

pub(super) enum Step {
    TakeSlot,
    TakeNumber,
    CheckSlot,
    OpenControl,
    OpenPartitions(Ticket),
    ReadTails(Ticket, Ticket),
    Stream,
}

/// A control record that must be durable before anything else is done.
pub(super) enum Awaiting {
    Begun(Ticket, ChunkRequest),
    Stored(Ticket, Vec<TableName>),
    Checkpoint(Ticket, u64),
}

/// A chunk that was asked for.
pub(super) struct Asked {
    pub request: ChunkRequest,
    pub read: Option<(
        Vec<keylane_core::model::Row>,
        Option<Vec<keylane_core::model::Value>>,
    )>,
}

pub(super) struct Capturer {
    pub id: usize,
    pub hung: bool,
    pub alive: bool,
    pub step: Step,
    pub epoch: Epoch,
    pub cursor: usize,
    pub sequencer: Option<Sequencer>,
    pub checkpoints: BTreeMap<TopicPartition, Checkpoint>,
    pub in_flight: VecDeque<Pending>,
    pub awaiting: Option<Awaiting>,
    pub events: VecDeque<OriginEvent>,
    pub asked: Option<Asked>,
    pub answer: Option<Answer>,
    pub announced: Vec<TableName>,
    pub confirmed: u64,
    pub stored_confirmed: u64,
    pub last_marker: Position,
    pub marker_wanted: bool,
    pub rows_max: u32,
    pub entries_max: usize,
    pub rules: Rules,
}

impl Capturer {
    pub(super) fn new(id: usize, rows_max: u32, entries_max: usize, rules: Rules) -> Self {
        Capturer {
            id,
            hung: false,
            alive: true,
            step: Step::TakeSlot,
            epoch: Epoch(0),
            cursor: 0,
            sequencer: None,
            checkpoints: BTreeMap::new(),
            in_flight: VecDeque::new(),
            awaiting: None,
            events: VecDeque::new(),
            asked: None,
            answer: None,
            announced: Vec::new(),
            confirmed: 0,
            stored_confirmed: 0,
            last_marker: Position::ZERO,
            marker_wanted: false,
            rows_max,
            entries_max,
            rules,
        }
    }

    /// One step of the opening.
    pub(super) fn open(&mut self, wal: &mut Wal, log: &mut Log, routes: Routes) {
        match self.step {
            Step::TakeSlot if wal.slot.owner.is_none() => {
                wal.slot.owner = Some(self.id);
                self.cursor = wal.resume();
                self.confirmed = wal.slot.confirmed;
                self.stored_confirmed = self.confirmed;
                self.step = Step::TakeNumber;
            }
            Step::TakeSlot | Step::Stream => {}
            Step::TakeNumber => {
                wal.slot.epoch += 1;
                self.epoch = Epoch(wal.slot.epoch);
                self.step = Step::CheckSlot;
            }
            Step::CheckSlot if wal.slot.owner != Some(self.id) => self.alive = false,
            Step::CheckSlot => self.step = Step::OpenControl,
            Step::OpenControl => {
                let value = log.number_control(Control::Open);
                let record = self.control_record(RecordKind::Open, value);
                self.step = Step::OpenPartitions(log.append(self.id, vec![record]));
            }
            Step::OpenPartitions(ticket) if log.durable(ticket).is_some() => {
                let plain = |partition| (partition, self.plain(RecordKind::Open, Position::ZERO));
                let opens = routes
                    .all(&wal.now().tables())
                    .into_iter()
                    .map(plain)
                    .collect();
                self.step = Step::ReadTails(ticket, log.append(self.id, opens));
            }
            Step::ReadTails(control, opens) if log.durable(opens).is_some() => {
                self.read_tails(control, opens, wal.now(), log, routes);
            }
            Step::OpenPartitions(_) | Step::ReadTails(..) => {}
        }
    }

    fn read_tails(
        &mut self,
        control: Ticket,
        opens: Ticket,
        shop: &Shop,
        log: &mut Log,
        routes: Routes,
    ) {
        let control_end = log.durable(control).unwrap_or_default()[0].1;
        let (tables, stored) = read_control(log, control_end);
        for (partition, end) in log.durable(opens).unwrap_or_default() {
            let start = Checkpoint {
                offset: Offset(0),
                acceptance: Acceptance::default(),
            };
            let mut checkpoint = stored.get(&partition).copied().unwrap_or(start);
            let records = &log.partitions[&partition];
            for record in &records[checkpoint.offset.0 as usize..end.0 as usize] {
                let header = Header::decode(record.keylane.as_deref().unwrap_or_default());
                if let Ok(header) = header {
                    checkpoint.acceptance.judge(&header);
                }
            }
            if checkpoint.acceptance.epoch >= self.epoch {
                self.alive = false;
                return;
            }
            checkpoint.offset = end.next();
            checkpoint.acceptance.epoch = self.epoch;
            self.checkpoints.insert(partition, checkpoint);
        }
        let tail = |(partition, checkpoint): (&TopicPartition, &Checkpoint)| {
            let reached = checkpoint.acceptance.reached;
            let told = match self.rules {
                Rules {
                    tail_not_read: true,
                    ..
                } => Position::ZERO,
                Rules {
                    skip_by_commit: true,
                    ..
                } => Position::end_of(reached.commit),
                _ => reached,
            };
            (partition.clone(), told)
        };
        let tails = self.checkpoints.iter().map(tail).collect();
        let plan = plan(shop, &tables, self.rules.snapshot);
        let mut sequencer = Sequencer::new(tails, self.confirmed, plan, self.entries_max);
        for schema in shop.tables() {
            let topic = format!("shop.{}", schema.table.name);
            let route = match self.rules.shared_topic && &*schema.table.name != "parents" {
                true => Route {
                    guest: Some(Guest {
                        identifier: topic.into(),
                        order_names: vec!["id".into()],
                    }),
                    ..Route::own("shop.parents", routes.partitions)
                },
                false => Route::own(topic, routes.partitions),
            };
            sequencer.route(schema.table.clone(), route);
        }
        self.sequencer = Some(sequencer);
        self.step = Step::Stream;
    }

    /// Whether no younger capturer has opened the control partition before an own record there.
    pub(super) fn none_younger_before(&self, log: &Log, own: Offset) -> bool {
        let younger = |record: &RawRecord| {
            let header = Header::decode(record.keylane.as_deref().unwrap_or_default());
            header.is_ok_and(|it| it.kind == RecordKind::Open && it.epoch > self.epoch)
        };
        !log.partitions[&Log::control()][..own.0 as usize]
            .iter()
            .any(younger)
    }

    pub(super) fn plain(&self, kind: RecordKind, position: Position) -> RawRecord {
        RawRecord {
            headers: Vec::new(),
            offset: Offset(0),
            key: None,
            value: None,
            keylane: Some(Header::plain(kind, self.epoch, position).encode().into()),
            timestamp_ms: 0,
        }
    }

    pub(super) fn control_record(
        &self,
        kind: RecordKind,
        value: bytes::Bytes,
    ) -> (TopicPartition, RawRecord) {
        let plain = self.plain(kind, Position::ZERO);
        let value = Some(value);
        (Log::control(), RawRecord { value, ..plain })
    }
}

type Stored = (
    BTreeMap<TableName, TableProgress>,
    BTreeMap<TopicPartition, Checkpoint>,
);

/// What the control partition says before an offset.
fn read_control(log: &Log, end: Offset) -> Stored {
    let mut acceptance = Acceptance::default();
    let (mut tables, mut checkpoints) = (BTreeMap::new(), BTreeMap::new());
    for record in &log.partitions[&Log::control()][..end.0 as usize] {
        let Ok(header) = Header::decode(record.keylane.as_deref().unwrap_or_default()) else {
            continue;
        };
        if acceptance.judge(&header) != Verdict::Take {
            continue;
        }
        match &log.controls[number_of(record.value.as_deref().unwrap_or_default())] {
            Control::Open => {}
            Control::Table(progress) => {
                tables.insert(progress.table.clone(), progress.clone());
            }
            Control::Checkpoint(all) => checkpoints.clone_from(all),
        }
    }
    (tables, checkpoints)
}

fn plan(shop: &Shop, known: &BTreeMap<TableName, TableProgress>, snapshot: bool) -> SnapshotPlan {
    let fresh = |table: TableName| TableProgress {
        table,
        phase: if snapshot {
            TablePhase::Waiting
        } else {
            TablePhase::Done {
                since: Position::ZERO,
            }
        },
        rows: 0,
    };
    let progress = |schema: std::sync::Arc<keylane_core::model::TableSchema>| {
        let table = schema.table.clone();
        known.get(&table).cloned().unwrap_or_else(|| fresh(table))
    };
    SnapshotPlan::new(shop.tables().into_iter().map(progress).collect())
}
