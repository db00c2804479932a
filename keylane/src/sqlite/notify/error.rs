//! SQLite's errors in the outbox's words. None holds a message's content.

use std::path::Path;

use keylane_core::notify::OutboxError;
use rusqlite::ErrorCode;

use crate::own_thread::ThreadGone;

/// What went wrong inside a transaction, which is rolled back.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// What the file holds is not of this version.
    Unreadable(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sqlite(error)
    }
}

impl Fault {
    pub(super) fn explain(&self, path: &Path) -> OutboxError {
        let path = path.display();
        let error = match self {
            Fault::Unreadable(what) => {
                return OutboxError(format!(
                    "the outbox {path} holds what this version does not know: {what}"
                ));
            }
            Fault::Sqlite(error) => error,
        };
        let words = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "no room left on the device",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another process held it for too long"
            }
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                "is damaged: move it away; what it held is not told"
            }
            Some(ErrorCode::CannotOpen) => {
                "cannot be opened: the folder must exist and be writable"
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "may not be written",
            _ => "failed",
        };
        OutboxError(format!("the outbox {path}: {words} ({error})"))
    }
}

impl From<ThreadGone> for Fault {
    fn from(gone: ThreadGone) -> Self {
        Fault::Unreadable(gone.to_string())
    }
}
