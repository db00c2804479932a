//! PostgreSQL 14 to 18, set up for logical replication.

mod address;
mod binaries;
mod handle;
mod options;
mod server;

pub use binaries::PostgresVersion;
pub use handle::PostgresHandle;
pub use options::PostgresOptions;
pub use server::Postgres;

pub(crate) use address::Address;
