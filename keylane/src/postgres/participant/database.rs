//! Connections, attempts, and what is answered when nothing came of them.

use std::sync::Mutex;
use std::time::Duration;

use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Outcome, REASON_CHARACTERS_MAX};
use rand::Rng as _;
use tokio::sync::Semaphore;
use tokio_postgres::Client;

use super::barrier::{Trouble, attempt};
use crate::participant::PostgresHandler;
use crate::participant::barrier::Telling;
use crate::postgres::connect::{ConnectError, ConnectOptions, connect};

/// Commands that are carried out at once, unless asked for otherwise.
const CONNECTIONS: usize = 16;
/// How often a command is tried anew because another transaction was in the way.
const CONFLICTS_MAX: u32 = 10;
/// The longest that a statement waits for a lock: then the command is answered that nothing came of it.
const LOCK_WAIT: Duration = Duration::from_secs(20);

/// The database of a participant.
pub(super) struct Database {
    url: String,
    idle: Mutex<Vec<Client>>,
    room: Semaphore,
}

impl Database {
    pub(super) fn new(url: String) -> Self {
        Database {
            url,
            idle: Mutex::default(),
            room: Semaphore::new(CONNECTIONS),
        }
    }

    /// With at most so many connections.
    pub(super) fn with_room(mut self, connections: usize) -> Self {
        self.room = Semaphore::new(connections.max(1));
        self
    }

    /// Makes a table.
    pub(super) async fn make(&self, sql: &str) -> Result<(), String> {
        let client = self.connect().await.map_err(|error| error.message)?;
        let made = client.batch_execute(sql).await;
        made.map_err(|error| format!("the participant's table cannot be made: {error}"))
    }

    /// Carries a command out, in a transaction of its own; several where others were in the way.
    pub(super) async fn carry(
        &self,
        command: &CommandMessage,
        handler: Option<&PostgresHandler>,
        telling: Option<&Telling<'_>>,
    ) -> Outcome {
        let Ok(_room) = self.room.acquire().await else {
            return unclear("the participant has ended");
        };
        let mut conflicts = 0;
        loop {
            let client = match self.client().await {
                Ok(client) => client,
                Err(error) => return unclear(&error.message),
            };
            match attempt(&client, command, handler, telling).await {
                Ok(outcome) => {
                    if let Ok(mut idle) = self.idle.lock() {
                        idle.push(client);
                    }
                    return outcome;
                }
                // The connection goes, and with it what is open there.
                Err(Trouble::Conflict(_)) if conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                    let pause_ms = rand::rng().random_range(1..=10 * u64::from(conflicts));
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                Err(Trouble::Conflict(why) | Trouble::Failed(why)) => return unclear(&why),
            }
        }
    }

    async fn connect(&self) -> Result<Client, ConnectError> {
        let options = ConnectOptions {
            lock_timeout: Some(LOCK_WAIT),
            ..ConnectOptions::default()
        };
        connect(&self.url, "keylane participant", &options).await
    }

    async fn client(&self) -> Result<Client, ConnectError> {
        let idle = || self.idle.lock().ok().and_then(|mut idle| idle.pop());
        while let Some(client) = idle() {
            if !client.is_closed() {
                return Ok(client);
            }
        }
        self.connect().await
    }
}

fn unclear(why: &str) -> Outcome {
    Outcome::Unclear(why.chars().take(REASON_CHARACTERS_MAX).collect())
}
