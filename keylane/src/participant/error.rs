//! How a step says that it did not come about.

use std::any::Any;

/// How a step says that it did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepError {
    /// Business says no. Of an action that is not retriable this is for ever: the saga goes back.
    Rejected(String),
    /// Something failed, and nobody knows whether it could be done: nothing is kept, it is tried again.
    Failed(String),
    /// Another transaction was in the way: it is tried again at once.
    Conflict(String),
}

impl StepError {
    /// Business says no, and why.
    pub fn rejected(why: impl Into<String>) -> Self {
        StepError::Rejected(why.into())
    }

    /// Something failed, and what.
    pub fn failed(what: impl Into<String>) -> Self {
        StepError::Failed(what.into())
    }
}

impl<E: std::error::Error + 'static> From<E> for StepError {
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        let words = error.to_string();
        match any.downcast_ref::<tokio_postgres::Error>() {
            Some(postgres) if is_conflict(postgres) => StepError::Conflict(words),
            _ => StepError::Failed(words),
        }
    }
}

/// Whether the server gave this transaction up for another's sake: the same again may succeed.
pub(crate) fn is_conflict(error: &tokio_postgres::Error) -> bool {
    let state = error.code().map(|state| state.code());
    matches!(state, Some("40001" | "40P01"))
}
