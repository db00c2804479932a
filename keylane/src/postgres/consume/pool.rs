//! Connections: one for each transaction that is open, kept for the next.

use std::sync::Mutex;
use std::time::Duration;

use keylane_core::apply::ApplyError;
use tokio_postgres::Client;

use super::store::PostgresProgress;
use crate::postgres::connect::{ConnectOptions, connect};
use crate::postgres::error::{Reached, apply_error};

/// Once in every session. Returns a row if the lane stood where it was believed to stand.
const PREPARE: &str = "
PREPARE keylane_step (text, text, int, int, bigint, bigint, bigint) AS
UPDATE keylane.consumer_progress SET next_offset = $7, done_at = now()
WHERE consumer_group = $1 AND topic = $2 AND partition = $3 AND lane = $4 AND owner_epoch = $5 AND next_offset = $6";

/// Connections that nobody uses at the moment. How many there are is bounded by how many transactions are open at a time.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<Client>>,
    reached: Reached,
}

impl Pool {
    /// One that is idle, or a new one.
    pub(super) async fn take(&self, settings: &PostgresProgress) -> Result<Client, ApplyError> {
        loop {
            let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
            match idle {
                Some(client) if client.is_closed() => {}
                Some(client) => return Ok(client),
                None => break,
            }
        }
        let client = self.open(settings, Some(settings.lock_timeout)).await?;
        client
            .batch_execute(PREPARE)
            .await
            .map_err(|error| apply_error(&error, "preparing keylane.consumer_progress"))?;
        Ok(client)
    }

    /// A new one that nobody has.
    pub(super) async fn open(
        &self,
        settings: &PostgresProgress,
        lock_timeout: Option<Duration>,
    ) -> Result<Client, ApplyError> {
        let options = ConnectOptions {
            connect_timeout: settings.connect_timeout,
            statement_timeout: None,
            lock_timeout,
            idle_in_transaction_timeout: Some(settings.idle_timeout),
            settings: Vec::new(),
        };
        let client = connect(&settings.url, &settings.application_name, &options).await;
        self.reached.heard(client)
    }

    /// Gives one back in which no transaction is open.
    pub(super) fn give(&self, client: Client) {
        if let Ok(mut idle) = self.idle.lock()
            && !client.is_closed()
        {
            idle.push(client);
        }
    }
}
