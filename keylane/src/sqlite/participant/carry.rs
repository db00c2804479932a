//! Commands of orchestrated sagas, carried out.

use std::path::Path;

use async_trait::async_trait;
use keylane_core::saga::Outcome;
use keylane_core::saga::wire::CommandMessage;

use super::barrier;
use super::file::{File, bounded};
use crate::participant::{CarryOut, SqliteSteps};

/// The barrier's table.
pub(super) const TABLE: &str = include_str!("../../participant/sqlite.sql");

/// A participant whose steps write to a SQLite file, which holds the barrier too. Commands go one after another; other processes may write the file too.
pub struct SqliteParticipant {
    source: String,
    steps: SqliteSteps,
    file: File,
}

impl SqliteParticipant {
    /// A participant in this file that answers as `source`. The barrier's table is made if it is not there.
    ///
    /// # Errors
    /// In words, if the file cannot be opened or written.
    pub async fn open(
        path: impl AsRef<Path>,
        source: impl Into<String>,
        steps: SqliteSteps,
    ) -> Result<Self, String> {
        Ok(SqliteParticipant {
            source: source.into(),
            steps,
            file: File::open(path.as_ref(), TABLE.to_owned()).await?,
        })
    }

    /// The statement that makes the barrier's table, for those who make their tables otherwise.
    pub fn table_sql() -> &'static str {
        TABLE
    }
}

#[async_trait]
impl CarryOut for SqliteParticipant {
    async fn carry_out(&self, command: &CommandMessage) -> Outcome {
        let handler = match self.steps.handler(command) {
            Ok(handler) => handler,
            Err(unknown) => return unknown,
        };
        let command = command.clone();
        let carry = move |file: &_| barrier::carry_out(file, &command, handler.as_ref(), None);
        let outcome = self.file.call(carry).await;
        bounded(outcome.unwrap_or_else(Outcome::Unclear))
    }

    fn source(&self) -> &str {
        &self.source
    }
}
