//! PostgreSQL as the place where sagas are kept.
//!
//! - `tables`: the schema, its versions and the rights that it needs.
//! - `store`: connections, and the port that they are used by.
//! - `lease`: whose shards are, and that a former owner writes nothing.
//! - `read`: from rows to sagas.
//! - `commit`: a batch of decisions as one statement.
//! - `columns`: what is written, column by column.
//! - `outbox`: what is to be sent.
//! - `track`: what was heard of those that nobody drives.
//! - `desk`: lists, figures and what is forgotten.

mod tables;

mod store;
pub use store::PostgresSagas;

mod lease;

mod read;

mod columns;

mod commit;

mod outbox;

mod track;

mod desk;
