//! Messages written into the origin's log on purpose: heartbeats, settle markers, and the marks at which a chunk belongs into the stream.

use std::sync::Arc;
use std::time::Duration;

use keylane_core::capture::OriginError;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::error::{code, from_sql, refused};
use super::session::parse_lsn;

/// The prefix of all our messages.
pub(super) const PREFIX: &str = "keylane";

/// Writes a settle marker and returns a place with two properties: every transaction whose commit was acknowledged before the call has a commit place below
/// it, and the marker's own commit place is at or above it. So whoever waits until the replica has passed a commit at or above the returned place knows that
/// everything committed before the call has arrived, and does not wait for ever on an idle origin.
///
/// Why it holds: the function returns the end of the message's record. A commit that was acknowledged earlier begins before that record; the marker's own
/// commit record is written after it.
///
/// # Errors
/// When the origin cannot be reached or does not allow it.
pub async fn emit_settle_marker(client: &Client) -> Result<u64, OriginError> {
    emit(client, "settle").await
}

/// Writes a message that the stream delivers in a transaction of its own. Returns the end of the message's record.
pub(super) async fn emit(client: &Client, content: &str) -> Result<u64, OriginError> {
    let doing = "writing a message into its log";
    let row = client
        .query_one(
            "SELECT pg_logical_emit_message(true, $1::text, $2::text)::text",
            &[&PREFIX, &content],
        )
        .await
        .map_err(|error| from_sql(doing, &error))?;
    let place: String = row.try_get(0).map_err(|error| from_sql(doing, &error))?;
    parse_lsn(&place).ok_or_else(|| {
        refused(
            code::MALFORMED,
            "the origin answered a message with something that is no place in its log",
        )
    })
}

/// Writes a message outside of any transaction now and then, so that the slot of an idle database moves on. Ends with the returned guard.
pub(super) fn beat(client: Arc<Client>, every: Duration) -> Option<Heartbeat> {
    if every.is_zero() {
        return None;
    }
    let task = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let sent = client
                .execute(
                    "SELECT pg_logical_emit_message(false, $1::text, 'heartbeat')",
                    &[&PREFIX],
                )
                .await;
            if let Err(error) = sent {
                tracing::warn!(code = code::UNREACHABLE, %error, "a heartbeat could not be written to the origin");
                if client.is_closed() {
                    // The stream notices by itself and is opened anew, with a heartbeat of its own.
                    return;
                }
            }
        }
    });
    Some(Heartbeat { task })
}

/// A running heartbeat.
pub(super) struct Heartbeat {
    task: JoinHandle<()>,
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}
