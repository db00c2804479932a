//! The origin: what a database adapter must promise so that its changes can be captured.

use std::sync::Arc;

use async_trait::async_trait;

use super::{OutboxRow, RefusedRow};
use crate::model::{Epoch, Row, TableName, TableSchema, Value};

/// A capture session that was opened: the source of changes is held by this process alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// A number higher than any session before it had, taken while the source was held, after which it was checked that it still is.
    pub epoch: Epoch,
    /// What tells this origin from another or from its earlier self (system identifier, slot, file id).
    pub identity: String,
    /// The commit up to which the origin may already have forgotten: the stream starts behind it.
    pub confirmed: u64,
}

/// What the origin tells, in commit order.
#[derive(Clone, Debug)]
pub enum OriginEvent {
    /// A transaction begins; its commit's place and time are known already.
    Begin {
        /// The commit's place.
        commit: u64,
        /// The origin's transaction id.
        tx: u64,
        /// Microseconds since 1970.
        committed_at_us: i64,
    },
    /// A row was inserted.
    Insert {
        /// The table's shape.
        schema: Arc<TableSchema>,
        /// The whole row.
        after: Row,
    },
    /// A row was updated, perhaps its key too.
    Update {
        /// The table's shape.
        schema: Arc<TableSchema>,
        /// The row before as far as the origin tells: `None` if it tells nothing because the key did not change.
        before: Option<Row>,
        /// The row after; columns may be absent.
        after: Row,
    },
    /// A row was deleted.
    Delete {
        /// The table's shape.
        schema: Arc<TableSchema>,
        /// At least the row key; the whole row for a table without a key.
        before: Row,
    },
    /// Tables were emptied together.
    Truncate {
        /// Their shapes.
        schemas: Vec<Arc<TableSchema>>,
    },
    /// A message written into the origin's log on purpose: a settle marker or a heartbeat. Its content is of no matter, its place is.
    Message,
    /// The answer to [`Origin::request_chunk`], at a place in the stream by which everything the chunk's read could see has been delivered.
    Chunk {
        /// Which request.
        id: u64,
        /// The table's shape.
        schema: Arc<TableSchema>,
        /// The rows, in key order.
        rows: Vec<Row>,
        /// The key columns' values of the last row, from which the next chunk goes on; `None` if the table's end was reached.
        next_after: Option<Vec<Value>>,
    },
    /// The transaction ends.
    Commit {
        /// The place after it: confirming it lets the origin forget the transaction.
        end: u64,
    },
    /// No transaction is open and everything up to here has been delivered.
    Idle {
        /// The place.
        up_to: u64,
    },
}

/// A piece of a table to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkRequest {
    /// Tells answers apart.
    pub id: u64,
    /// The table.
    pub table: TableName,
    /// Rows whose key is greater than this; from the start if `None`.
    pub after: Option<Vec<Value>>,
    /// At most so many rows.
    pub rows_max: u32,
}

/// What went wrong at the origin. The message holds no row values and no secrets.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct OriginError {
    /// What it asks for.
    pub kind: OriginErrorKind,
    /// The stable code (`KL-CAPTURE-…`), with a page of its own in `docs/errors`.
    pub code: &'static str,
    /// What happened, where, and what to do.
    pub message: String,
}

/// What an error of the origin asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OriginErrorKind {
    /// Not reachable now: open anew after a pause.
    Unreachable,
    /// Another capturer holds the source: wait, then open anew.
    Busy,
    /// The source is lost, re-created, or another than before: stop, a person must choose the way out.
    Lost,
    /// Rights, settings or schema are not as they must be: stop with the mend.
    Refused,
}

/// A database whose changes are captured.
///
/// *Order*: commits in the origin's order, a transaction's changes in theirs, each between its `Begin` and its `Commit`. *Duplicates*: after a new `open`,
/// everything behind the confirmed place is told again, whole transactions. *Durability*: what was not confirmed is not forgotten by the origin.
/// *Cancellation*: `next` may be dropped while it waits; no event is lost.
#[async_trait]
pub trait Origin: Send {
    /// The captured tables as they are now, parents before children where foreign keys allow.
    async fn tables(&mut self) -> Result<Vec<Arc<TableSchema>>, OriginError>;

    /// Takes the source (only one process can hold it), takes an epoch, checks that the source is still held.
    async fn open(&mut self) -> Result<Opened, OriginError>;

    /// The next events, at least one, at most about `bytes_max`.
    async fn next(&mut self, bytes_max: usize) -> Result<Vec<OriginEvent>, OriginError>;

    /// Lets the origin forget everything up to this place.
    async fn confirm(&mut self, up_to: u64) -> Result<(), OriginError>;

    /// Asks for a piece of a table; the answer comes as [`OriginEvent::Chunk`], inside a transaction of its own (`Begin`, `Chunk`, `Commit`) whose commit
    /// place no other transaction has. One request at a time. The read sees everything delivered before the request.
    ///
    /// For a table without a key the read is exact at the answer's place (it sees every commit before it and none after), and the whole table follows in
    /// that one transaction, as many `Chunk` events as it takes; `next_after` is `None` in the last only.
    async fn request_chunk(&mut self, request: ChunkRequest) -> Result<(), OriginError>;

    /// Writes rows of outbox tables back with the reason why they are not published, under `parked`: where the row is gone, whole. Doing it again changes nothing.
    async fn park_events(&mut self, rows: &[RefusedRow]) -> Result<(), OriginError>;

    /// Deletes rows of outbox tables whose events the log holds durably. Those that are gone already are no error.
    async fn purge_events(&mut self, rows: &[OutboxRow]) -> Result<(), OriginError>;
}
