//! The file and its thread.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Outcome, REASON_CHARACTERS_MAX};
use rusqlite::Connection;

use super::barrier;
use crate::own_thread::{OwnThread, ThreadGone};
use crate::participant::{CarryOut, SqliteSteps};

/// How long a command waits for another writer of the file.
const BUSY_WAIT: Duration = Duration::from_secs(20);

const TABLE: &str = include_str!("../../participant/sqlite.sql");

/// A participant whose steps write to a SQLite file, which holds the barrier too. Commands go one after another; other processes may write the file too.
pub struct SqliteParticipant {
    source: String,
    steps: SqliteSteps,
    file: OwnThread<Connection>,
}

/// Why the file cannot be used, in words.
struct NotOpened(String);

impl From<ThreadGone> for NotOpened {
    fn from(gone: ThreadGone) -> Self {
        NotOpened(gone.to_string())
    }
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
        let path: PathBuf = path.as_ref().to_owned();
        let made = OwnThread::start("participant", move || {
            opened(&path)
                .map_err(|error| NotOpened(format!("{} cannot be used: {error}", path.display())))
        });
        let file = made.await.map_err(|NotOpened(why)| why)?;
        Ok(SqliteParticipant {
            source: source.into(),
            steps,
            file,
        })
    }

    /// The statement that makes the barrier's table, for those who make their tables otherwise.
    pub fn table_sql() -> &'static str {
        TABLE
    }
}

fn opened(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch(TABLE)?;
    Ok(connection)
}

#[async_trait]
impl CarryOut for SqliteParticipant {
    async fn carry_out(&self, command: &CommandMessage) -> Outcome {
        let handler = match self.steps.handler(command) {
            Ok(handler) => handler,
            Err(unknown) => return unknown,
        };
        let command = command.clone();
        let carry =
            move |file: &mut Connection| barrier::carry_out(file, &command, handler.as_ref());
        match self.file.call(carry).await {
            Ok(Outcome::Unclear(why)) => {
                Outcome::Unclear(why.chars().take(REASON_CHARACTERS_MAX).collect())
            }
            Ok(outcome) => outcome,
            Err(gone) => Outcome::Unclear(gone.to_string()),
        }
    }

    fn source(&self) -> &str {
        &self.source
    }
}
