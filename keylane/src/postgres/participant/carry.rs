//! Commands of orchestrated sagas, carried out.

use async_trait::async_trait;
use keylane_core::saga::Outcome;
use keylane_core::saga::wire::CommandMessage;

use super::database::Database;
use crate::participant::{CarryOut, PostgresSteps};

/// The barrier's table.
pub(super) const TABLE: &str = include_str!("../../participant/postgres.sql");

/// A participant whose steps write to a PostgreSQL database, which holds the barrier too.
pub struct PostgresParticipant {
    database: Database,
    source: String,
    steps: PostgresSteps,
}

impl PostgresParticipant {
    /// A participant in the database of `url` that answers as `source`. Connects when it is first asked; with at most 16 connections.
    pub fn new(url: impl Into<String>, source: impl Into<String>, steps: PostgresSteps) -> Self {
        PostgresParticipant {
            database: Database::new(url.into()),
            source: source.into(),
            steps,
        }
    }

    /// With at most so many connections, and so many commands at once.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.database = self.database.with_room(connections);
        self
    }

    /// Makes the barrier's table if it is not there.
    ///
    /// # Errors
    /// In words, if the database does not answer or does not allow it.
    pub async fn create_table(&self) -> Result<(), String> {
        self.database.make(TABLE).await
    }

    /// The statement that makes the barrier's table, for those who make their tables otherwise.
    pub fn table_sql() -> &'static str {
        TABLE
    }
}

#[async_trait]
impl CarryOut for PostgresParticipant {
    async fn carry_out(&self, command: &CommandMessage) -> Outcome {
        match self.steps.handler(command) {
            Ok(handler) => self.database.carry(command, handler.as_ref(), None).await,
            Err(unknown) => unknown,
        }
    }

    fn source(&self) -> &str {
        &self.source
    }
}
