//! What a task comes to: it holds, it does not, or it could not be found out.

use std::error::Error;

/// A task that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Holds,
    Fails,
}

impl From<bool> for Outcome {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

/// A task that could not run; its text is shown as it is.
pub(crate) type TaskResult = Result<Outcome, Box<dyn Error>>;
