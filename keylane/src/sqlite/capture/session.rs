//! The capture session on its thread: one connection, where it is in the stream, what it still owes.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::capture::{
    ChunkRequest, Opened, OriginError, OriginErrorKind, OriginEvent, OutboxRow, RefusedRow,
};
use keylane_core::model::{Epoch, TableSchema};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::change::{self, Told};
use super::chunk::{self, Placed, Rows};
use super::clean::Cleaner;
use super::error::{NOT_CAPTURABLE, REPLACED, UNREADABLE, error, from_sqlite};
use super::hold::{Hold, Note};
use super::install::{self, Shapes};
use super::origin::SqliteOriginOptions;
use super::{outbox, shape};

/// How long a connection waits for the origin's own writers.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// How often it is looked whether the file is still the same, and an idle stream says so.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// A connection, and the session if one is open.
pub(super) struct Session {
    options: SqliteOriginOptions,
    connection: Connection,
    file: (u64, u64),
    open: Option<Stream>,
}

/// An open session.
struct Stream {
    hold: Hold,
    identity: String,
    shapes: Shapes,
    cells: usize,
    schema_version: i64,
    data_version: Option<i64>,
    /// Everything up to here was told.
    told: u64,
    chunk: Option<Placed>,
    cleaner: Cleaner,
    /// When the stream last said that it is idle, or looked after the file.
    idle_said: Option<Instant>,
    looked: Instant,
}

impl Session {
    pub(super) fn connect(options: SqliteOriginOptions) -> Result<Self, OriginError> {
        let explain = |cause: rusqlite::Error| from_sqlite(&options.path, &cause);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&options.path, flags).map_err(explain)?;
        connection.busy_timeout(BUSY_WAIT).map_err(explain)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection
            .execute_batch("PRAGMA cache_size=-4096; PRAGMA synchronous=FULL;")
            .map_err(explain)?;
        let file = file_id(&options.path)?;
        Ok(Session {
            options,
            connection,
            file,
            open: None,
        })
    }

    pub(super) fn tables(&mut self) -> Result<Vec<Arc<TableSchema>>, OriginError> {
        let schemas = shape::captured(&self.connection, &self.options)?;
        Ok(schemas.into_iter().map(Arc::new).collect())
    }

    /// Takes the file, the next epoch, and puts the triggers right.
    pub(super) fn open(&mut self) -> Result<Opened, OriginError> {
        let path = self.options.path.clone();
        let explain = |cause: rusqlite::Error| from_sqlite(&path, &cause);
        // An earlier session of this value gives way first.
        self.open = None;
        let mut hold = Hold::take(&path)?;
        self.check_file()?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(explain)?;
        install::own_tables(&transaction).map_err(explain)?;
        let (epoch, confirmed, identity): (u64, u64, String) = transaction
            .query_row(
                "UPDATE keylane_capture SET epoch = epoch + 1 WHERE id = 1 RETURNING epoch, confirmed, identity",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .map_err(explain)?;
        let written: Option<u64> = transaction
            .query_row(
                "SELECT max(seq) FROM sqlite_sequence WHERE name = 'keylane_change'",
                [],
                |row| row.get(0),
            )
            .map_err(explain)?;
        check_identity(&self.options, &identity)?;
        check_age(&path, hold.note(), &identity, written.unwrap_or(0))?;
        let shapes = install::ensure(&transaction, &self.options, None)?;
        let cells = install::cells(&transaction).map_err(explain)?;
        let schema_version = schema_version(&transaction).map_err(explain)?;
        transaction.commit().map_err(explain)?;
        hold.write(&Note {
            identity: identity.clone(),
            confirmed,
        });
        self.open = Some(Stream {
            hold,
            identity: identity.clone(),
            shapes,
            cells,
            schema_version,
            data_version: None,
            told: confirmed,
            chunk: None,
            cleaner: Cleaner::new(confirmed),
            idle_said: None,
            looked: Instant::now(),
        });
        Ok(Opened {
            epoch: Epoch(epoch),
            identity,
            confirmed,
        })
    }

    /// The next events; none if there is nothing to tell now.
    pub(super) fn next(&mut self, bytes_max: usize) -> Result<Vec<OriginEvent>, OriginError> {
        self.clean_if_due()?;
        if self.stream()?.looked.elapsed() >= LOOK_AFTER {
            self.check_file()?;
            self.stream()?.looked = Instant::now();
        }
        if let Some(events) = self.next_piece(bytes_max)? {
            return Ok(events);
        }
        let explain = |cause: rusqlite::Error| from_sqlite(&self.options.path, &cause);
        let version = data_version(&self.connection).map_err(explain)?;
        if self.stream()?.data_version == Some(version) {
            return Ok(self.idle());
        }
        self.follow_shapes()?;
        let (options, connection, stream) = self.parts()?;
        let read = change::read(
            connection,
            &options.path,
            &stream.shapes,
            stream.cells,
            stream.told,
            bytes_max,
        )?;
        stream.data_version = read.at_end.then_some(version);
        let mut events = Vec::with_capacity(read.told.len() * 3 + 1);
        for told in read.told {
            stream.tell(told, &mut events);
        }
        if read.at_end && stream.chunk_is_behind() {
            events.push(stream.idle_event());
        }
        if events.is_empty() {
            return self.next_piece(bytes_max).map(Option::unwrap_or_default);
        }
        Ok(events)
    }

    pub(super) fn confirm(&mut self, up_to: u64) -> Result<(), OriginError> {
        self.stream()?.cleaner.confirm(up_to);
        self.clean_if_due()
    }

    pub(super) fn request_chunk(&mut self, request: &ChunkRequest) -> Result<(), OriginError> {
        self.follow_shapes()?;
        let (options, connection, stream) = self.parts()?;
        let path = &options.path;
        let explain = |cause: rusqlite::Error| from_sqlite(path, &cause);
        let schema = stream
            .shapes
            .tables
            .iter()
            .find(|schema| schema.table == request.table)
            .ok_or_else(|| {
                error(
                    OriginErrorKind::Refused,
                    NOT_CAPTURABLE,
                    path,
                    format_args!("table {} is not captured", request.table),
                )
            })?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(explain)?;
        let placed = chunk::place(&transaction, path, schema, request).map_err(explain)?;
        transaction.commit().map_err(explain)?;
        stream.chunk = Some(placed);
        // A connection does not see its own commits in the data version.
        stream.data_version = None;
        Ok(())
    }

    pub(super) fn park_events(&mut self, rows: &[RefusedRow]) -> Result<(), OriginError> {
        let parked = outbox::park(&mut self.connection, rows);
        self.written_back(parked)
    }

    pub(super) fn purge_events(&mut self, rows: &[OutboxRow]) -> Result<(), OriginError> {
        let purged = outbox::purge(&mut self.connection, rows);
        self.written_back(purged)
    }

    fn written_back(&mut self, done: rusqlite::Result<()>) -> Result<(), OriginError> {
        done.map_err(|cause| from_sqlite(&self.options.path, &cause))?;
        // A connection does not see its own commits in the data version.
        self.stream()?.data_version = None;
        Ok(())
    }

    /// The next piece of a whole table, if one is being told.
    fn next_piece(&mut self, bytes_max: usize) -> Result<Option<Vec<OriginEvent>>, OriginError> {
        let (options, connection, stream) = self.parts()?;
        let explain = |cause: rusqlite::Error| from_sqlite(&options.path, &cause);
        let Some(placed) = &mut stream.chunk else {
            return Ok(None);
        };
        let Rows::Whole(whole) = &mut placed.rows else {
            return Ok(None);
        };
        if !whole.begun {
            return Ok(None);
        }
        let (rows, more) = whole
            .piece(connection, &placed.schema, bytes_max)
            .map_err(explain)?;
        let mut events = vec![OriginEvent::Chunk {
            id: placed.id,
            schema: Arc::clone(&placed.schema),
            rows,
            next_after: more.then(Vec::new),
        }];
        if !more && let Some(placed) = stream.chunk.take() {
            events.push(OriginEvent::Commit { end: placed.seq });
            if let Rows::Whole(whole) = placed.rows {
                whole.finish(connection).map_err(explain)?;
            }
        }
        Ok(Some(events))
    }

    /// Puts triggers and shapes right if the origin's schema changed.
    fn follow_shapes(&mut self) -> Result<(), OriginError> {
        let (options, connection, stream) = self.parts()?;
        let explain = |cause: rusqlite::Error| from_sqlite(&options.path, &cause);
        if schema_version(connection).map_err(explain)? == stream.schema_version {
            return Ok(());
        }
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(explain)?;
        let shapes = install::ensure(&transaction, options, Some(&stream.shapes))?;
        let cells = install::cells(&transaction).map_err(explain)?;
        let version = schema_version(&transaction).map_err(explain)?;
        transaction.commit().map_err(explain)?;
        stream.shapes = shapes;
        stream.cells = cells;
        stream.schema_version = version;
        stream.data_version = None;
        Ok(())
    }

    fn clean_if_due(&mut self) -> Result<(), OriginError> {
        let (options, connection, stream) = self.parts()?;
        if !stream.cleaner.is_due() {
            return Ok(());
        }
        match stream.cleaner.clean(connection) {
            Ok(()) => {
                stream.hold.write(&Note {
                    identity: stream.identity.clone(),
                    confirmed: stream.cleaner.confirmed(),
                });
                Ok(())
            }
            Err(cause) => {
                let error = from_sqlite(&options.path, &cause);
                if error.kind != OriginErrorKind::Unreachable {
                    return Err(error);
                }
                // The origin's own work goes first: later.
                tracing::debug!("capture: cleaning waits: {error}");
                Ok(())
            }
        }
    }

    fn idle(&mut self) -> Vec<OriginEvent> {
        let Some(stream) = &mut self.open else {
            return Vec::new();
        };
        let said = stream.idle_said;
        if said.is_some_and(|said| said.elapsed() < LOOK_AFTER) {
            return Vec::new();
        }
        vec![stream.idle_event()]
    }

    /// The file under the name is still the one that was opened.
    fn check_file(&self) -> Result<(), OriginError> {
        let path = &self.options.path;
        if file_id(path)? == self.file {
            return Ok(());
        }
        Err(error(
            OriginErrorKind::Lost,
            REPLACED,
            path,
            "the file was replaced by another while it was captured: if that was meant, capture it anew with a snapshot",
        ))
    }

    fn stream(&mut self) -> Result<&mut Stream, OriginError> {
        self.parts().map(|(_, _, stream)| stream)
    }

    /// What an open session works with, each for itself.
    fn parts(
        &mut self,
    ) -> Result<(&SqliteOriginOptions, &mut Connection, &mut Stream), OriginError> {
        if self.open.is_none() {
            return Err(self.not_open());
        }
        let stream = self.open.as_mut().expect("just seen to be open");
        Ok((&self.options, &mut self.connection, stream))
    }

    fn not_open(&self) -> OriginError {
        error(
            OriginErrorKind::Unreachable,
            UNREADABLE,
            &self.options.path,
            "the capture session is not open: open it first",
        )
    }
}

impl Stream {
    fn tell(&mut self, told: Told, events: &mut Vec<OriginEvent>) {
        match told {
            Told::Event { seq, at_us, event } => {
                self.told = seq;
                events.push(begin(seq, at_us));
                events.push(event);
                events.push(OriginEvent::Commit { end: seq });
            }
            Told::Chunk { seq, at_us, id } => {
                self.told = seq;
                events.push(begin(seq, at_us));
                match self
                    .chunk
                    .take_if(|placed| placed.seq == seq && placed.id == id)
                {
                    Some(Placed {
                        rows: Rows::Read { rows, next_after },
                        schema,
                        ..
                    }) => events.push(OriginEvent::Chunk {
                        id,
                        schema,
                        rows,
                        next_after,
                    }),
                    Some(mut placed) => {
                        if let Rows::Whole(whole) = &mut placed.rows {
                            whole.begun = true;
                        }
                        // Its pieces and its commit follow.
                        self.chunk = Some(placed);
                        return;
                    }
                    // Asked for by an earlier session.
                    None => events.push(OriginEvent::Message),
                }
                events.push(OriginEvent::Commit { end: seq });
            }
        }
    }

    /// Whether no chunk is being told piece by piece.
    fn chunk_is_behind(&self) -> bool {
        !self
            .chunk
            .as_ref()
            .is_some_and(|placed| matches!(&placed.rows, Rows::Whole(whole) if whole.begun))
    }

    fn idle_event(&mut self) -> OriginEvent {
        self.idle_said = Some(Instant::now());
        OriginEvent::Idle { up_to: self.told }
    }
}

fn begin(seq: u64, at_us: i64) -> OriginEvent {
    OriginEvent::Begin {
        commit: seq,
        tx: seq,
        committed_at_us: at_us,
    }
}

fn check_identity(options: &SqliteOriginOptions, identity: &str) -> Result<(), OriginError> {
    match &options.expected_identity {
        Some(expected) if expected != identity => Err(error(
            OriginErrorKind::Lost,
            REPLACED,
            &options.path,
            "it is another database than the one captured before: if that was meant, capture it anew with a snapshot",
        )),
        _ => Ok(()),
    }
}

/// An older copy of the file would give the places of old changes to new ones.
fn check_age(
    path: &Path,
    note: Option<Note>,
    identity: &str,
    written: u64,
) -> Result<(), OriginError> {
    match note {
        Some(note) if note.identity == identity && note.confirmed > written => Err(error(
            OriginErrorKind::Lost,
            REPLACED,
            path,
            format_args!(
                "it is an older copy: it holds changes up to {written}, and was captured up to {}: capture it anew with a snapshot",
                note.confirmed
            ),
        )),
        _ => Ok(()),
    }
}

fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA schema_version")?
        .query_row([], |row| row.get(0))
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}

fn file_id(path: &Path) -> Result<(u64, u64), OriginError> {
    let about = std::fs::metadata(path).map_err(|cause| {
        error(
            OriginErrorKind::Unreachable,
            UNREADABLE,
            path,
            format_args!("the file is not there: {cause}"),
        )
    })?;
    Ok((about.dev(), about.ino()))
}
