//! A SQLite file of Keylane's own: its owner's alone, and shared by several processes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use fs4::fs_std::FileExt as _;
use rusqlite::ErrorCode;

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
