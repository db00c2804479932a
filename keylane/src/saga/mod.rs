//! Sagas against real systems.
//!
//! - `orchestrator`: what drives them.
//! - `form`: rows and commands as stores keep them.

pub(crate) mod form;
pub(crate) use form::{TIMELINE_FIRST, TIMELINE_LAST, Unreadable};

pub mod orchestrator;
