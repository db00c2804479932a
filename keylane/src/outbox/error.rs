//! Why an event was not put into an outbox.

use keylane_core::outbox::Refusal;

/// Why an event was not put into an outbox. The caller's transaction is to be rolled back, or goes on without the event.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// It could not be published, so it is not taken.
    #[error("{0}")]
    Refused(Refusal),
    /// PostgreSQL did not take it.
    #[error("the outbox did not take the event: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    /// SQLite did not take it.
    #[error("the outbox did not take the event: {0}")]
    Sqlite(#[from] rusqlite::Error),
}
