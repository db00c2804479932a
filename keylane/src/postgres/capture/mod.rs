//! PostgreSQL as origin: logical replication through pgoutput, with a publication and a slot of our own.
//!
//! What the parts promise, in reading order. *Order*: protocol version 1 sends a transaction after its commit, row by row, so events come in commit order.
//! *Memory*: a transaction larger than memory is spilled by the server (`logical_decoding_work_mem`) and streamed through here; what this side holds is bounded
//! by a fixed number of messages of at most `message_bytes_max` each. *Durability*: the slot moves only when the caller confirms.

mod config;
pub use config::PostgresOriginConfig;

mod error;

mod session;

mod catalog;
mod catalog_query;

mod fitness;

mod requirement;
pub use requirement::preflight;

mod pgoutput;
pub(super) mod text;

mod relation;

mod publication;
mod slot;
pub use slot::{SlotStanding, slot_standing};

mod visibility;

mod chunk;
mod chunk_read;

mod marker;
pub use marker::emit_settle_marker;

mod stream;

mod outbox;
pub use outbox::outbox_preflight;

mod tunnel;

mod origin;
pub use origin::PostgresOrigin;

#[cfg(test)]
mod pgoutput_tests;
