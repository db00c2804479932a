//! Slack: a channel's incoming webhook, messages in Block Kit.
//!
//! Slack's limits are kept with room to spare (`limits`), whatever a message holds: what does not fit is cut and counted, never refused.

mod limits;

mod text;

mod blocks;
pub use blocks::payload;

mod channel;
pub use channel::SlackChannel;
