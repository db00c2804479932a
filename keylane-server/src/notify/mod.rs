//! Notify, wired: who is told by the configuration, what `run` looks at, and what is shown of the outbox.
//!
//! - `terms`: the configuration in the words of the mechanism.
//! - `looks`: status files and views → figures that rules judge.
//! - `notifier`: the handle by which a worker tells what it found.
//! - `watching`: the part of `keylane run` that looks, makes the digest and sends.
//! - `channel_view`: how the channels do, for status and metrics.

mod terms;
pub use terms::{rules_of, terms};

mod looks;

mod notifier;
pub use notifier::Notifier;

mod watching;
pub use watching::Watching;

mod channel_view;
pub use channel_view::{ChannelView, channel_views, table};
