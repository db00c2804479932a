//! The file and its thread.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keylane_core::saga::{Outcome, REASON_CHARACTERS_MAX};
use rusqlite::Connection;

use crate::own_thread::{OwnThread, ThreadGone};

/// How long a command waits for another writer of the file.
const BUSY_WAIT: Duration = Duration::from_secs(20);

/// A service's file. What is done in it goes one after another; other processes may write it too.
pub(super) struct File {
    thread: OwnThread<Connection>,
}

/// Why the file cannot be used, in words.
struct NotOpened(String);

impl From<ThreadGone> for NotOpened {
    fn from(gone: ThreadGone) -> Self {
        NotOpened(gone.to_string())
    }
}

impl File {
    /// Opens it and makes the tables that are not there.
    pub(super) async fn open(path: &Path, tables: String) -> Result<Self, String> {
        let path: PathBuf = path.to_owned();
        let made = OwnThread::start("participant", move || {
            opened(&path, &tables)
                .map_err(|error| NotOpened(format!("{} cannot be used: {error}", path.display())))
        });
        let thread = made.await.map_err(|NotOpened(why)| why)?;
        Ok(File { thread })
    }

    /// Does something in it.
    pub(super) async fn call<R: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> R + Send + 'static,
    ) -> Result<R, String> {
        let done = self.thread.call(move |file| job(file)).await;
        done.map_err(|gone| gone.to_string())
    }
}

/// An outcome whose reason is not longer than one may be.
pub(super) fn bounded(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Unclear(why) => {
            Outcome::Unclear(why.chars().take(REASON_CHARACTERS_MAX).collect())
        }
        outcome => outcome,
    }
}

fn opened(path: &Path, tables: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch(tables)?;
    Ok(connection)
}
