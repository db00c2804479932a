//! What ends a consumer, and what does not.

use keylane_core::apply::ApplyError;
use keylane_core::publish::LogError;

use crate::postgres::NotRaised;

/// What ends a consumer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The log.
    #[error("KL-CONSUME-002: {0}")]
    Log(LogError),
    /// The topic no longer holds what the group has not done.
    #[error("KL-CONSUME-003: {0}")]
    Gap(String),
    /// A record's last attempt failed, and nothing is said about what then.
    #[error("KL-CONSUME-004: {id} failed {attempts} times, the last time with: {error}")]
    Exhausted {
        /// Which record.
        id: String,
        /// How often it was tried.
        attempts: u32,
        /// The handler's own words.
        error: String,
    },
    /// The database that keeps the progress.
    #[error("KL-CONSUME-005: {0}")]
    Database(ApplyError),
    /// A topic, its number of partitions or the number of lanes is not what the database's progress was made with.
    #[error("KL-CONSUME-006: {0}")]
    Changed(String),
    /// Settings that contradict each other, or a handler that does what it must not.
    #[error("KL-CONSUME-007: {0}")]
    Misused(String),
}

impl ConsumerError {
    /// Whether trying again may help.
    pub(super) fn passes(&self) -> bool {
        match self {
            ConsumerError::Log(error) => error.kind.passes(),
            ConsumerError::Database(error) => error.passes(),
            ConsumerError::Gap(_)
            | ConsumerError::Exhausted { .. }
            | ConsumerError::Changed(_)
            | ConsumerError::Misused(_) => false,
        }
    }
}

impl From<ApplyError> for ConsumerError {
    fn from(error: ApplyError) -> Self {
        ConsumerError::Database(error)
    }
}

impl From<NotRaised> for ConsumerError {
    fn from(error: NotRaised) -> Self {
        match error {
            NotRaised::Changed(words) => ConsumerError::Changed(words),
            NotRaised::Database(error) => error.into(),
        }
    }
}

impl From<LogError> for ConsumerError {
    fn from(error: LogError) -> Self {
        ConsumerError::Log(error)
    }
}
