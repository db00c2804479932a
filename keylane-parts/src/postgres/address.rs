//! A database's URL in its parts, and a question to it through psql.

use super::binaries::program;
use crate::error::{PartsError, Result};
use crate::install::{Tool, ensure_installed, run};
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

/// `postgres://user[:password]@host:port/database`. The password is never shown.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
}

impl Address {
    /// A client program of PostgreSQL, of `server_bin` or of the system, pointed at this database by its environment.
    pub(crate) fn client(&self, server_bin: &Path, name: &str) -> Command {
        let mut client = Command::new(program(server_bin, name));
        client
            .env("PGHOST", &self.host)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGDATABASE", &self.database)
            .env("PGCONNECT_TIMEOUT", "10");
        if let Some(password) = &self.password {
            client.env("PGPASSWORD", password);
        }
        client
    }

    /// Runs `sql`; stops at the first error. Returns the rows, columns separated by `|`, without the last line end.
    pub(crate) fn ask(&self, sql: &str) -> Result<String> {
        ensure_installed(&[Tool::Postgres])?;
        let mut psql = self.client(Path::new("/"), "psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let rows = run("asking PostgreSQL", &mut psql)?;
        Ok(rows.trim_end_matches('\n').to_owned())
    }

    /// The same server's database `name`.
    pub(crate) fn database(&self, name: &str) -> Self {
        Self {
            database: name.to_owned(),
            ..self.clone()
        }
    }

    /// As it is written.
    pub(crate) fn url(&self) -> String {
        let password = self.password.as_ref();
        let password = password.map_or_else(String::new, |password| format!(":{password}"));
        format!(
            "postgres://{}{password}@{}:{}/{}",
            self.user, self.host, self.port, self.database
        )
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "postgres://{}@{}:{}/{}",
            self.user, self.host, self.port, self.database
        )
    }
}

impl FromStr for Address {
    type Err = PartsError;

    fn from_str(url: &str) -> Result<Self> {
        let parts = || {
            let (scheme, rest) = url.split_once("://")?;
            let (authority, rest) = rest.split_once('/').unwrap_or((rest, ""));
            let (login, place) = authority.rsplit_once('@')?;
            let (host, port) = place.rsplit_once(':').unwrap_or((place, "5432"));
            let (user, password) = match login.split_once(':') {
                Some((user, password)) => (user, Some(password.to_owned())),
                None => (login, None),
            };
            let known = scheme == "postgres" || scheme == "postgresql";
            known.then_some(Self {
                user: user.to_owned(),
                password,
                host: host.to_owned(),
                port: port.parse().ok()?,
                database: rest.split('?').next()?.to_owned(),
            })
        };
        // The text is not shown: it may hold a password.
        let form = "a URL is not of the form postgres://user[:password]@host:port/database";
        parts().ok_or_else(|| PartsError::Invalid(form.to_owned()))
    }
}
