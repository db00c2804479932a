//! Why a row of an outbox is not published.

use std::fmt;

/// Why a row is not published, as it is written into the row. Holds no payload and no header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind.
    pub code: RefusalCode,
    /// What is wrong with the row and what to do, in words.
    pub message: String,
}

/// The kinds of rows that are not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// It names a topic that the configuration does not allow, or none.
    TopicNotAllowed,
    /// It names a topic that is not there.
    TopicMissing,
    /// It is larger than the topic or the configuration takes.
    TooLarge,
    /// Its headers or attributes cannot be written as such.
    BadHeaders,
}

impl RefusalCode {
    /// The stable code, with a page of its own in `docs/errors`.
    pub fn code(self) -> &'static str {
        match self {
            RefusalCode::TopicNotAllowed => "KL-OUTBOX-001",
            RefusalCode::TopicMissing => "KL-OUTBOX-002",
            RefusalCode::TooLarge => "KL-OUTBOX-003",
            RefusalCode::BadHeaders => "KL-OUTBOX-004",
        }
    }
}

impl Refusal {
    /// A refusal of a kind.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Refusal {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.code(), self.message)
    }
}
