//! Semantic locks: what a saga has touched and not decided yet is kept from other sagas.
//!
//! Sagas see each other's unfinished work: one may take the last seat that another is about to give back. Where that must not be, a step takes a lock on what it touches, in its own transaction, and the step of the same saga that settles it
//! (its undo, or a later one that cannot fail) releases it in its. This is the countermeasure of that name in Garcia-Molina and Salem's sagas as Frank and Zahle describe them ("Semantic ACID properties in multidatabases", 1998).
//!
//! The lock is a row, not a lock of the database: it outlives the transaction, and readers see it ([`SemanticLock::holder_postgres`]).

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio_postgres::Client;

use super::error::StepError;
use super::step::Call;

const POSTGRES: &str = "CREATE TABLE IF NOT EXISTS keylane_lock (
  resource text PRIMARY KEY,
  saga     text NOT NULL,
  step     text NOT NULL,
  at       timestamptz NOT NULL DEFAULT now()
);";
const SQLITE: &str = "CREATE TABLE IF NOT EXISTS keylane_lock (
  resource TEXT PRIMARY KEY,
  saga     TEXT NOT NULL,
  step     TEXT NOT NULL,
  at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) WITHOUT ROWID;";
const TAKE: &str =
    "INSERT INTO keylane_lock (resource, saga, step) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const HOLDER: &str = "SELECT saga FROM keylane_lock WHERE resource = $1";
const RELEASE: &str = "DELETE FROM keylane_lock WHERE resource = $1 AND saga = $2";

/// A lock on something that sagas touch, by a name of the service's choosing: `order 4711`.
///
/// *Held* from the commit of the step that took it until the commit of the one that releases it, by a saga, not by a step: the saga's other steps have it too. *Never* is it given up by itself: a saga that is stuck keeps it, and
/// `keylane saga show` tells which step waits. *Deadlock*: sagas that [wait](SemanticLock::of) for each other's locks wait until one of their steps is given up (`timeout`, `retry.attempts_max`) and its saga goes back; take several in one order,
/// or [say no](SemanticLock::or_say_no).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SemanticLock {
    resource: String,
    says_no: bool,
}

impl SemanticLock {
    /// While another saga has it, the command comes to nothing and is asked again later.
    pub fn of(resource: impl Into<String>) -> Self {
        SemanticLock {
            resource: resource.into(),
            says_no: false,
        }
    }

    /// While another saga has it, the step says no, and its own saga goes back.
    #[must_use]
    pub fn or_say_no(mut self) -> Self {
        self.says_no = true;
        self
    }

    /// The statement that makes the table in PostgreSQL.
    pub fn postgres_sql() -> &'static str {
        POSTGRES
    }

    /// The statement that makes the table in SQLite.
    pub fn sqlite_sql() -> &'static str {
        SQLITE
    }

    /// Takes it for the call's saga, in the step's transaction; a saga that has it already has it.
    ///
    /// # Errors
    /// To be passed on: another saga has it, or the database did not answer.
    pub async fn take_postgres(&self, tx: &Client, call: &Call) -> Result<(), StepError> {
        // Waits for the end of who takes or releases it right now.
        if tx
            .execute(TAKE, &[&self.resource, &call.saga, &call.step])
            .await?
            == 1
        {
            return Ok(());
        }
        let holder = Self::holder_postgres(tx, &self.resource).await?;
        self.held(call, holder)
    }

    /// Releases it in the transaction of the step that settles what it kept; nothing if the call's saga does not have it.
    ///
    /// # Errors
    /// If the database did not answer.
    pub async fn release_postgres(&self, tx: &Client, call: &Call) -> Result<(), StepError> {
        tx.execute(RELEASE, &[&self.resource, &call.saga]).await?;
        Ok(())
    }

    /// The saga that has something, for who reads it outside of sagas.
    ///
    /// # Errors
    /// If the database did not answer.
    pub async fn holder_postgres(
        tx: &Client,
        resource: &str,
    ) -> Result<Option<String>, tokio_postgres::Error> {
        let row = tx.query_opt(HOLDER, &[&resource]).await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    /// As [`SemanticLock::take_postgres`].
    ///
    /// # Errors
    /// As there.
    pub fn take_sqlite(&self, tx: &Connection, call: &Call) -> Result<(), StepError> {
        let taken = tx.execute(TAKE, params![self.resource, call.saga, call.step])?;
        match taken {
            1 => Ok(()),
            _ => self.held(call, Self::holder_sqlite(tx, &self.resource)?),
        }
    }

    /// As [`SemanticLock::release_postgres`].
    ///
    /// # Errors
    /// As there.
    pub fn release_sqlite(&self, tx: &Connection, call: &Call) -> Result<(), StepError> {
        tx.execute(RELEASE, [&self.resource, &call.saga])?;
        Ok(())
    }

    /// As [`SemanticLock::holder_postgres`].
    ///
    /// # Errors
    /// As there.
    pub fn holder_sqlite(tx: &Connection, resource: &str) -> rusqlite::Result<Option<String>> {
        tx.query_row(HOLDER, [resource], |row| row.get(0))
            .optional()
    }

    /// What it means that somebody has it.
    fn held(&self, call: &Call, holder: Option<String>) -> Result<(), StepError> {
        let resource = &self.resource;
        match holder {
            Some(holder) if holder == call.saga => Ok(()),
            Some(holder) if self.says_no => Err(StepError::Rejected(format!(
                "{resource} is in the hands of saga {holder}"
            ))),
            Some(holder) => Err(StepError::Failed(format!(
                "{resource} is in the hands of saga {holder}, and waited for"
            ))),
            // Released in between.
            None => Err(StepError::Conflict(format!("{resource} was just released"))),
        }
    }
}
