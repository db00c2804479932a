//! Events that callers hand over with a key of their own: kept in an outbox in a SQLite file, each once however often its caller asks.
//!
//! The caller's key, its event's fingerprint and the answer are written in the transaction that writes the row of the outbox. So an event is taken once, whoever dies when; and
//! that it is published once is the outbox's own promise.
//!
//! - `store`: the file, and what one transaction does.
//! - `writer`: many callers, one transaction.

mod store;
pub use store::{AcceptError, AcceptLimits, Accepted, Offer};

mod writer;
pub use writer::Acceptor;
