//! Origin → log. A session takes the origin, opens an epoch in every partition, reads the tails, and publishes what lies above them; any error whose effect is
//! unknown ends the session, and the next one opens anew.
//!
//! - `layout`: which tables share a topic.
//! - `settings`: what the worker is told.
//! - `session`: the opening, in the order that `keylane-sim` shows to be exact.
//! - `reader`: the origin in a task of its own.
//! - `younger`: whether a younger capturer has come before a record of this one.
//! - `stream`: events in, records out, acknowledgements back to the origin.
//! - `outbox`: rows that are events: their topics, and what becomes of the rows.
//! - `run`: sessions one after another, with pauses.

mod layout;
pub use layout::{Layout, Named};

mod settings;
pub use settings::{
    CaptureSettings, OriginHints, OutboxSettings, SessionSource, share_in_flight, topic_name,
};

mod session;

mod reader;

mod younger;

mod stream;

mod outbox;

mod run;
pub use run::{CaptureFailure, run};
