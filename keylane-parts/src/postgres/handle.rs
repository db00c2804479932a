//! A PostgreSQL as its users see it: the caller's own, or one started for this process and shared by its tests.

use super::address::Address;
use super::binaries::PostgresVersion;
use super::server::Postgres;
use crate::error::Result;
use std::sync::Mutex;

/// A running PostgreSQL that several tests may use at once, each with its own database.
#[derive(Debug)]
pub struct PostgresHandle {
    address: Address,
    // Ours when the environment named none.
    _own: Option<Postgres>,
}

impl PostgresHandle {
    /// The server named by `variable` (such as `KEYLANE_TEST_POSTGRES_ORIGIN`, a URL of a superuser; its database is not used), else a fresh PostgreSQL,
    /// of the version in `KEYLANE_TEST_POSTGRES_SHARED` or 15, that ends with this value.
    ///
    /// # Errors
    /// As [`Postgres::start`], or when the variable holds no URL.
    pub fn from_env_or_start(variable: &str) -> Result<Self> {
        if let Ok(url) = std::env::var(variable) {
            return Ok(Self {
                address: url.parse()?,
                _own: None,
            });
        }
        let version = match std::env::var("KEYLANE_TEST_POSTGRES_SHARED") {
            Ok(named) => named.parse()?,
            Err(_) => PostgresVersion::V15,
        };
        let own = Postgres::start(version)?;
        Ok(Self {
            address: own.url("").parse()?,
            _own: Some(own),
        })
    }

    /// A server that the caller keeps, and may kill.
    ///
    /// # Errors
    /// When its URL cannot be read.
    pub fn of(server: &Postgres) -> Result<Self> {
        Ok(Self {
            address: server.url("").parse()?,
            _own: None,
        })
    }

    /// One origin for all tests of this process, `KEYLANE_TEST_POSTGRES_ORIGIN` or started by whoever asks first.
    ///
    /// # Errors
    /// As [`Postgres::start`]; the next caller tries again.
    pub fn shared_origin() -> Result<&'static Self> {
        static SHARED: Mutex<Option<&'static PostgresHandle>> = Mutex::new(None);
        shared(&SHARED, "KEYLANE_TEST_POSTGRES_ORIGIN")
    }

    /// One replica for all tests of this process, `KEYLANE_TEST_POSTGRES_REPLICA` or started by whoever asks first.
    ///
    /// # Errors
    /// As [`Postgres::start`]; the next caller tries again.
    pub fn shared_replica() -> Result<&'static Self> {
        static SHARED: Mutex<Option<&'static PostgresHandle>> = Mutex::new(None);
        shared(&SHARED, "KEYLANE_TEST_POSTGRES_REPLICA")
    }

    /// The URL of `database`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.address.database(database).url()
    }

    /// Runs `sql` through psql, as [`Postgres::psql`] does.
    ///
    /// # Errors
    /// With what psql said.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        self.address.database(database).ask(sql)
    }

    /// Makes the database `name` anew: empty, whatever was there.
    ///
    /// # Errors
    /// With what psql said.
    pub fn fresh_database(&self, name: &str) -> Result<()> {
        let quoted = name.replace('"', "\"\"");
        self.psql(
            "postgres",
            &format!("drop database if exists \"{quoted}\" with (force)"),
        )?;
        self.psql("postgres", &format!("create database \"{quoted}\""))?;
        Ok(())
    }
}

fn shared(
    slot: &Mutex<Option<&'static PostgresHandle>>,
    variable: &str,
) -> Result<&'static PostgresHandle> {
    let mut shared = slot
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(handle) = *shared {
        return Ok(handle);
    }
    // Never dropped: the guard ends it with the process.
    let handle: &'static PostgresHandle =
        Box::leak(Box::new(PostgresHandle::from_env_or_start(variable)?));
    *shared = Some(handle);
    Ok(handle)
}
