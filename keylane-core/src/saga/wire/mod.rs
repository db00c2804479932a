//! The messages between orchestrator and participants as they travel: CloudEvents 1.0 in binary mode, with the same attributes on Kafka (`ce_` headers) and on HTTP (`ce-` headers).
//!
//! A [`CommandMessage`] and an [`AnswerMessage`] are made into [`Attributes`] and a JSON body and read back from them; who carries them adds only where they go. Over HTTP the answer is
//! the response: [`answer_of`] reads it, [`status_of`] says which one to give. What cannot be read is a [`WireError`] that names the attribute; nothing is guessed.

mod error;
pub use error::WireError;

mod instant;
pub use instant::{read as read_instant, written as written_instant};

mod attributes;
pub use attributes::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX, Attributes, JSON};

mod body;
pub use body::BODY_BYTES_MAX;

mod command;
pub use command::CommandMessage;

mod answer;
pub use answer::AnswerMessage;

mod response;
pub use response::{answer_of, status_of};

#[cfg(test)]
mod tests;
