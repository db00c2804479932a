//! A worker's connection: one batch, one transaction.
//!
//! Three round trips: the steps (which open the transaction), the rows, the commit. The rows are not sent before the steps are answered: should the server
//! refuse to open the transaction, what came behind would be committed statement by statement.

use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_trait::async_trait;
use keylane_core::apply::{
    Applied, ApplyBatch, ApplyError, Mode, PartitionLow, ReplicaSession, Work, WorkAction, fold,
    singles,
};
use keylane_core::error::{ApplyErrorKind, Remedy};
use keylane_core::model::{Change, Offset};
use tokio_postgres::Error;

use crate::envelope::{DecodeParked, KnownTables, ParkedRecord, Told, schema_of};

use super::catalog;
use super::group::Count;
use super::link::{Call, Failure, Link, Sent, execute, in_one_go};
use super::parked::{self, PARK, Queue};
use super::progress::{self, Step, make_steps};
use super::replica::Door;
use super::{careful, together};
use crate::postgres::connect::Ended;

/// See [`keylane_core::apply::ReplicaSession`]. A lost connection is made anew by the call behind the one that tells of it.
pub(super) struct PostgresSession {
    door: Door,
    decode: Arc<dyn DecodeParked>,
    link: Option<Link>,
    /// Whether the last connection has ended.
    ended: Ended,
    /// Set when it turned out to be lost and the call said something else.
    lost: bool,
    /// Set while a transaction is open: a call that was dropped midway leaves it set, and its connection is then thrown away.
    open: bool,
}

/// A failed attempt, and whose redrive it was.
pub(super) struct Failed<'a> {
    pub(super) failure: Failure,
    redrive: Option<Queue<'a>>,
}

impl From<Failure> for Failed<'_> {
    fn from(failure: Failure) -> Self {
        Failed {
            failure,
            redrive: None,
        }
    }
}

impl PostgresSession {
    /// A session; it connects at its first use, or with [`PostgresSession::connected`].
    pub(super) fn new(door: Door, decode: Arc<dyn DecodeParked>) -> Self {
        PostgresSession {
            door,
            decode,
            link: None,
            ended: Ended::default(),
            lost: false,
            open: false,
        }
    }

    /// Connects now.
    pub(super) async fn connected(mut self) -> Result<Self, ApplyError> {
        self.link().await?;
        Ok(self)
    }

    async fn link(&mut self) -> Result<&mut Link, ApplyError> {
        if std::mem::take(&mut self.open) {
            self.link = None;
        }
        let lost = std::mem::take(&mut self.lost);
        let link = match self.link.take() {
            // Not made anew in silence: the server that answers next may be another one.
            Some(link) if lost || link.client.is_closed() => {
                let message = "the connection was lost";
                return Err(ApplyError::new(ApplyErrorKind::Unreachable, message));
            }
            Some(link) => link,
            None => {
                let (client, ended) = self.door.open_for_data().await?;
                self.ended = ended;
                Link::new(client)
            }
        };
        Ok(self.link.insert(link))
    }

    async fn attempt<'a>(
        &mut self,
        batch: &'a ApplyBatch,
        again: bool,
    ) -> Result<Applied, Failed<'a>> {
        let decode = self.decode.clone();
        self.link().await.map_err(Failure::from)?;
        self.open = true;
        let Some(link) = self.link.as_mut() else {
            return Ok(Applied::default()); // just connected
        };
        if again {
            link.forget();
        }
        let done = match batch.mode {
            Mode::Folded | Mode::Unfolded => whole(link, &*decode, batch).await,
            Mode::Careful => careful::attempt(link, &*decode, batch, again).await,
            Mode::Together => together::attempt(link, batch, again)
                .await
                .map_err(Failed::from),
        };
        if let Err(failed) = &done
            && link.client.batch_execute("ROLLBACK").await.is_err()
        {
            // Told by what failed, or by the next call.
            match failed.failure.error.kind {
                ApplyErrorKind::Unreachable => self.link = None,
                _ => self.lost = true,
            }
        }
        self.open = false;
        done
    }
}

#[async_trait]
impl ReplicaSession for PostgresSession {
    async fn apply(&mut self, batch: &ApplyBatch) -> Result<Applied, ApplyError> {
        let mut outcome = self.attempt(batch, false).await;
        if matches!(&outcome, Err(failed) if failed.failure.may_be_stale) {
            outcome = self.attempt(batch, true).await;
        }
        let failed = match outcome {
            Ok(applied) => return Ok(applied),
            Err(failed) => failed,
        };
        let error = failed.failure.error;
        if let (Some(queue), Remedy::Park | Remedy::AwaitOrder | Remedy::Stop) =
            (failed.redrive, error.kind.remedy())
            && let Ok(link) = self.link().await
            && let Err(untold) = queue.failed(&link.client, &error).await
        {
            tracing::warn!(error = %untold, "why a redrive failed could not be noted");
        }
        Err(error)
    }

    fn ended(&self) -> Option<Instant> {
        self.link.as_ref().and_then(|_| self.ended.at())
    }

    async fn save_low(&mut self, pipeline: &str, lows: &[PartitionLow]) -> Result<(), ApplyError> {
        if lows.is_empty() {
            return Ok(());
        }
        let link = self.link().await?;
        progress::save_low(&link.client, pipeline, lows).await
    }
}

/// Everything or nothing.
async fn whole<'a>(
    link: &mut Link,
    decode: &dyn DecodeParked,
    batch: &'a ApplyBatch,
) -> Result<Applied, Failed<'a>> {
    let mut applied = Applied::default();
    // Folded while the server is at it.
    let (opened, runs) = meanwhile(open(link, batch), || match batch.mode {
        Mode::Folded => fold(&batch.work),
        Mode::Unfolded | Mode::Careful | Mode::Together => Vec::new(),
    })
    .await;
    opened?;
    redrive_all(link, decode, batch, &mut applied).await?;
    if batch.mode == Mode::Folded {
        for run in runs {
            let calls = link.calls(&run, true).await?;
            send(link, &calls, &mut applied).await?;
        }
    } else {
        let writes = singles(&batch.work);
        let mut calls = Vec::with_capacity(writes.len());
        for write in &writes {
            calls.extend(link.calls(std::slice::from_ref(write), false).await?);
        }
        send(link, &calls, &mut applied).await?;
    }
    let parked: Vec<_> = batch.work.iter().filter_map(entry_of).collect();
    if !parked.is_empty() {
        let call = link
            .own_call(PARK, parked::arrays(&batch.pipeline, &parked))
            .await?;
        send_one(link, &call).await?;
    }
    if let Some(turn) = &batch.turn {
        turn.await_turn().await.map_err(Failure::from)?;
        make_steps(&link.client, false, &batch.pipeline, &full_steps(batch)).await?;
        turn.check(&applied).map_err(Failure::from)?;
    }
    commit(link, batch, &applied).await?;
    Ok(applied)
}

/// Opens the transaction, with the lanes' steps unless the batch's turn is still to come.
async fn open(link: &Link, batch: &ApplyBatch) -> Result<(), Failure> {
    if batch.turn.is_none() {
        let steps = full_steps(batch);
        return make_steps(&link.client, true, &batch.pipeline, &steps).await;
    }
    let opened = link.client.batch_execute("BEGIN").await;
    opened.map_err(|error| Failure::sql(&error, "beginning a transaction at the replica"))
}

/// Ends the transaction. Constraints that are deferred to here are checked now.
pub(super) async fn commit(
    link: &Link,
    batch: &ApplyBatch,
    applied: &Applied,
) -> Result<(), Failure> {
    batch.must_hit.check(applied)?;
    link.client
        .batch_execute("COMMIT")
        .await
        .map_err(|error| Failure::sql(&error, "committing at the replica"))
}

/// The steps as if all work is done.
pub(super) fn full_steps(batch: &ApplyBatch) -> Vec<Step<'_>> {
    let steps = batch.steps.iter();
    steps
        .map(|step| Step {
            step,
            next: step.next,
            position: Some(step.position),
        })
        .collect()
}

pub(super) fn entry_of(work: &Work) -> Option<&keylane_core::apply::ParkedEntry> {
    match &work.action {
        WorkAction::Park(entry) => Some(entry),
        WorkAction::Apply(_) | WorkAction::Redrive => None,
    }
}

/// Polls a future once, so that what it sends is on its way, does something else, and awaits it.
async fn meanwhile<F: Future, T>(sent: F, other: impl FnOnce() -> T) -> (F::Output, T) {
    let mut sent = std::pin::pin!(sent);
    let polled = std::future::poll_fn(|context| Poll::Ready(sent.as_mut().poll(context))).await;
    let made = other();
    match polled {
        Poll::Ready(output) => (output, made),
        Poll::Pending => (sent.await, made),
    }
}

/// Executes calls in one go; then inserts what they found missing and should be there.
async fn send(link: &mut Link, calls: &[Call<'_>], applied: &mut Applied) -> Result<(), Failure> {
    let client = &link.client;
    let sent = calls
        .iter()
        .map(|call| {
            Box::pin(execute(client, &call.statement, &call.arrays)) as Sent<'_, Result<u64, Error>>
        })
        .collect();
    let answers = in_one_go(sent).await;
    for (call, answer) in calls.iter().zip(answers) {
        let hit = answer.map_err(|error| call.failure(&error))?;
        if count(call, hit, applied) && call.count == Count::HitsElseInsert {
            link.insert_absent(call).await?;
        }
    }
    Ok(())
}

pub(super) async fn send_one(link: &Link, call: &Call<'_>) -> Result<(), Failure> {
    let sent = execute(&link.client, &call.statement, &call.arrays).await;
    sent.map_err(|error| call.failure(&error))?;
    Ok(())
}

/// Counts what a call did. Returns whether rows were missing.
pub(super) fn count(call: &Call<'_>, hit: u64, applied: &mut Applied) -> bool {
    let missing = match call.count {
        Count::Rows => 0,
        Count::Hits | Count::HitsElseInsert => call.rows.saturating_sub(hit),
        Count::Missing => hit,
    };
    applied.rows += match call.count {
        Count::Missing | Count::HitsElseInsert => call.rows,
        Count::Rows | Count::Hits => hit,
    };
    if missing > 0
        && let Some(table) = &call.table
    {
        *applied.missing.entry(table.clone()).or_default() += missing;
    }
    missing > 0
}

/// Applies and empties the queues that are to be redriven.
pub(super) async fn redrive_all<'a>(
    link: &mut Link,
    decode: &dyn DecodeParked,
    batch: &'a ApplyBatch,
    applied: &mut Applied,
) -> Result<(), Failed<'a>> {
    for work in &batch.work {
        let (WorkAction::Redrive, Some(step)) = (&work.action, batch.steps.get(work.step)) else {
            continue;
        };
        let queue = Queue {
            pipeline: &batch.pipeline,
            topic: &step.partition.topic,
            key: &work.key,
        };
        redrive(link, decode, queue, applied)
            .await
            .map_err(|failure| Failed {
                failure,
                redrive: Some(queue),
            })?;
    }
    Ok(())
}

async fn redrive(
    link: &mut Link,
    decode: &dyn DecodeParked,
    queue: Queue<'_>,
    applied: &mut Applied,
) -> Result<(), Failure> {
    let mut after = -1;
    let mut tables = KnownTables::new();
    loop {
        let records = queue.read(&link.client, after).await?;
        let Some(last) = records.last() else {
            break;
        };
        after = last.id;
        let mut work = Vec::with_capacity(records.len());
        for record in &records {
            let record = ParkedRecord {
                key: queue.key,
                value: &record.value,
                header: record.header.as_deref(),
            };
            let change = decoded(link, decode, record, &mut tables).await?;
            work.push(Work {
                step: 0,
                offset: Offset(0),
                key: bytes::Bytes::copy_from_slice(queue.key),
                action: WorkAction::Apply(Arc::new(change)),
            });
        }
        for run in fold(&work) {
            // A person asked for it; what a delete takes with it is theirs to know.
            let calls = link.calls_as_told(&run, true).await?;
            send(link, &calls, applied).await?;
        }
    }
    queue.empty(&link.client).await
}

/// Reads a parked record, by the replica's table if it asks for it.
async fn decoded(
    link: &Link,
    decode: &dyn DecodeParked,
    record: ParkedRecord<'_>,
    tables: &mut KnownTables,
) -> Result<Change, Failure> {
    loop {
        match decode.decode_parked(record, tables)? {
            Told::Change(change) => return Ok(change),
            Told::NeedsTable(table) => {
                let found = catalog::table(&link.client, &table).await;
                let found = found.map_err(|error| Failure::sql(&error, parked::REDRIVING))?;
                let schema = found
                    .map(|found| Arc::new(schema_of(&found.into_replica_table(table.clone()))));
                tables.insert(table, schema);
            }
        }
    }
}
