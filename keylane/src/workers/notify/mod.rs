//! Sending what the outbox holds: one task for each channel, so that one which hangs holds up no other.

mod deliver;
pub use deliver::{Channels, deliver};
