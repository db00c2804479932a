//! The notifier's outbox and channels.

use std::sync::Arc;

use keylane::slack::SlackChannel;
use keylane::sqlite::notify::{SqliteOutbox, Turn};
use keylane::webhook::{WebhookChannel, WebhookOptions};
use keylane::workers::notify::Channels;
use keylane_core::notify::{Channel, Outbox, OutboxError};

use crate::config::{Config, NotifyChannel};
use crate::exit_code::{Exit, Failure};

/// The outbox of a configuration; it is made if it is not there.
///
/// # Errors
/// KL-NOTIFY-003 if it cannot be used.
pub async fn outbox(config: &Config) -> Result<Arc<dyn Outbox>, OutboxError> {
    Ok(Arc::new(SqliteOutbox::open(&config.state_dir).await?))
}

/// The outbox if there is one already: a look makes none.
///
/// # Errors
/// KL-NOTIFY-003 if it cannot be used.
pub async fn outbox_if_there(config: &Config) -> Result<Option<Arc<dyn Outbox>>, OutboxError> {
    match SqliteOutbox::is_there(&config.state_dir) {
        true => outbox(config).await.map(Some),
        false => Ok(None),
    }
}

/// The turn to look and to send, among the processes of this machine; `None` while another has it.
///
/// # Errors
/// KL-NOTIFY-003 if the state folder cannot be written.
pub fn turn(config: &Config) -> Result<Option<Turn>, OutboxError> {
    Turn::take(&config.state_dir).map_err(|error| {
        let folder = config.state_dir.display();
        OutboxError(format!("the lock in {folder} cannot be taken: {error}"))
    })
}

/// The channels by name. Opens no connection.
///
/// # Errors
/// If an address cannot be used.
pub fn channels(config: &Config) -> Result<Channels, Failure> {
    let mut channels = Channels::new();
    for (name, channel) in &config.notify.channels {
        let made: Result<Arc<dyn Channel>, String> = match channel {
            NotifyChannel::Slack { url } => {
                let from = format!("{}, keylane {}", machine(), env!("CARGO_PKG_VERSION"));
                SlackChannel::new(url.expose(), from).map(|made| Arc::new(made) as _)
            }
            NotifyChannel::Webhook { url, secret } => {
                let options = WebhookOptions {
                    url: url.expose().to_owned(),
                    secret: secret.as_ref().map(|secret| secret.expose().to_owned()),
                    source: source(),
                };
                WebhookChannel::new(options).map(|made| Arc::new(made) as _)
            }
        };
        let made = made
            .map_err(|why| Failure::new(Exit::Usage, format!("notify.channels.{name}: {why}")))?;
        channels.insert(name.as_str().into(), made);
    }
    Ok(channels)
}

/// What a message of a channel would look like if it were sent: Slack's payload, and the event of a webhook.
pub fn rendered(entry: &keylane_core::notify::Entry) -> (serde_json::Value, serde_json::Value) {
    let from = format!("{}, keylane {}", machine(), env!("CARGO_PKG_VERSION"));
    let slack = keylane::slack::payload(entry, &from);
    (slack, keylane::webhook::event(entry, &source()))
}

fn source() -> String {
    format!("/keylane/{}", machine())
}

/// This machine's name.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}
