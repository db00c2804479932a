//! From PostgreSQL's SQLSTATE to what is done about it, and to words that hold no row values.
//!
//! Left out of every message: DETAIL (it quotes rows), and the primary message of those classes that quote the value itself (`22`: data exceptions, `P0`:
//! raised by a user's function).

use std::sync::atomic::{AtomicBool, Ordering};

use keylane_core::apply::ApplyError;
use keylane_core::error::ApplyErrorKind;
use tokio_postgres::Error;

use crate::postgres::connect::{ConnectError, ConnectErrorKind, is_connection_lost};

use ApplyErrorKind::{
    Conflict, Constraint, Denied, Misfit, MissingObject, NoRoom, Other, Unreachable,
};

/// SQLSTATE or its beginning; the longest that fits counts.
const KINDS: &[(&str, ApplyErrorKind)] = &[
    ("08", Unreachable),
    ("21", Constraint), // one statement would write one row twice: two spellings of a key
    ("22", Misfit),
    ("23", Constraint),
    ("23502", Misfit),
    ("23514", Misfit),
    ("25006", NoRoom), // read-only
    ("25P03", Unreachable),
    ("27", Misfit),
    ("28", Denied),
    ("38", Misfit),
    ("39", Misfit),
    ("3D", MissingObject),
    ("3F", MissingObject),
    ("40", Conflict),
    ("42501", Denied),
    ("42703", MissingObject),
    ("42704", MissingObject),
    ("42804", Misfit),
    ("42846", Misfit),
    ("42883", MissingObject),
    ("428C9", Misfit),
    ("42P01", MissingObject),
    ("42P10", MissingObject), // no unique constraint for the row key
    ("44", Misfit),
    ("53", NoRoom),
    ("53300", Unreachable), // too many connections
    ("54", Misfit),
    ("55006", Conflict),
    ("55P03", Conflict),
    ("57014", Conflict), // cancelled, statement time-out
    ("57P", Unreachable),
    ("58", NoRoom),
    ("P0", Misfit),
];

/// Classes whose primary message never quotes a row's values.
const QUOTABLE: &[&str] = &[
    "08", "0A", "21", "23", "25", "26", "28", "3D", "3F", "40", "42", "53", "54", "55", "57", "58",
];

/// What a SQLSTATE asks for.
pub(super) fn kind_of(code: &str) -> ApplyErrorKind {
    KINDS
        .iter()
        .filter(|(prefix, _)| code.starts_with(prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .map_or(Other, |(_, kind)| *kind)
}

/// An error of the driver or the server, while `doing` (in the present participle, with the table's name).
pub(super) fn apply_error(error: &Error, doing: &str) -> ApplyError {
    let Some(said) = error.as_db_error() else {
        let kind = if is_connection_lost(error) {
            Unreachable
        } else {
            Other
        };
        return ApplyError::new(kind, format!("{doing}: {error}"));
    };
    let code = said.code().code();
    let mut words = format!("{doing}: PostgreSQL says {code}");
    if QUOTABLE.iter().any(|class| code.starts_with(class)) {
        words.push_str(&format!(", {}", said.message()));
    } else if code.starts_with("22") {
        words.push_str(", a value does not fit its column");
    } else if code.starts_with("P0") {
        words.push_str(", raised by a function or trigger of the replica");
    }
    if let (Some(schema), Some(table)) = (said.schema(), said.table()) {
        words.push_str(&format!(" (table {schema}.{table})"));
    }
    for (name, value) in [
        ("column", said.column()),
        ("type", said.datatype()),
        ("constraint", said.constraint()),
    ] {
        if let Some(value) = value {
            words.push_str(&format!(" ({name} {value})"));
        }
    }
    ApplyError::new(kind_of(code), words)
}

/// Whether a URL has led to its database before. Then it is no wrong URL if it leads nowhere: the database is being restored or renamed, and is waited for.
#[derive(Debug, Default)]
pub(super) struct Reached(AtomicBool);

impl Reached {
    /// What came of connecting.
    pub(super) fn heard<T>(&self, outcome: Result<T, ConnectError>) -> Result<T, ApplyError> {
        let known = self.0.fetch_or(outcome.is_ok(), Ordering::Relaxed);
        outcome.map_err(|mut error| {
            if known && error.kind == ConnectErrorKind::BadUrl {
                error.kind = ConnectErrorKind::Unreachable;
            }
            from_connect(&error)
        })
    }
}

/// Why there is no connection.
pub(super) fn from_connect(error: &ConnectError) -> ApplyError {
    let kind = match error.kind {
        ConnectErrorKind::Unreachable => Unreachable,
        ConnectErrorKind::Denied => Denied,
        ConnectErrorKind::BadUrl => Other,
    };
    ApplyError::new(kind, error.message.clone())
}

/// Whether an error may come from what was remembered of the replica's catalog or of prepared statements, so that one more try with fresh knowledge is
/// worth it.
pub(super) fn may_be_stale(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        matches!(
            code.code(),
            // 0A000: a cached plan's result would change.
            "0A000" | "26000" | "42703" | "42704" | "42804" | "42883" | "428C9" | "42P01" | "42P10"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_was_there_is_waited_for_and_a_wrong_name_is_not() {
        let missing = || {
            Err::<(), _>(ConnectError {
                kind: ConnectErrorKind::BadUrl,
                message: "there is no such database".to_owned(),
            })
        };
        let reached = Reached::default();
        let kind = |outcome| reached.heard(outcome).map_err(|error| error.kind);
        assert_eq!(kind(missing()), Err(Other));
        assert_eq!(kind(Ok(())), Ok(()));
        assert_eq!(kind(missing()), Err(Unreachable));
        let denied = ConnectError {
            kind: ConnectErrorKind::Denied,
            message: "the password is another one now".to_owned(),
        };
        assert_eq!(kind(Err(denied)), Err(Denied));
    }

    #[test]
    fn each_sqlstate_has_its_remedy() {
        for (code, expect) in [
            ("23505", Constraint),
            ("23503", Constraint),
            ("23P01", Constraint),
            ("23502", Misfit),
            ("23514", Misfit),
            ("22001", Misfit),
            ("40001", Conflict),
            ("40P01", Conflict),
            ("55P03", Conflict),
            ("42P01", MissingObject),
            ("42703", MissingObject),
            ("42704", MissingObject),
            ("42501", Denied),
            ("28P01", Denied),
            ("57P01", Unreachable),
            ("08006", Unreachable),
            ("53100", NoRoom),
            ("53200", NoRoom),
            ("53300", Unreachable),
            ("25006", NoRoom),
            ("42601", Other),
            ("XX000", Other),
        ] {
            assert_eq!(kind_of(code), expect, "{code}");
        }
    }
}
