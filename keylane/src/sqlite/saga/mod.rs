//! SQLite as the place where sagas are kept: a file of Keylane's own, which several processes of one machine may use at once.
//!
//! - `file`: the file and its tables.
//! - `store`: the thread that has the connection, and the port that it is used by.
//! - `lease`: whose shards are, and that a former owner writes nothing.
//! - `read`: from rows to sagas.
//! - `commit`: a batch of decisions in one transaction.
//! - `track`: what was heard of those that nobody drives.
//! - `desk`: lists, figures and what is forgotten.

mod file;

mod store;
pub use store::SqliteSagas;

mod lease;

mod read;

mod commit;

mod track;

mod desk;
