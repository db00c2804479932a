//! How many threads a person asked for.

use keylane_core::apply::{ApplyError, AskedThreads};
use tokio_postgres::Client;

use crate::postgres::error::apply_error;

/// What was asked for, if anything was.
pub(super) async fn asked(
    client: &Client,
    pipeline: &str,
) -> Result<Option<AskedThreads>, ApplyError> {
    let sql = "SELECT threads, configured_threads FROM keylane.pipelines WHERE pipeline = $1";
    let row = client
        .query_opt(sql, &[&pipeline])
        .await
        .map_err(|error| apply_error(&error, "reading keylane.pipelines"))?;
    Ok(row.and_then(|row| AskedThreads::read(row.get(0), row.get(1))))
}

/// Stores what is asked for.
pub(super) async fn ask(
    client: &Client,
    pipeline: &str,
    asked: AskedThreads,
) -> Result<(), ApplyError> {
    let sql = "INSERT INTO keylane.pipelines (pipeline, threads, configured_threads) VALUES ($1, $2, $3)
               ON CONFLICT (pipeline) DO UPDATE SET threads = excluded.threads, configured_threads = excluded.configured_threads";
    let (threads, configured) = (asked.threads.to_string(), asked.configured.to_string());
    client
        .execute(sql, &[&pipeline, &threads, &configured])
        .await
        .map(|_| ())
        .map_err(|error| apply_error(&error, "writing to keylane.pipelines"))
}
