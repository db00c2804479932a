//! A SQLite file of Keylane's own: its owner's alone, and shared by several processes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use fs4::fs_std::FileExt as _;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

/// How long a connection waits for another's transaction.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// A new file, and what SQLite puts beside it, is its owner's alone: it holds rows, or keys of rows. Whatever keeps it from being made, opening it tells.
fn close_to_others(path: &Path) {
    let _ = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
}

/// Again while another process holds the file: changing the journal mode does not wait by itself.
fn retried<T>(mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
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
    /// Settings of its pages, as SQL: they count only while the file is empty.
    pub(crate) pages: &'static str,
    /// KiB that each connection keeps in memory.
    pub(crate) cache_kib: u32,
    /// Bytes that the file of what was written last keeps once all of it is in its place.
    pub(crate) journal_bytes: u32,
}

/// A file that is not to be used.
pub(crate) enum NotOurs {
    /// It is of another version.
    Version(i64),
    /// It is another program's.
    Other,
}

/// Opens a file of this format, durable and shared by several processes; makes one where there is none. Of several that open a new file at the same time one
/// makes it and all have it; one that is there is opened without a wait for who writes it.
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
    // Where the file has something in it they count for nothing, and would wait for who writes it.
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        connection.execute_batch(format.pages)?;
    }
    retried(|| connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())))?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit={}; PRAGMA cache_size=-{};",
        format.journal_bytes, format.cache_kib
    ))?;
    let mut found = format.found(&connection.transaction()?)?;
    if matches!(found, Found::Empty) {
        // Another may have made it since: what counts is what is there while no other writes.
        let making = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        found = format.found(&making)?;
        if matches!(found, Found::Empty) {
            making.execute_batch(format.tables)?;
            making.pragma_update(None, "application_id", format.application_id)?;
            making.pragma_update(None, "user_version", format.version)?;
            found = Found::Ours;
        }
        making.commit()?;
    }
    Ok(match found {
        Found::Ours | Found::Empty => Ok(connection),
        Found::Not(not_ours) => Err(not_ours),
    })
}

/// What a file is, as one transaction sees it.
enum Found {
    Ours,
    /// Nothing was ever written to it.
    Empty,
    Not(NotOurs),
}

impl OwnFormat {
    fn found(&self, transaction: &Transaction<'_>) -> rusqlite::Result<Found> {
        let number = |sql| transaction.query_row(sql, [], |row| row.get::<_, i64>(0));
        let tables = number("SELECT count(*) FROM sqlite_schema")?;
        let id = number("PRAGMA application_id")?;
        let version = number("PRAGMA user_version")?;
        Ok(match (id, version, tables) {
            (id, version, _) if id == self.application_id => match version == self.version {
                true => Found::Ours,
                false => Found::Not(NotOurs::Version(version)),
            },
            (0, 0, 0) => Found::Empty,
            _ => Found::Not(NotOurs::Other),
        })
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    const FORMAT: OwnFormat = OwnFormat {
        application_id: 0x4b54_6573,
        version: 3,
        tables: "CREATE TABLE things (name TEXT) STRICT; CREATE TABLE more (name TEXT) STRICT;",
        pages: "PRAGMA page_size=8192; PRAGMA auto_vacuum=INCREMENTAL;",
        cache_kib: 64,
        journal_bytes: 4096,
    };

    #[test]
    fn many_that_open_a_new_file_at_once_all_have_it() {
        let folder = tempfile::tempdir().unwrap();
        let openers: u32 = 8;
        for round in 0..100 {
            let path = folder.path().join(format!("{round}.db"));
            let together = Barrier::new(openers as usize);
            let open = &|number: u32| {
                together.wait();
                // Some come while another is making it.
                std::thread::sleep(Duration::from_micros(u64::from(number * round * 5)));
                let connection = opened(&path, &FORMAT).unwrap().ok();
                connection.is_some_and(|c| c.execute("INSERT INTO more VALUES ('x')", []).is_ok())
            };
            std::thread::scope(|scope| {
                let all: Vec<_> = (0..openers)
                    .map(|number| scope.spawn(move || open(number)))
                    .collect();
                for one in all {
                    assert!(one.join().unwrap(), "round {round}");
                }
            });
        }
    }

    #[test]
    fn a_file_that_is_there_is_opened_while_another_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("written.db");
        let writer = opened(&path, &FORMAT).unwrap().ok().unwrap();
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        let begun = Instant::now();
        assert!(opened(&path, &FORMAT).unwrap().is_ok());
        assert!(begun.elapsed() < BUSY_WAIT, "it waited for the writer");
    }

    #[test]
    fn what_is_another_program_s_or_of_another_version_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("others.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(opened(&path, &FORMAT), Ok(Err(NotOurs::Other))));
        let later = "PRAGMA application_id=1263822195; PRAGMA user_version=4";
        other.execute_batch(later).unwrap();
        let is_later = matches!(opened(&path, &FORMAT), Ok(Err(NotOurs::Version(4))));
        assert!(is_later);
    }
}
