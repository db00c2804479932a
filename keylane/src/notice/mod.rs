//! A message as JSON: what a webhook's receiver is sent and what the outbox's file holds. Formats that users rely on: fields are added, never changed.

mod time;
pub(crate) use time::{rfc3339, seconds};

mod detail;
pub(crate) use detail::DetailForm;

mod day;
pub(crate) use day::DayForm;

mod message;
pub(crate) use message::{MessageForm, subject_of};

#[cfg(test)]
mod tests;
