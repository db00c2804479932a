//! Errors of a PostgreSQL origin: stable codes, and what each asks for. No row values: a server's DETAIL and HINT are left out, because they may quote rows.

use keylane_core::capture::{OriginError, OriginErrorKind};
use pgwire_replication::PgWireError;

/// The stable codes of this adapter; each has a page in `docs/errors`.
pub(super) mod code {
    /// Not reachable, or the connection broke.
    pub const UNREACHABLE: &str = "KL-CAPTURE-101";
    /// The slot is held by another process.
    pub const SLOT_BUSY: &str = "KL-CAPTURE-102";
    /// The slot is gone or can no longer be read.
    pub const SLOT_LOST: &str = "KL-CAPTURE-103";
    /// The slot or the server is not the one that was read before.
    pub const SLOT_FOREIGN: &str = "KL-CAPTURE-104";
    /// A server setting is not as it must be.
    pub const SETTING: &str = "KL-CAPTURE-105";
    /// A right is missing, or the credentials are wrong.
    pub const RIGHTS: &str = "KL-CAPTURE-106";
    /// A table's replica identity does not tell what is needed.
    pub const REPLICA_IDENTITY: &str = "KL-CAPTURE-107";
    /// A table is missing or of a kind that cannot be captured.
    pub const TABLE: &str = "KL-CAPTURE-108";
    /// The publication leaves something out.
    pub const PUBLICATION: &str = "KL-CAPTURE-109";
    /// A table's shape changed in a way that must not be guessed.
    pub const SHAPE_CHANGED: &str = "KL-CAPTURE-110";
    /// The server sent something that is not the protocol.
    pub const MALFORMED: &str = "KL-CAPTURE-111";
    /// A row is larger than what is accepted.
    pub const TOO_LARGE: &str = "KL-CAPTURE-112";
    /// The configuration cannot be used.
    pub const CONFIGURATION: &str = "KL-CAPTURE-113";
    /// The slot cannot be created while long transactions run.
    pub const SLOT_WAITS: &str = "KL-CAPTURE-114";
}

/// An error that a person must mend.
pub(super) fn refused(code: &'static str, message: impl Into<String>) -> OriginError {
    of(OriginErrorKind::Refused, code, message)
}

/// The source is lost.
pub(super) fn lost(code: &'static str, message: impl Into<String>) -> OriginError {
    of(OriginErrorKind::Lost, code, message)
}

/// Another holds the source, or it cannot be had yet.
pub(super) fn busy(code: &'static str, message: impl Into<String>) -> OriginError {
    of(OriginErrorKind::Busy, code, message)
}

/// The origin cannot be reached now.
pub(super) fn unreachable(message: impl Into<String>) -> OriginError {
    of(OriginErrorKind::Unreachable, code::UNREACHABLE, message)
}

fn of(kind: OriginErrorKind, code: &'static str, message: impl Into<String>) -> OriginError {
    OriginError {
        kind,
        code,
        message: message.into(),
    }
}

/// What an SQL error asks for; `doing` completes "PostgreSQL failed while …".
pub(super) fn from_sql(doing: &str, error: &tokio_postgres::Error) -> OriginError {
    match error.as_db_error() {
        Some(server) => from_state(doing, server.code().code(), server.message()),
        None => unreachable(format!(
            "the connection to the origin failed while {doing}: {}",
            with_cause(error)
        )),
    }
}

/// What an error of the replication connection asks for.
pub(super) fn from_wire(doing: &str, error: &PgWireError) -> OriginError {
    match error {
        PgWireError::Server(text) => from_state(doing, state_of(text), &without_detail(text)),
        PgWireError::Auth(text) => refused(
            code::RIGHTS,
            format!("the origin refused the credentials while {doing}: {text}"),
        ),
        PgWireError::MessageTooLarge {
            payload_bytes,
            limit_bytes,
        } => refused(
            code::TOO_LARGE,
            format!(
                "a row of the origin takes {payload_bytes} bytes on the wire, more than the {limit_bytes} accepted: make it smaller at the origin, then start again with a new copy"
            ),
        ),
        PgWireError::Protocol(text) => refused(
            code::MALFORMED,
            format!(
                "the origin sent something that is not the replication protocol while {doing}: {text}"
            ),
        ),
        other => unreachable(format!(
            "the replication connection failed while {doing}: {other}"
        )),
    }
}

/// By SQLSTATE: what a server's complaint asks for.
fn from_state(doing: &str, state: &str, message: &str) -> OriginError {
    let said = format!("the origin said while {doing}: {message} (SQLSTATE {state})");
    match state {
        // object_in_use
        "55006" => busy(code::SLOT_BUSY, said),
        "28000" | "28P01" | "42501" => refused(
            code::RIGHTS,
            format!(
                "{said}; the role needs LOGIN, REPLICATION and SELECT on the captured tables (`keylane check` names what is missing)"
            ),
        ),
        "3D000" => refused(code::CONFIGURATION, said),
        // A slot that fell behind what the server keeps; undefined_object names a slot or publication that is gone.
        "55000" | "58P01" | "42704" => lost(
            code::SLOT_LOST,
            format!("{said}; {}", super::slot::WAYS_OUT),
        ),
        // Class 08 connection, 57 operator intervention (shutting down, starting up), 53 resources, 40 rollback: pass by themselves.
        _ if ["08", "57", "53", "40"]
            .iter()
            .any(|class| state.starts_with(class)) =>
        {
            unreachable(said)
        }
        _ => refused(code::SETTING, said),
    }
}

/// The SQLSTATE inside a text that ends in `(SQLSTATE xxxxx)` or holds it.
fn state_of(text: &str) -> &str {
    text.split("SQLSTATE ")
        .nth(1)
        .and_then(|rest| rest.get(..5))
        .unwrap_or_default()
}

fn without_detail(text: &str) -> String {
    let end = text.find("(SQLSTATE").unwrap_or(text.len());
    text.get(..end)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn with_cause(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, kind: OriginErrorKind, code: &str) {
        let error = from_wire("testing", &PgWireError::Server(text.to_owned()));
        assert_eq!((error.kind, error.code), (kind, code), "{text}");
    }

    #[test]
    fn the_servers_state_decides_what_an_error_asks_for() {
        check(
            "ERROR: replication slot \"k\" is active for PID 12 (SQLSTATE 55006)",
            OriginErrorKind::Busy,
            code::SLOT_BUSY,
        );
        check(
            "FATAL: the database system is starting up (SQLSTATE 57P03)",
            OriginErrorKind::Unreachable,
            code::UNREACHABLE,
        );
        check(
            "ERROR: can no longer get changes from replication slot \"k\" (SQLSTATE 55000)",
            OriginErrorKind::Lost,
            code::SLOT_LOST,
        );
        check(
            "ERROR: permission denied for table t (SQLSTATE 42501)",
            OriginErrorKind::Refused,
            code::RIGHTS,
        );
    }
}
