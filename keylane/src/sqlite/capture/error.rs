//! Errors of the origin: which code, what it asks for, and what to do. No message holds a row's value.

use std::path::Path;

use keylane_core::capture::{OriginError, OriginErrorKind};
use rusqlite::ErrorCode;

use crate::own_thread::ThreadGone;

/// The file cannot be opened or read.
pub(super) const UNREADABLE: &str = "KL-CAPTURE-201";
/// Another capturer holds the file.
pub(super) const HELD: &str = "KL-CAPTURE-202";
/// The file is another one than before, or an older copy of it.
pub(super) const REPLACED: &str = "KL-CAPTURE-203";
/// Triggers are gone: changes were missed.
pub(super) const TRIGGERS_GONE: &str = "KL-CAPTURE-204";
/// The table cannot be captured.
pub(super) const NOT_CAPTURABLE: &str = "KL-CAPTURE-205";
/// The table's shape changed in a way that cannot be followed.
pub(super) const RESHAPED: &str = "KL-CAPTURE-206";

/// An error from its parts.
pub(super) fn error(
    kind: OriginErrorKind,
    code: &'static str,
    path: &Path,
    words: impl std::fmt::Display,
) -> OriginError {
    OriginError {
        kind,
        code,
        message: format!("origin {}: {words}", path.display()),
    }
}

/// An error of SQLite.
pub(super) fn from_sqlite(path: &Path, cause: &rusqlite::Error) -> OriginError {
    use OriginErrorKind::{Lost, Refused, Unreachable};
    let (kind, words) = match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (Unreachable, "another process holds the file for too long")
        }
        Some(ErrorCode::CannotOpen) => (Unreachable, "the file cannot be opened: is it there?"),
        Some(ErrorCode::DiskFull) => (Unreachable, "no room left on the device: make room"),
        Some(ErrorCode::NotADatabase) => (Refused, "the file is not a SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => (Lost, "the file is damaged: restore it"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            Refused,
            "the file may not be written, which capture needs for its triggers: give the right to write it and its folder",
        ),
        _ => (Unreachable, "SQLite failed"),
    };
    error(kind, UNREADABLE, path, format_args!("{words} ({cause})"))
}

impl From<ThreadGone> for OriginError {
    fn from(gone: ThreadGone) -> Self {
        OriginError {
            kind: OriginErrorKind::Unreachable,
            code: UNREADABLE,
            message: gone.to_string(),
        }
    }
}
