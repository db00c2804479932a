//! A receiver of webhooks that behaves as it is told: as Slack does, limits included, or as Slack does on a bad day.

mod slack_rules;
pub use slack_rules::slack_takes;

mod http;

mod server;
pub use server::{Behaviour, Received, Receiver};
