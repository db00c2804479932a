//! The stream of a session: the transport's messages, turned into what the origin tells.
//!
//! Nothing is lost when a wait is dropped: a message leaves the transport only into a place of `self`, and events leave `self` only at the end of a call.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use keylane_core::capture::{OriginError, OriginEvent};
use keylane_core::model::{Row, Value};
use pgwire_replication::{Lsn, ReplicationClient, ReplicationEvent};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::chunk::PendingChunk;
use super::error::{code, from_wire, refused, unreachable};
use super::marker;
use super::pgoutput::{self, Cell, Malformed, Message, OldTuple};
use super::relation::{Answer, Relations, Shape, Told};
use super::slot;
use super::visibility::Delivered;

/// From PostgreSQL's epoch (2000) to 1970, in microseconds.
const EPOCH_US: i64 = 946_684_800_000_000;
/// What an event counts at least, against the caller's bound.
const EVENT_BYTES: usize = size_of::<OriginEvent>();

/// A silence after which the SQL connection, which has its own time-outs, is asked whether the stream still lives. Silence alone proves nothing: a server that
/// reads through a large transaction sends no word.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A replication connection that holds the slot.
pub(super) struct Held {
    pub wire: ReplicationClient,
    pub slot: String,
    /// The server process behind it.
    pub pid: i32,
}

/// The stream of a session.
pub(super) struct Stream {
    wire: ReplicationClient,
    slot: String,
    pid: i32,
    /// When something was last heard, or the stream was last seen alive.
    heard: Instant,
    sql: Arc<Client>,
    relations: Relations,
    /// A relation that was told, while the catalog is asked about it. A task of its own asks, so that callers who wait in short spells get on, too.
    held: Option<(Told, JoinHandle<Result<Answer, OriginError>>)>,
    ready: Vec<OriginEvent>,
    ready_bytes: usize,
    in_transaction: bool,
    /// The id of the latest one, as the log tells it.
    transaction: u32,
    idle_up_to: u64,
    /// What the stream has delivered, for chunks to see.
    pub delivered: Delivered,
    /// The chunk that was asked for.
    pub chunk: Option<PendingChunk>,
}

/// What a wait brought.
enum Arrived {
    Wire(Option<ReplicationEvent>),
    Chunk,
    Silence,
}

impl Stream {
    /// Over a connection on which replication was started.
    pub fn new(held: Held, sql: Arc<Client>, relations: Relations) -> Self {
        Stream {
            wire: held.wire,
            slot: held.slot,
            pid: held.pid,
            heard: Instant::now(),
            sql,
            relations,
            held: None,
            ready: Vec::new(),
            ready_bytes: 0,
            in_transaction: false,
            transaction: 0,
            idle_up_to: 0,
            delivered: Delivered::default(),
            chunk: None,
        }
    }

    /// The tables whose changes are told.
    pub fn captured(&self) -> impl Iterator<Item = &keylane_core::model::TableName> {
        self.relations.captured().iter()
    }

    /// Lets the server forget what is below.
    pub fn confirm(&self, up_to: u64) {
        self.wire.update_applied_lsn(Lsn::from_u64(up_to));
    }

    /// As `Origin::next`.
    pub async fn next(&mut self, bytes_max: usize) -> Result<Vec<OriginEvent>, OriginError> {
        loop {
            if let Some((_, asking)) = &mut self.held {
                let answer = asking.await;
                if let Some((told, _)) = self.held.take() {
                    let answer = answer.map_err(|_| {
                        unreachable("the catalog was not read to its end: the process is ending")
                    })??;
                    self.relations.learn(&told, answer)?;
                }
            }
            if self.ready_bytes >= bytes_max.max(1) {
                return Ok(self.take_ready());
            }
            if self.chunk.as_ref().is_some_and(|chunk| chunk.pouring) {
                if !self.ready.is_empty() {
                    return Ok(self.take_ready());
                }
                self.pour().await?;
                continue;
            }
            if self.ready.is_empty() {
                match self.wait().await? {
                    Arrived::Wire(event) => self.take(event)?,
                    Arrived::Chunk => {}
                    Arrived::Silence => self.check_alive().await?,
                }
            } else {
                match self.wire.recv().now_or_never() {
                    Some(event) => {
                        let event = event.map_err(|error| from_wire("streaming", &error))?;
                        self.take(event)?;
                    }
                    None => return Ok(self.take_ready()),
                }
            }
        }
    }

    async fn wait(&mut self) -> Result<Arrived, OriginError> {
        let silent_at = self.heard + SILENCE_MAX;
        let awaits_first = self.chunk.as_ref().is_some_and(PendingChunk::awaits_first);
        let first = async {
            match &mut self.chunk {
                Some(chunk) if awaits_first => chunk.fetch_first().await,
                _ => std::future::pending().await,
            }
        };
        let arrived = tokio::select! {
            first = first => first.map(|()| Arrived::Chunk)?,
            event = self.wire.recv() => Arrived::Wire(event.map_err(|error| from_wire("streaming", &error))?),
            () = tokio::time::sleep_until(silent_at) => Arrived::Silence,
        };
        if !matches!(arrived, Arrived::Chunk) {
            self.heard = Instant::now();
        }
        Ok(arrived)
    }

    /// An error if the slot is not held by our own connection any more.
    async fn check_alive(&self) -> Result<(), OriginError> {
        let ask = slot::read(&self.sql, &self.slot);
        let found = tokio::time::timeout(SILENCE_MAX, ask)
            .await
            .map_err(|_| unreachable("the origin gave no word for a minute"))??;
        if found.and_then(|slot| slot.active_pid) == Some(self.pid) {
            return Ok(());
        }
        Err(unreachable(
            "the origin no longer serves the replication connection",
        ))
    }

    /// Delivers some of the chunk whose place is reached.
    async fn pour(&mut self) -> Result<(), OriginError> {
        let Some(chunk) = &mut self.chunk else {
            return Ok(());
        };
        let part = chunk.next().await?;
        let id = chunk.id;
        if part.last {
            self.chunk = None;
        }
        let bytes = part.rows.iter().map(row_bytes).sum();
        self.push(
            OriginEvent::Chunk {
                id,
                schema: part.schema,
                rows: part.rows,
                next_after: part.next_after,
            },
            bytes,
        );
        Ok(())
    }

    fn take_ready(&mut self) -> Vec<OriginEvent> {
        self.ready_bytes = 0;
        std::mem::take(&mut self.ready)
    }

    fn push(&mut self, event: OriginEvent, bytes: usize) {
        self.ready_bytes += bytes + EVENT_BYTES;
        self.ready.push(event);
    }

    fn take(&mut self, event: Option<ReplicationEvent>) -> Result<(), OriginError> {
        match event {
            Some(ReplicationEvent::XLogData { data, .. }) => self.take_data(&data),
            Some(ReplicationEvent::Begin {
                final_lsn,
                xid,
                commit_time_micros,
            }) => {
                self.in_transaction = true;
                self.transaction = xid;
                self.delivered.add(xid);
                let begin = OriginEvent::Begin {
                    commit: final_lsn.as_u64(),
                    tx: u64::from(xid),
                    committed_at_us: commit_time_micros.saturating_add(EPOCH_US),
                };
                self.push(begin, 0);
                Ok(())
            }
            Some(ReplicationEvent::Commit { end_lsn, .. }) => {
                self.in_transaction = false;
                let end = end_lsn.as_u64();
                self.idle_up_to = self.idle_up_to.max(end);
                self.push(OriginEvent::Commit { end }, 0);
                Ok(())
            }
            Some(ReplicationEvent::KeepAlive { wal_end, .. }) => {
                self.idle(wal_end.as_u64());
                Ok(())
            }
            Some(ReplicationEvent::Message {
                transactional,
                lsn,
                prefix,
                content,
            }) => {
                self.message(transactional, lsn, &prefix, &content);
                Ok(())
            }
            Some(ReplicationEvent::StoppedAt { .. }) | None => {
                Err(unreachable("the origin ended the replication stream"))
            }
        }
    }

    /// Everything committed below this place has been delivered, unless a transaction is being told.
    fn idle(&mut self, up_to: u64) {
        if self.in_transaction || up_to <= self.idle_up_to {
            return;
        }
        self.idle_up_to = up_to;
        if let Some(OriginEvent::Idle { up_to: last }) = self.ready.last_mut() {
            *last = up_to;
        } else {
            self.push(OriginEvent::Idle { up_to }, 0);
        }
    }

    fn message(&mut self, transactional: bool, place: Lsn, prefix: &str, content: &Bytes) {
        if !transactional {
            // Written at once, between transactions: whatever committed before it has been told.
            self.idle(place.as_u64());
            return;
        }
        if prefix != marker::PREFIX {
            return;
        }
        let ours = self
            .chunk
            .as_mut()
            .filter(|chunk| chunk.mark.as_bytes() == content.as_ref());
        match ours {
            Some(chunk) => chunk.pouring = true,
            None => self.push(OriginEvent::Message, 0),
        }
    }

    fn take_data(&mut self, data: &[u8]) -> Result<(), OriginError> {
        match pgoutput::decode(data).map_err(malformed)? {
            Message::Relation(relation) => {
                let told = Told::from(&relation);
                if let Some(question) = self.relations.ask(&told, self.transaction)? {
                    self.held = Some((told, tokio::spawn(question)));
                }
            }
            Message::Insert { relation, new } => {
                if let Some(shape) = self.relations.shape(relation)?.cloned() {
                    let (after, bytes) = row(&shape, &new)?;
                    let schema = Arc::clone(&shape.schema);
                    self.push(OriginEvent::Insert { schema, after }, bytes);
                }
            }
            Message::Update { relation, old, new } => {
                if let Some(shape) = self.relations.shape(relation)?.cloned() {
                    self.update(&shape, old.as_ref(), &new)?;
                }
            }
            Message::Delete { relation, old } => {
                if let Some(shape) = self.relations.shape(relation)?.cloned() {
                    let (before, bytes) = old_row(&shape, &old)?;
                    let schema = Arc::clone(&shape.schema);
                    self.push(OriginEvent::Delete { schema, before }, bytes);
                }
            }
            Message::Truncate { relations } => {
                let mut schemas = Vec::new();
                for relation in relations {
                    let shape = self.relations.shape(relation)?;
                    schemas.extend(shape.map(|shape| Arc::clone(&shape.schema)));
                }
                if !schemas.is_empty() {
                    self.push(OriginEvent::Truncate { schemas }, 0);
                }
            }
            Message::Nothing => {}
        }
        Ok(())
    }

    fn update(
        &mut self,
        shape: &Shape,
        old: Option<&OldTuple<'_>>,
        new: &[Cell<'_>],
    ) -> Result<(), OriginError> {
        let (mut after, mut bytes) = row(shape, new)?;
        let mut before = None;
        if let Some(old) = old {
            let (row, old_bytes) = old_row(shape, old)?;
            // The old row is told whole even where the new one leaves unchanged values out.
            for (new, old) in after.iter_mut().zip(&row) {
                if !new.is_present() && old.is_present() {
                    *new = old.clone();
                }
            }
            before = Some(row);
            bytes += old_bytes;
        }
        let schema = Arc::clone(&shape.schema);
        self.push(
            OriginEvent::Update {
                schema,
                before,
                after,
            },
            bytes,
        );
        Ok(())
    }
}

fn row(shape: &Shape, cells: &[Cell<'_>]) -> Result<(Row, usize), OriginError> {
    check_width(shape, cells)?;
    let row: Row = shape
        .forms
        .iter()
        .zip(cells)
        .map(|(form, cell)| form.cell(*cell))
        .collect();
    let bytes = row_bytes(&row);
    Ok((row, bytes))
}

fn old_row(shape: &Shape, old: &OldTuple<'_>) -> Result<(Row, usize), OriginError> {
    let cells = match old {
        OldTuple::Whole(cells) => return row(shape, cells),
        OldTuple::Key(cells) => cells,
    };
    check_width(shape, cells)?;
    let row: Row = shape
        .forms
        .iter()
        .zip(cells)
        .zip(&shape.in_identity)
        .map(|((form, cell), in_identity)| {
            if *in_identity {
                form.cell(*cell)
            } else {
                Value::Absent
            }
        })
        .collect();
    let bytes = row_bytes(&row);
    Ok((row, bytes))
}

fn row_bytes(row: &Row) -> usize {
    row.iter().map(Value::size_bytes).sum()
}

fn check_width(shape: &Shape, cells: &[Cell<'_>]) -> Result<(), OriginError> {
    if cells.len() == shape.forms.len() {
        return Ok(());
    }
    Err(refused(
        code::MALFORMED,
        format!(
            "the origin sent a row of {} values for table {}, which has {} columns",
            cells.len(),
            shape.schema.table,
            shape.forms.len()
        ),
    ))
}

fn malformed(error: Malformed) -> OriginError {
    refused(
        code::MALFORMED,
        format!(
            "a message of the stream cannot be understood: {}; if the database's encoding is SQL_ASCII, its text must be UTF-8",
            error.what
        ),
    )
}
