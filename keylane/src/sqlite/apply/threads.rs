//! How many threads a person asked for.

use keylane_core::apply::AskedThreads;
use rusqlite::{Connection, OptionalExtension as _, params};

pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS keylane_pipelines (
  pipeline TEXT PRIMARY KEY,
  threads TEXT NOT NULL,
  configured_threads TEXT NOT NULL
) WITHOUT ROWID;
";

/// What was asked for, if anything was. A replica of an earlier version has no such table.
pub(super) fn asked(
    connection: &Connection,
    pipeline: &str,
) -> rusqlite::Result<Option<AskedThreads>> {
    let there = connection
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'keylane_pipelines'")?
        .exists([])?;
    if !there {
        return Ok(None);
    }
    let row: Option<(String, String)> = connection
        .prepare_cached(
            "SELECT threads, configured_threads FROM keylane_pipelines WHERE pipeline = ?1",
        )?
        .query_row([pipeline], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(row.and_then(|(threads, configured)| AskedThreads::read(&threads, &configured)))
}

/// Stores what is asked for.
pub(super) fn ask(
    connection: &Connection,
    pipeline: &str,
    asked: AskedThreads,
) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.execute(
        "INSERT INTO keylane_pipelines (pipeline, threads, configured_threads) VALUES (?1, ?2, ?3)
         ON CONFLICT (pipeline) DO UPDATE SET threads = excluded.threads, configured_threads = excluded.configured_threads",
        params![pipeline, asked.threads.to_string(), asked.configured.to_string()],
    )?;
    Ok(())
}
