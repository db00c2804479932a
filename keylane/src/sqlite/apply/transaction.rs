//! One transaction: the fence checked first, then the rows, then the lanes' steps; all of it or nothing.

use std::path::Path;
use std::sync::Arc;

use keylane_core::apply::{
    Applied, ApplyBatch, ApplyError, LaneStep, Mode, Reordering, RowWrite, Turn, Work, WorkAction,
    fold, in_transaction, single,
};
use keylane_core::error::{ApplyErrorKind, Remedy};
use keylane_core::model::{Change, Offset, Position};
use keylane_core::publish::Header;
use rusqlite::{Connection, ffi};

use super::error::from_sqlite;
use super::parked;
use super::progress;
use super::row::RowWriter;
use super::statement::Texts;
use super::table;
use super::takers::Takers;
use crate::envelope::{DecodeParked, KnownTables, ParkedRecord, Told, schema_of};

/// What a transaction works with.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    pub(super) path: &'a Path,
    pub(super) texts: &'a mut Texts,
    pub(super) takers: &'a mut Takers,
    pub(super) decoder: &'a dyn DecodeParked,
}

impl Transaction<'_> {
    /// Applies a batch; rolled back if it fails.
    pub(super) fn apply(&mut self, batch: &ApplyBatch) -> Result<Applied, ApplyError> {
        let result = match batch.mode {
            Mode::Folded if !has_redrive(batch) => self.whole(batch, true),
            // A redrive has its place among its key's other changes.
            Mode::Folded | Mode::Unfolded => self.whole(batch, false),
            Mode::Careful => self.careful(batch),
            Mode::Together => self.together(batch),
        };
        self.roll_back_if_open();
        if let Err(error) = &result {
            self.note(batch, error);
        }
        result
    }

    fn whole(&mut self, batch: &ApplyBatch, folded: bool) -> Result<Applied, ApplyError> {
        self.begin(batch)?;
        for step in &batch.steps {
            self.step(batch, step, step.next, Some(step.position))?;
        }
        let mut applied = Applied::default();
        if folded {
            for write in fold(&batch.work).iter().flatten() {
                self.write(write, &mut applied)?;
            }
            for work in &batch.work {
                if let WorkAction::Park(entry) = &work.action {
                    self.park(batch, entry)?;
                }
            }
        } else {
            for (index, work) in batch.work.iter().enumerate() {
                self.work(batch, work, index, &mut applied)?;
            }
        }
        self.commit(batch, &applied)?;
        Ok(applied)
    }

    /// What is left of a transaction of the origin, in whatever order the constraints allow. Foreign keys are checked at the end as always.
    fn together(&mut self, batch: &ApplyBatch) -> Result<Applied, ApplyError> {
        self.begin(batch)?;
        for step in &batch.steps {
            self.step(batch, step, step.next, Some(step.position))?;
        }
        for work in &batch.work {
            if let WorkAction::Park(entry) = &work.action {
                self.park(batch, entry)?;
            }
        }
        let writes = in_transaction(&batch.work, |table| self.takers.has(table));
        let mut order = Reordering::new(&writes, &batch.work, |table| self.takers.has(table));
        let mut applied = Applied::default();
        let mut last = None;
        loop {
            let run = match order.turn() {
                Turn::Done => break,
                Turn::Stuck => {
                    let untried =
                        || ApplyError::new(ApplyErrorKind::Constraint, "nothing was tried");
                    return Err(last.unwrap_or_else(untried));
                }
                Turn::Try(run) => run,
            };
            let (mut gone, mut violation) = (0, None);
            for write in run.iter().filter_map(|index| writes.get(*index)) {
                violation = self.try_write(write, &mut applied)?;
                if violation.is_some() {
                    break;
                }
                gone += 1;
            }
            order.went(gone, violation.is_some());
            last = violation.or(last);
        }
        if writes
            .iter()
            .any(|write| self.takers.has(&write.schema.table))
        {
            // What a parent took with it is missed by its own delete.
            applied.missing.clear();
        }
        self.commit(batch, &applied)?;
        Ok(applied)
    }

    /// Does one write, or nothing of it if it violates a constraint.
    fn try_write(
        &mut self,
        write: &RowWrite,
        applied: &mut Applied,
    ) -> Result<Option<ApplyError>, ApplyError> {
        self.run("SAVEPOINT one")?;
        let violation = match self.write_as_told(write, applied) {
            Ok(()) => None,
            Err(error) if self.connection.is_autocommit() => return Err(error),
            Err(error) if error.kind.remedy() == Remedy::AwaitOrder => Some(error),
            Err(error) => return Err(error),
        };
        if violation.is_some() {
            self.run("ROLLBACK TO one")?;
        }
        self.run("RELEASE one")?;
        Ok(violation)
    }

    /// Change by change, up to the first that cannot be applied.
    fn careful(&mut self, batch: &ApplyBatch) -> Result<Applied, ApplyError> {
        let (applied, whole) = self.prefix(batch, batch.work.len())?;
        let Some(open_reference) = whole else {
            return Ok(applied);
        };
        // A reference stayed open that was opened there: what stands before it holds by itself.
        self.run("ROLLBACK")?;
        let (mut applied, _) = self.prefix(batch, open_reference)?;
        let at = batch.work.get(open_reference);
        let table = at.and_then(|work| match &work.action {
            WorkAction::Apply(change) => Some(change.schema.table.to_string()),
            WorkAction::Park(_) | WorkAction::Redrive => None,
        });
        let cause = rusqlite::Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_CONSTRAINT_FOREIGNKEY),
            Some("FOREIGN KEY constraint failed".to_owned()),
        );
        let error = from_sqlite(self.path, table.as_deref(), &cause);
        applied.failed = Some((open_reference, error));
        Ok(applied)
    }

    /// Applies the first `count` changes up to the first that fails, and commits, unless a foreign key would refuse that: then the transaction is open
    /// and the place of the change that opened the reference is told.
    fn prefix(
        &mut self,
        batch: &ApplyBatch,
        count: usize,
    ) -> Result<(Applied, Option<usize>), ApplyError> {
        self.begin(batch)?;
        let mut applied = Applied::default();
        let (mut done, mut sound) = (0, 0);
        for (index, work) in batch.work.iter().enumerate().take(count) {
            self.run("SAVEPOINT one")?;
            let mut one = Applied::default();
            if let Err(error) = self.work(batch, work, index, &mut one) {
                if self.connection.is_autocommit() {
                    // SQLite itself rolled the transaction back (no room, for one): nothing to keep.
                    return Err(error);
                }
                self.run("ROLLBACK TO one")?;
                applied.failed = Some((index, error));
            }
            self.run("RELEASE one")?;
            if applied.failed.is_some() {
                break;
            }
            applied.rows += one.rows;
            for (table, count) in one.missing {
                *applied.missing.entry(table).or_default() += count;
            }
            done = index + 1;
            if !has_open_references(self.connection) {
                sound = done;
            }
        }
        if sound < done {
            return Ok((applied, Some(sound)));
        }
        for (lane, step) in batch.steps.iter().enumerate() {
            let (next, position) = reached(batch, lane, step, done);
            self.step(batch, step, next, position)?;
        }
        self.commit(batch, &applied)?;
        Ok((applied, None))
    }

    fn begin(&mut self, batch: &ApplyBatch) -> Result<(), ApplyError> {
        self.run("BEGIN IMMEDIATE")?;
        self.run("PRAGMA defer_foreign_keys=ON")?;
        let looked = self.takers.refresh(self.connection);
        looked.map_err(|cause| self.explain(&cause))?;
        let mut checked: Option<(&keylane_core::model::TopicPartition, u64)> = None;
        for step in &batch.steps {
            let owner = (&step.partition, step.owner_epoch);
            if checked == Some(owner) {
                continue;
            }
            let owns = progress::is_owner(self.connection, &batch.pipeline, owner.0, owner.1);
            if !owns.map_err(|cause| self.explain(&cause))? {
                return Err(fenced(step));
            }
            checked = Some(owner);
        }
        Ok(())
    }

    fn step(
        &self,
        batch: &ApplyBatch,
        step: &LaneStep,
        next: Offset,
        position: Option<Position>,
    ) -> Result<(), ApplyError> {
        let moved = progress::step(self.connection, &batch.pipeline, step, next, position);
        match moved.map_err(|cause| self.explain(&cause))? {
            true => Ok(()),
            false => Err(fenced(step)),
        }
    }

    fn work(
        &mut self,
        batch: &ApplyBatch,
        work: &Work,
        index: usize,
        applied: &mut Applied,
    ) -> Result<(), ApplyError> {
        match &work.action {
            WorkAction::Apply(change) => self.write(&single(change, index), applied),
            WorkAction::Park(entry) => self.park(batch, entry),
            WorkAction::Redrive => self.redrive(batch, work, applied),
        }
    }

    fn write(&mut self, write: &RowWrite, applied: &mut Applied) -> Result<(), ApplyError> {
        if self.takers.is_meant(write) {
            // At the origin it may have taken other rows than it would here and now.
            return Err(ApplyError::new(
                ApplyErrorKind::Constraint,
                format!(
                    "a delete from the replica's table {} takes rows of other tables with it (a foreign key with an action): it goes with its whole transaction",
                    write.schema.table
                ),
            ));
        }
        self.write_as_told(write, applied)
    }

    fn write_as_told(&mut self, write: &RowWrite, applied: &mut Applied) -> Result<(), ApplyError> {
        let mut writer = RowWriter {
            connection: self.connection,
            path: self.path,
            texts: self.texts,
        };
        if writer.write(write)? {
            let table = write.schema.table.clone();
            *applied.missing.entry(table).or_default() += 1;
        }
        applied.rows += 1;
        Ok(())
    }

    fn park(
        &self,
        batch: &ApplyBatch,
        entry: &keylane_core::apply::ParkedEntry,
    ) -> Result<(), ApplyError> {
        parked::park(self.connection, &batch.pipeline, entry).map_err(|cause| self.explain(&cause))
    }

    /// Writes what the key's queue comes to, and empties it.
    fn redrive(
        &mut self,
        batch: &ApplyBatch,
        work: &Work,
        applied: &mut Applied,
    ) -> Result<(), ApplyError> {
        let Some(step) = batch.steps.get(work.step) else {
            return Err(ApplyError::new(
                ApplyErrorKind::Other,
                "a redrive names no lane of its batch",
            ));
        };
        let queue = parked::queue(
            self.connection,
            &batch.pipeline,
            &step.partition.topic,
            &work.key,
        );
        let mut changes = Vec::new();
        let mut tables = KnownTables::new();
        for (value, header) in queue.map_err(|cause| self.explain(&cause))? {
            let record = ParkedRecord {
                key: &work.key,
                value: &value,
                header: header.as_deref(),
            };
            let change = self.decoded(record, &mut tables)?;
            changes.push(Work {
                action: WorkAction::Apply(Arc::new(change)),
                ..work.clone()
            });
        }
        for write in fold(&changes).iter().flatten() {
            // A person asked for it; what a delete takes with it is theirs to know.
            self.write_as_told(write, applied)?;
        }
        parked::empty(
            self.connection,
            &batch.pipeline,
            &step.partition.topic,
            &work.key,
        )
        .map_err(|cause| self.explain(&cause))
    }

    /// Reads a parked record, by the replica's table if it asks for it.
    fn decoded(
        &self,
        record: ParkedRecord<'_>,
        tables: &mut KnownTables,
    ) -> Result<Change, ApplyError> {
        loop {
            match self.decoder.decode_parked(record, tables)? {
                Told::Change(change) => return Ok(change),
                Told::NeedsTable(table) => {
                    let found = table::describe(self.connection, &table);
                    let found = found.map_err(|cause| self.explain(&cause))?;
                    tables.insert(table, found.map(|found| Arc::new(schema_of(&found))));
                }
            }
        }
    }

    /// A redrive that failed for its own sake is not asked for any more.
    fn note(&self, batch: &ApplyBatch, error: &ApplyError) {
        if matches!(
            error.kind.remedy(),
            Remedy::RetryForever | Remedy::Retry | Remedy::Yield
        ) {
            return;
        }
        for work in &batch.work {
            let (WorkAction::Redrive, Some(step)) = (&work.action, batch.steps.get(work.step))
            else {
                continue;
            };
            let topic = &step.partition.topic;
            let noted =
                parked::redrive_failed(self.connection, &batch.pipeline, topic, &work.key, error);
            if let Err(cause) = noted {
                let untold = self.explain(&cause);
                tracing::warn!(error = %untold, "why a redrive failed could not be noted");
            }
        }
    }

    fn commit(&self, batch: &ApplyBatch, applied: &Applied) -> Result<(), ApplyError> {
        batch.must_hit.check(applied)?;
        self.run("COMMIT")
    }

    fn run(&self, sql: &str) -> Result<(), ApplyError> {
        // By the cache: these run in every transaction.
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.raw_execute().map(|_| ()))
            .map_err(|cause| self.explain(&cause))
    }

    fn explain(&self, cause: &rusqlite::Error) -> ApplyError {
        from_sqlite(self.path, None, cause)
    }

    fn roll_back_if_open(&self) {
        if !self.connection.is_autocommit() {
            // If even this fails, the next BEGIN says so.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}

fn has_redrive(batch: &ApplyBatch) -> bool {
    let mut work = batch.work.iter();
    work.any(|work| matches!(work.action, WorkAction::Redrive))
}

/// How far a lane is when the first `done` pieces of work are done.
fn reached(
    batch: &ApplyBatch,
    lane: usize,
    step: &LaneStep,
    done: usize,
) -> (Offset, Option<Position>) {
    let mut own = batch
        .work
        .iter()
        .enumerate()
        .filter(|(_, work)| work.step == lane);
    if own.clone().all(|(index, _)| index < done) {
        return (step.next, Some(step.position));
    }
    match own.rfind(|(index, _)| *index < done) {
        Some((_, work)) => (work.offset.next(), position_of(work)),
        None => (step.expected, None),
    }
}

fn position_of(work: &Work) -> Option<Position> {
    match &work.action {
        WorkAction::Apply(change) => Some(change.position),
        WorkAction::Park(entry) => {
            let header = entry.header.as_ref()?;
            let header = Header::decode(header.as_bytes()).ok()?;
            Some(header.position)
        }
        WorkAction::Redrive => None,
    }
}

fn fenced(step: &LaneStep) -> ApplyError {
    ApplyError::new(
        ApplyErrorKind::Fenced,
        format!(
            "partition {}, lane {}: another process owns it now",
            step.partition, step.lane.0
        ),
    )
}

/// Whether COMMIT would be refused because of a foreign key.
#[expect(
    unsafe_code,
    reason = "rusqlite has no call for it, and checking whole tables instead would cost a scan for each change"
)]
fn has_open_references(connection: &Connection) -> bool {
    let (mut open, mut highest) = (0, 0);
    // SAFETY: the handle is of a connection that is open for as long as it is borrowed, on the one thread that uses it; the two out-parameters live
    // through the call. A failure leaves `open` at 0, and COMMIT then finds the violation.
    unsafe {
        ffi::sqlite3_db_status(
            connection.handle(),
            ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
            &mut open,
            &mut highest,
            0,
        );
    }
    open != 0
}
