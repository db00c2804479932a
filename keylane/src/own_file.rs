//! A SQLite file of Keylane's own: its owner's alone, and shared by several processes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use fs4::fs_std::FileExt as _;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// How long a connection waits for another's transaction.
pub(crate) const BUSY_WAIT: Duration = Duration::from_secs(10);

/// A new file, and what SQLite puts beside it, is its owner's alone: it holds rows, or keys of rows. Whatever keeps it from being made, opening it tells.
pub(crate) fn close_to_others(path: &Path) {
    let _ = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
}

/// Again while another process holds the file: changing the journal mode does not wait by itself.
pub(crate) fn retried<T>(mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < BUSY_WAIT =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// What tells a file of Keylane's own from any other, and what a new one holds.
pub(crate) struct OwnFormat {
    pub(crate) application_id: i64,
    pub(crate) version: i64,
    /// SQL that makes a new one's tables.
    pub(crate) tables: &'static str,
    /// KiB that each connection keeps in memory.
    pub(crate) cache_kib: u32,
}

/// A file that is not to be used.
pub(crate) enum NotOurs {
    /// It is of another version.
    Version(i64),
    /// It is another program's.
    Other,
}

/// Opens a file of this format, durable and shared by several processes; makes one where there is none.
pub(crate) fn opened(
    path: &Path,
    format: &OwnFormat,
) -> rusqlite::Result<Result<Connection, NotOurs>> {
    close_to_others(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    retried(|| connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())))?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=4194304; PRAGMA cache_size=-{};",
        format.cache_kib
    ))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |pragma| transaction.query_row(pragma, [], |row| row.get::<_, i64>(0));
    let (id, version) = (
        number("PRAGMA application_id")?,
        number("PRAGMA user_version")?,
    );
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (id == format.application_id, version) {
        (true, version) if version == format.version => {}
        (true, version) => return Ok(Err(NotOurs::Version(version))),
        (false, 0) if id == 0 && tables == 0 => {
            transaction.execute_batch(format.tables)?;
            transaction.pragma_update(None, "application_id", format.application_id)?;
            transaction.pragma_update(None, "user_version", format.version)?;
        }
        (false, _) => return Ok(Err(NotOurs::Other)),
    }
    transaction.commit()?;
    Ok(Ok(connection))
}

/// A lock on a file, which dies with the process; `None` while another process, or another holder in this one, has it. Its folder is made.
pub(crate) fn locked(path: &Path) -> io::Result<Option<File>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let is_ours = file.try_lock_exclusive()?;
    Ok(is_ours.then_some(file))
}
