//! TLS as a user meets it: what the configuration asks for is what the wire does, and what does not fit is refused soon, in words that say what.

mod broker;

mod login;

#[cfg(feature = "kafka-ssl")]
mod kafka;

#[cfg(not(feature = "kafka-ssl"))]
mod not_built;

mod postgres;
