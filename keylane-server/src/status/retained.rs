//! What the origin keeps for a pipeline that has not captured it yet.

use std::path::Path;
use std::time::Duration;

use keylane::postgres::connect::{ConnectOptions, connect};
use rusqlite::{Connection, OpenFlags};

use crate::config::Origin;

/// What the origin keeps; unknown is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Bytes of a PostgreSQL origin's log.
    pub bytes: Option<u64>,
    /// Bytes that may come before a PostgreSQL origin gives the slot up; unknown if it never does.
    pub room_bytes: Option<u64>,
    /// Rows of a SQLite origin's change table.
    pub changes: Option<u64>,
}

/// Asks the origin; within `answer_max`.
///
/// # Errors
/// Says why the origin could not be asked.
pub async fn retained(origin: &Origin, answer_max: Duration) -> Result<Retained, String> {
    match origin {
        Origin::Sqlite { path } => {
            let path = path.clone();
            let rows = tokio::task::spawn_blocking(move || waiting_rows(&path));
            let changes = rows
                .await
                .map_err(|error| error.to_string())?
                .map_err(|error| format!("the origin cannot be asked: {error}"))?;
            Ok(Retained {
                changes,
                ..Retained::default()
            })
        }
        Origin::Postgres(origin) => {
            let asked = slot_bytes(origin.url.expose(), &origin.slot, answer_max);
            match tokio::time::timeout(answer_max, asked).await {
                Ok(kept) => kept,
                Err(_) => {
                    let seconds = answer_max.as_secs_f32();
                    Err(format!("the origin did not answer within {seconds} s"))
                }
            }
        }
    }
}

/// Nothing is known if there is no such slot.
async fn slot_bytes(url: &str, slot: &str, answer_max: Duration) -> Result<Retained, String> {
    let options = ConnectOptions::within(answer_max);
    let client = connect(url, "keylane status", &options)
        .await
        .map_err(|error| format!("the origin cannot be asked: {error}"))?;
    let row = client
        .query_opt(
            "SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn)::bigint,
                    greatest(safe_wal_size, 0)
             FROM pg_replication_slots WHERE slot_name = $1",
            &[&slot],
        )
        .await
        .map_err(|error| format!("the origin cannot be asked: {error}"))?;
    let number = |column| {
        let number: Option<i64> = row.as_ref()?.try_get(column).ok().flatten();
        number.and_then(|number| u64::try_from(number).ok())
    };
    Ok(Retained {
        bytes: number(0),
        room_bytes: number(1),
        changes: None,
    })
}

/// `None` if it was never captured.
fn waiting_rows(path: &Path) -> rusqlite::Result<Option<u64>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    if !connection.table_exists(None, "keylane_change")? {
        return Ok(None);
    }
    let count = "SELECT coalesce(max(seq) - min(seq) + 1, 0) FROM keylane_change";
    let rows: i64 = connection.query_row(count, [], |row| row.get(0))?;
    Ok(u64::try_from(rows).ok())
}
