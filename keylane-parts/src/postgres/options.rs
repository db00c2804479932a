//! How a PostgreSQL is started: version, settings, password.

use super::binaries::PostgresVersion;
use crate::authority::Certificate;
use std::collections::BTreeMap;

/// How to start a [`Postgres`](crate::Postgres).
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    pub(crate) version: PostgresVersion,
    pub(crate) password: Option<String>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) certificate: Option<Certificate>,
    /// Lines of `pg_hba.conf`.
    pub(crate) access: String,
}

impl PostgresOptions {
    /// This version, no password asked, ready for logical replication, fsync on.
    #[must_use]
    pub fn new(version: PostgresVersion) -> Self {
        let settings = [
            ("listen_addresses", "127.0.0.1"),
            ("wal_level", "logical"),
            ("max_wal_senders", "20"),
            ("max_replication_slots", "20"),
            ("max_connections", "200"),
            ("fsync", "on"),
            // A replication client that was killed should lose its slot soon.
            ("wal_sender_timeout", "10s"),
            ("shared_buffers", "128MB"),
            ("logging_collector", "off"),
        ];
        Self {
            version,
            password: None,
            certificate: None,
            access: String::new(),
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        }
    }

    /// Asks every connection for this password (scram-sha-256).
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// A line of `pg_hba.conf`, before those that let everybody in (with the password, if one is asked for).
    #[must_use]
    pub fn access(mut self, line: &str) -> Self {
        self.access.push_str(line);
        self.access.push('\n');
        self
    }

    /// Offers TLS under this certificate, without asking for it, and believes clients whose certificates are of the same authority.
    #[must_use]
    pub fn certificate(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// One server setting, as `-c name=value`, over what is there by default.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// Leaves a setting to the server's own default, so that `ALTER SYSTEM` and a restart can change it.
    #[must_use]
    pub fn server_default(mut self, name: &str) -> Self {
        self.settings.remove(name);
        self
    }
}

impl From<PostgresVersion> for PostgresOptions {
    fn from(version: PostgresVersion) -> Self {
        Self::new(version)
    }
}
