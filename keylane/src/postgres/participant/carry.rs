//! Connections, attempts, and what is answered when nothing came of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Outcome, REASON_CHARACTERS_MAX};
use rand::Rng as _;
use tokio::sync::Semaphore;
use tokio_postgres::Client;

use super::barrier::{Trouble, attempt};
use crate::participant::{CarryOut, PostgresSteps};
use crate::postgres::connect::{ConnectError, ConnectOptions, connect};

/// Commands that are carried out at once, unless asked for otherwise.
const CONNECTIONS: usize = 16;
/// How often a command is tried anew because another transaction was in the way.
const CONFLICTS_MAX: u32 = 10;
/// The longest that a statement waits for a lock: then the command is answered that nothing came of it.
const LOCK_WAIT: Duration = Duration::from_secs(20);

const TABLE: &str = include_str!("../../participant/postgres.sql");

/// A participant whose steps write to a PostgreSQL database, which holds the barrier too.
pub struct PostgresParticipant {
    url: String,
    source: String,
    steps: PostgresSteps,
    idle: Arc<Mutex<Vec<Client>>>,
    room: Semaphore,
}

impl PostgresParticipant {
    /// A participant in the database of `url` that answers as `source`. Connects when it is first asked; with at most 16 connections.
    pub fn new(url: impl Into<String>, source: impl Into<String>, steps: PostgresSteps) -> Self {
        PostgresParticipant {
            url: url.into(),
            source: source.into(),
            steps,
            idle: Arc::default(),
            room: Semaphore::new(CONNECTIONS),
        }
    }

    /// With at most so many connections, and so many commands at once.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.room = Semaphore::new(connections.max(1));
        self
    }

    /// Makes the barrier's table if it is not there.
    ///
    /// # Errors
    /// In words, if the database does not answer or does not allow it.
    pub async fn create_table(&self) -> Result<(), String> {
        let client = self.connect().await.map_err(|error| error.message)?;
        let made = client.batch_execute(TABLE).await;
        made.map_err(|error| format!("the table keylane_barrier cannot be made: {error}"))
    }

    /// The statement that makes the barrier's table, for those who make their tables otherwise.
    pub fn table_sql() -> &'static str {
        TABLE
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

#[async_trait]
impl CarryOut for PostgresParticipant {
    async fn carry_out(&self, command: &CommandMessage) -> Outcome {
        let handler = match self.steps.handler(command) {
            Ok(handler) => handler,
            Err(unknown) => return unknown,
        };
        let Ok(_room) = self.room.acquire().await else {
            return Outcome::Unclear("the participant has ended".to_owned());
        };
        let mut conflicts = 0;
        loop {
            let client = match self.client().await {
                Ok(client) => client,
                Err(error) => return unclear(&error.message),
            };
            match attempt(&client, command, handler.as_ref()).await {
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
                Err(Trouble::Conflict(why)) => return unclear(&why),
                Err(Trouble::Database(error)) => return unclear(&error.to_string()),
            }
        }
    }

    fn source(&self) -> &str {
        &self.source
    }
}

fn unclear(why: &str) -> Outcome {
    Outcome::Unclear(why.chars().take(REASON_CHARACTERS_MAX).collect())
}
