//! Keylane as a library: the systems it speaks to, and the workers that drive the mechanism of `keylane-core` against them.
//!
//! One folder per outside system; an adapter never imports another.

pub mod envelope;

pub mod embedded;
pub mod kafka;

mod log_settings;
pub use log_settings::LogSettings;

pub mod postgres;
pub mod sqlite;

pub mod slack;
pub mod webhook;

mod notice;
mod post;

mod http_client;
pub use http_client::{http_client, http_error_words};

pub mod workers;

pub mod consumer;

pub mod outbox;
pub use outbox::{Outbox, OutboxEvent};

pub mod participant;

pub mod saga;

pub mod preflight;

mod own_file;
mod own_thread;

mod twins;
