//! Why a message cannot be read.

use super::attributes::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX};
use super::body::BODY_BYTES_MAX;

/// Why a message cannot be read. Each names what is at fault, and holds no more of it than fits a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// An attribute is missing that must be there.
    #[error("attribute {0} is missing")]
    Missing(&'static str),
    /// An attribute is there twice.
    #[error("attribute {0} is there twice")]
    Twice(String),
    /// An attribute's value is not UTF-8, or holds control characters.
    #[error("attribute {0} is no text")]
    NoText(String),
    /// An attribute's value is too long.
    #[error("attribute {0} has more than {ATTRIBUTE_BYTES_MAX} bytes")]
    Long(String),
    /// There are too many attributes.
    #[error("there are more than {ATTRIBUTES_MAX} attributes")]
    Many,
    /// An attribute's value means nothing.
    #[error("attribute {name} is {value:?}, and should be {expected}")]
    Meaningless {
        /// The attribute.
        name: &'static str,
        /// What it says, shortened.
        value: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The body is too large.
    #[error("the body has {0} bytes, more than {BODY_BYTES_MAX}")]
    Large(usize),
    /// The body is no JSON.
    #[error("the body is no JSON: {0}")]
    Body(String),
}

impl WireError {
    /// Of a value that means nothing.
    pub(super) fn meaningless(name: &'static str, value: &str, expected: &'static str) -> Self {
        const SHOWN_MAX: usize = 80;
        WireError::Meaningless {
            name,
            value: value.chars().take(SHOWN_MAX).collect(),
            expected,
        }
    }
}
