//! SQLite's errors in the words of the failure policy. No message holds a row's value.

use std::path::Path;

use keylane_core::apply::ApplyError;
use keylane_core::error::ApplyErrorKind;
use rusqlite::{Error, ErrorCode, ffi};

use crate::own_thread::ThreadGone;

/// An error at the replica; `table` if it was met while writing one.
pub(super) fn from_sqlite(path: &Path, table: Option<&str>, cause: &Error) -> ApplyError {
    let kind = kind_of(cause);
    let place = match table {
        Some(table) => format!("replica {}, table {table}", path.display()),
        None => format!("replica {}", path.display()),
    };
    ApplyError::new(kind, format!("{place}: {}", words_of(cause)))
}

fn kind_of(cause: &Error) -> ApplyErrorKind {
    let Some(code) = cause.sqlite_error() else {
        return ApplyErrorKind::Other;
    };
    match code.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID
        | ffi::SQLITE_CONSTRAINT_FOREIGNKEY => return ApplyErrorKind::Constraint,
        _ => {}
    }
    match code.code {
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => {
            ApplyErrorKind::Misfit
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationInterrupted => {
            ApplyErrorKind::Conflict
        }
        ErrorCode::DiskFull | ErrorCode::ReadOnly => ApplyErrorKind::NoRoom,
        ErrorCode::CannotOpen => ApplyErrorKind::Unreachable,
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            ApplyErrorKind::Denied
        }
        _ if names_a_missing_object(cause) => ApplyErrorKind::MissingObject,
        _ => ApplyErrorKind::Other,
    }
}

/// SQLite has no code for it: one for all that is wrong with a statement's text.
fn names_a_missing_object(cause: &Error) -> bool {
    let text = cause.to_string();
    [
        "no such table",
        "no such column",
        "has no column named",
        "ON CONFLICT clause does not match",
    ]
    .iter()
    .any(|words| text.contains(words))
}

fn words_of(cause: &Error) -> String {
    match cause.sqlite_error() {
        // A trigger's own words may hold anything, also values.
        Some(code) if code.extended_code == ffi::SQLITE_CONSTRAINT_TRIGGER => {
            "a trigger of the replica refused the row (1811)".to_owned()
        }
        Some(code) => match cause {
            // The statement's text, which rusqlite adds to some, is of no use to an operator.
            Error::SqlInputError { msg, .. } => format!("{msg} ({})", code.extended_code),
            _ => format!("{cause} ({})", code.extended_code),
        },
        None => "a stored value of Keylane's own tables cannot be read".to_owned(),
    }
}

impl From<ThreadGone> for ApplyError {
    fn from(gone: ThreadGone) -> Self {
        ApplyError::new(ApplyErrorKind::Unreachable, gone.to_string())
    }
}
