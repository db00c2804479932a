//! The replica: rows, progress and parked changes in one transaction, fenced by the owner's number; and an append-only audit of what took effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use keylane_core::apply::{
    Applied, ApplyBatch, ApplyError, LaneStep, Mode, PartitionLow, PartitionProgress, Reordering,
    RowWrite, Turn, Work, WorkAction, WriteKind, fold, in_transaction, single,
};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{
    Change, Lane, Offset, Position, Row, TableName, TableSchema, TopicPartition, Value,
};
use keylane_core::publish::Acceptance;

use super::Rows;

/// An effect: a row's key (all columns for a table without one) and the position of the (last) change that had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The table.
    pub table: TableName,
    /// The row's key; `None` for a whole table.
    pub key: Option<Vec<Value>>,
    /// Of the change.
    pub position: Position,
}

/// What is stored of a partition.
#[derive(Clone, Debug, Default)]
struct Stored {
    owner_epoch: u64,
    low: Offset,
    low_position: Position,
    acceptance: Acceptance,
    lanes: BTreeMap<Lane, (Offset, Position)>,
}

/// A database that changes are applied to.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its rows.
    pub rows: Rows,
    /// What took effect, in order.
    pub audit: Vec<Effect>,
    /// Updates and deletes that hit no row.
    pub missing: u64,
    /// Whether transactions check owner and offset; only mutants do not.
    pub checks: bool,
    /// Whether transactions check the offset too; only mutants do not.
    pub checks_offsets: bool,
    /// Which server answers: another one after the replica was restored. Connections to the former are lost.
    pub server: u64,
    /// Whether a low mark is saved only where all that it stands for is held; only mutants do otherwise.
    pub checks_held: bool,
    /// Whether a delete that takes others with it goes only with its whole transaction; only mutants do otherwise.
    pub guards_cascades: bool,
    parked: BTreeMap<(TopicPartition, Bytes), Queue>,
    stored: BTreeMap<TopicPartition, Stored>,
}

/// A parked key's lane and changes.
type Queue = (Lane, Vec<Arc<Change>>);

/// How a parked change's value is read back.
pub type Decode<'a> = &'a dyn Fn(&[u8]) -> Arc<Change>;

impl Replica {
    /// Empty tables.
    pub fn new(tables: &[Arc<TableSchema>]) -> Self {
        Replica {
            rows: Rows::new(tables),
            audit: Vec::new(),
            missing: 0,
            checks: true,
            checks_offsets: true,
            server: 0,
            checks_held: true,
            guards_cascades: true,
            parked: BTreeMap::new(),
            stored: BTreeMap::new(),
        }
    }

    /// Raises the owner's number, then reads the progress.
    pub fn fence(&mut self, partition: &TopicPartition) -> PartitionProgress {
        let stored = self.stored.entry(partition.clone()).or_default();
        stored.owner_epoch += 1;
        self.progress(partition)
    }

    /// The progress as stored.
    pub fn progress(&self, partition: &TopicPartition) -> PartitionProgress {
        let stored = self.stored.get(partition).cloned().unwrap_or_default();
        let mine = self.parked.iter().filter(|((of, _), _)| of == partition);
        PartitionProgress {
            partition: partition.clone(),
            owner_epoch: stored.owner_epoch,
            low: stored.low,
            low_position: stored.low_position,
            acceptance: stored.acceptance,
            lanes: stored.lanes,
            parked_keys: mine
                .map(|((_, key), (lane, _))| (*lane, key.clone()))
                .collect(),
            redrive_keys: Vec::new(),
        }
    }

    /// All partitions of which something is stored.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.stored.keys().cloned().collect()
    }

    /// Saves how far a partition is; refused to a former owner, and to one who wrote here what is not here any more.
    pub fn save_low(&mut self, low: &PartitionLow) -> bool {
        let checks = self.checks_held;
        let stored = self.stored.entry(low.partition.clone()).or_default();
        let holds = |(lane, next): &(Lane, Offset)| {
            let held = stored.lanes.get(lane);
            held.is_some_and(|(held, _)| held >= next)
        };
        let held = stored.low >= low.held.low && low.held.ahead.iter().all(holds);
        let owned = stored.owner_epoch == low.owner_epoch && (held || !checks);
        if owned {
            stored.low = low.low;
            stored.low_position = low.low_position;
            stored.acceptance = low.acceptance;
        }
        owned
    }

    /// What an older backup holds takes the place of everything. The rules stay.
    pub fn restore(&mut self, backup: &Replica) {
        let server = self.server;
        *self = Replica {
            server,
            ..backup.clone()
        };
    }

    /// How many changes are parked.
    pub fn parked(&self) -> usize {
        self.parked.values().map(|(_, queue)| queue.len()).sum()
    }

    /// One transaction.
    pub fn apply(&mut self, batch: &ApplyBatch, decode: Decode) -> Result<Applied, ApplyError> {
        if !self.may_step(batch) {
            return Err(ApplyError::new(ApplyErrorKind::Fenced, "0 rows hit"));
        }
        if batch.mode == Mode::Careful {
            return Ok(self.careful(batch, decode));
        }
        if batch.mode == Mode::Together {
            self.atomically(|replica| replica.together(batch, decode))?;
        } else {
            self.write_rows(batch, decode)?;
        }
        self.store_steps(batch);
        Ok(Applied::default())
    }

    /// Whether owner and offset of every step are as stored.
    pub fn may_step(&self, batch: &ApplyBatch) -> bool {
        !self.checks || batch.steps.iter().all(|step| self.is_owner(step))
    }

    /// The rows alone: seen by nobody yet, or as mutants write them.
    pub fn write_rows(&mut self, batch: &ApplyBatch, decode: Decode) -> Result<(), ApplyError> {
        self.atomically(|replica| replica.all(batch, decode))
    }

    /// The progress alone, as mutants write it.
    pub fn store_steps(&mut self, batch: &ApplyBatch) {
        for step in &batch.steps {
            self.step(step, step.next, step.position);
        }
    }

    fn all(&mut self, batch: &ApplyBatch, decode: Decode) -> Result<(), ApplyError> {
        let folded = batch.mode == Mode::Folded;
        if folded {
            for write in fold(&batch.work).into_iter().flatten() {
                self.guard(&write)?;
                self.write(&write, &batch.work)?;
            }
        }
        for work in &batch.work {
            if !(folded && matches!(work.action, WorkAction::Apply(_))) {
                self.one(work, batch, decode)?;
            }
        }
        Ok(())
    }

    fn together(&mut self, batch: &ApplyBatch, decode: Decode) -> Result<(), ApplyError> {
        for work in &batch.work {
            if !matches!(work.action, WorkAction::Apply(_)) {
                self.one(work, batch, decode)?;
            }
        }
        let rows = self.rows.clone();
        let takes_others = |table: &TableName| rows.takes_others(table);
        let writes = in_transaction(&batch.work, takes_others);
        let mut order = Reordering::new(&writes, &batch.work, takes_others);
        let mut last = ApplyError::new(ApplyErrorKind::Constraint, "nothing was tried");
        loop {
            let run = match order.turn() {
                Turn::Try(run) => run,
                Turn::Done => return Ok(()),
                Turn::Stuck => return Err(last),
            };
            let tried = run.iter().map(|index| {
                self.atomically(|replica| replica.write(&writes[*index], &batch.work))
            });
            let mut gone = 0;
            let mut violated = None;
            for result in tried {
                match result {
                    Ok(()) => gone += 1,
                    Err(error) => {
                        violated = Some(error);
                        break;
                    }
                }
            }
            order.went(gone, violated.is_some());
            last = violated.unwrap_or(last);
        }
    }

    /// All of it or nothing.
    fn atomically(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        let before = (self.rows.clone(), self.parked.clone(), self.missing);
        let audited = self.audit.len();
        let result = step(self);
        if result.is_err() {
            (self.rows, self.parked, self.missing) = before;
            self.audit.truncate(audited);
        }
        result
    }

    fn careful(&mut self, batch: &ApplyBatch, decode: Decode) -> Applied {
        let mut reached: BTreeMap<usize, (Offset, Position)> = BTreeMap::new();
        let mut failed = None;
        for (index, work) in batch.work.iter().enumerate() {
            if let Err(error) = self.atomically(|replica| replica.one(work, batch, decode)) {
                failed = Some((index, error));
                break;
            }
            let position = match &work.action {
                WorkAction::Apply(change) => change.position,
                WorkAction::Park(entry) => decode(&entry.value).position,
                WorkAction::Redrive => continue,
            };
            reached.insert(work.step, (work.offset.next(), position));
        }
        for (index, step) in batch.steps.iter().enumerate() {
            match (failed.is_some(), reached.get(&index)) {
                (false, _) => self.step(step, step.next, step.position),
                (true, Some((offset, position))) => self.step(step, *offset, *position),
                (true, None) => {}
            }
        }
        Applied {
            failed,
            ..Applied::default()
        }
    }

    fn is_owner(&self, step: &LaneStep) -> bool {
        let Some(stored) = self.stored.get(&step.partition) else {
            return false;
        };
        let next = stored.lanes.get(&step.lane).copied().unwrap_or_default().0;
        let as_left = next == step.expected || !self.checks_offsets;
        stored.owner_epoch == step.owner_epoch && as_left
    }

    fn step(&mut self, step: &LaneStep, next: Offset, position: Position) {
        let stored = self.stored.entry(step.partition.clone()).or_default();
        stored.lanes.insert(step.lane, (next, position));
    }

    fn one(&mut self, work: &Work, batch: &ApplyBatch, decode: Decode) -> Result<(), ApplyError> {
        let partition = &batch.steps[work.step].partition;
        match &work.action {
            WorkAction::Apply(change) => self.write_change(change),
            WorkAction::Park(entry) => {
                let place = (partition.clone(), work.key.clone());
                let queue = self.parked.entry(place);
                let queue = queue.or_insert_with(|| (entry.lane, Vec::new()));
                queue.1.push(decode(&entry.value));
                Ok(())
            }
            WorkAction::Redrive => {
                let place = (partition.clone(), work.key.clone());
                let (_, queue) = self.parked.remove(&place).unwrap_or_default();
                let work: Vec<Work> = queue
                    .iter()
                    .map(|change| Work {
                        step: 0,
                        offset: Offset(0),
                        key: work.key.clone(),
                        action: WorkAction::Apply(change.clone()),
                    })
                    .collect();
                for write in fold(&work).into_iter().flatten() {
                    self.write(&write, &work)?;
                }
                Ok(())
            }
        }
    }

    /// A delete that may take others with it waits for its whole transaction.
    fn guard(&self, write: &RowWrite) -> Result<(), ApplyError> {
        let deletes = matches!(write.kind, WriteKind::Delete { .. });
        if deletes && self.guards_cascades && self.rows.takes_others(&write.schema.table) {
            let words = "goes with its whole transaction";
            return Err(ApplyError::new(ApplyErrorKind::Constraint, words));
        }
        Ok(())
    }

    /// Writes one change by itself.
    pub fn write_change(&mut self, change: &Arc<Change>) -> Result<(), ApplyError> {
        let work = [Work {
            step: 0,
            offset: Offset(0),
            key: Bytes::new(),
            action: WorkAction::Apply(change.clone()),
        }];
        let write = single(change, 0);
        self.guard(&write)?;
        self.write(&write, &work)
    }

    fn write(&mut self, write: &RowWrite, work: &[Work]) -> Result<(), ApplyError> {
        let hit = self.rows.write(write).map_err(|violation| {
            ApplyError::new(ApplyErrorKind::Constraint, format!("{violation:?}"))
        })?;
        let expected = !matches!(write.kind, WriteKind::Delete { expected: false });
        self.missing += u64::from(expected && !hit);
        if let Some(WorkAction::Apply(change)) = work.get(write.work).map(|work| &work.action) {
            self.audit.push(Effect {
                table: write.schema.table.clone(),
                key: effect_key(&write.schema, &write.row),
                position: change.position,
            });
        }
        Ok(())
    }
}

fn effect_key(shape: &TableSchema, row: &Row) -> Option<Vec<Value>> {
    if row.is_empty() {
        return None;
    }
    let value = |index: &usize| row[*index].clone();
    Some(shape.key.iter().map(value).collect())
}
