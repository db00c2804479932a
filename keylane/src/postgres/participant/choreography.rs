//! A service of choreographed sagas: its steps' transactions hold the barrier, the effect and the event that tells of it.

use async_trait::async_trait;
use keylane_core::saga::Outcome;

use super::database::Database;
use crate::outbox::Outbox;
use crate::participant::barrier::Telling;
use crate::participant::choreography::unclear;
use crate::participant::{Hear, PostgresHandler, Reaction, SagaEvent};

/// A service whose steps are set going, and undone, by events.
pub struct PostgresChoreography {
    database: Database,
    source: String,
    outbox: Outbox,
    reactions: Vec<Reaction<PostgresHandler>>,
}

impl PostgresChoreography {
    /// A service in the database of `url` that tells its events as `source`. Connects when it first hears something.
    pub fn new(
        url: impl Into<String>,
        source: impl Into<String>,
        reactions: Vec<Reaction<PostgresHandler>>,
    ) -> Self {
        PostgresChoreography {
            database: Database::new(url.into()),
            source: source.into(),
            outbox: Outbox::default(),
            reactions,
        }
    }

    /// Makes the tables of the barrier and of the outbox if they are not there.
    ///
    /// # Errors
    /// In words, if the database does not answer or does not allow it.
    pub async fn create_tables(&self) -> Result<(), String> {
        self.database.make(super::carry::TABLE).await?;
        self.database.make(&self.outbox.postgres_sql()).await
    }
}

#[async_trait]
impl Hear for PostgresChoreography {
    async fn hear(&self, event: &SagaEvent) -> Result<(), String> {
        for own in &self.reactions {
            let Some(asked) = own.asked(event) else {
                continue;
            };
            let tell =
                |outcome: &Outcome| own.event(event, asked.command.op, outcome, &self.source);
            let telling = Telling {
                outbox: &self.outbox,
                tell: &tell,
            };
            let carried = self
                .database
                .carry(&asked.command, asked.handler, Some(&telling));
            if let Outcome::Unclear(why) = carried.await {
                return Err(unclear(&asked.command, &why));
            }
        }
        Ok(())
    }
}
