//! PostgreSQL as the place where a consumer group keeps how far it is, in the same transactions as what its handlers write.
//!
//! - `tables`: the group's own table.
//! - `store`: taking partitions over, how far they are, and what became of a transaction whose answer was lost.
//! - `pool`: connections.
//! - `open`: one transaction: lanes' steps first, the handler's statements, the commit.

mod tables;

mod store;
pub use store::PostgresProgress;
pub(crate) use store::{Begun, Low, Stood};

mod pool;

mod open;
pub(crate) use open::{LaneMove, NotCommitted, Open, Opening};
