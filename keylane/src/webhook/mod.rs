//! A webhook of your own: each message as a CloudEvent, signed.

mod event;
pub use event::event;

mod signature;
pub use signature::{SIGNATURE_HEADER, signature};

mod channel;
pub use channel::{WebhookChannel, WebhookOptions};
