//! Sagas against real systems.
//!
//! - `orchestrator`: what drives them.
//! - `tracker`: what follows those that nobody drives.
//! - `to_topics`: messages into topics.
//! - `harness`: three tests for any saga.
//! - `form`, `track_form`: rows, commands and what was heard as stores keep them.

pub(crate) mod form;
pub(crate) use form::{TIMELINE_FIRST, TIMELINE_LAST, Unreadable};

pub(crate) mod track_form;

mod to_topics;

pub mod harness;

pub mod orchestrator;

pub mod tracker;
