//! PostgreSQL URLs: what they must hold, and a printed form without the password.

use std::fmt;
use std::path::{Path, PathBuf};

use super::code::Code;
use super::interpolate::{Insert, push_encoded};
use super::keys::{Absent, Key, Takes};
use super::reader::{Block, Read, Reported, Text};

pub(super) const URL: Key = Key {
    name: "url",
    takes: Takes::Secret("`postgres://USER@HOST:PORT/DATABASE?sslmode=…`"),
    absent: Absent::Required,
    means: "The database. A password may stand in it as `${ENV}` (as it is, without escaping), or under `password`. `sslmode` is `disable`, `prefer` (default), `require`, `verify-ca` or `verify-full`; `sslrootcert=FILE` names the authority to trust (PEM; without it Mozilla's list counts), `sslcert=FILE` and `sslkey=FILE` are for a server that asks for a certificate.",
};

pub(super) const PASSWORD: Key = Key {
    name: "password",
    takes: Takes::Secret("the password, as `${ENV}` or `file:PATH`"),
    absent: Absent::Means("the one in `url`, if any"),
    means: "The password, if it does not stand in `url`.",
};

const SSL_MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];
/// Parameters that name a file.
const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];
const PORT_DEFAULT: u16 = 5432;

/// A checked `postgres://` URL. `Display` and `Debug` show it without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(::url::Url);

impl PostgresUrl {
    /// The URL with its password, for the client library. Never log what this returns.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The host, or the directory of a Unix socket.
    pub fn host(&self) -> String {
        let query = || {
            self.0
                .query_pairs()
                .find(|(key, _)| key == "host")
                .map(|(_, host)| host.into_owned())
        };
        let host = self.0.host_str().filter(|host| !host.is_empty());
        host.map(str::to_owned).or_else(query).unwrap_or_default()
    }

    /// The port; 5432 if the URL has none.
    pub fn port(&self) -> u16 {
        self.0.port().unwrap_or(PORT_DEFAULT)
    }

    /// The database's name, percent-encoded as in the URL.
    pub fn database(&self) -> &str {
        self.0.path().trim_start_matches('/')
    }

    /// The user, percent-encoded as in the URL; may be empty.
    pub fn user(&self) -> &str {
        self.0.username()
    }

    /// Replaces relative paths of certificates.
    pub fn resolve_files(&mut self, resolve: impl Fn(&str) -> PathBuf) {
        let is_ours =
            |name: &str, value: &str| FILES.contains(&name) && Path::new(value).is_relative();
        let pairs: Vec<(String, String)> = self.0.query_pairs().into_owned().collect();
        if !pairs.iter().any(|(name, value)| is_ours(name, value)) {
            return;
        }
        let mut query = self.0.query_pairs_mut();
        query.clear();
        for (name, value) in &pairs {
            if is_ours(name, value) {
                query.append_pair(name, &resolve(value).to_string_lossy());
            } else {
                query.append_pair(name, value);
            }
        }
    }

    /// Checks a URL that a person gave, in `init` for instance. The error says what is wrong, without the URL.
    pub fn parse(text: &str) -> Result<PostgresUrl, String> {
        let Some((scheme, _)) = text.split_once(':') else {
            return Err("is not a URL".to_owned());
        };
        if !matches!(scheme, "postgres" | "postgresql") {
            let known = scheme.chars().all(|c| c.is_ascii_alphanumeric()) && scheme.len() <= 12;
            let found = if known {
                format!("'{scheme}:'")
            } else {
                "something else".to_owned()
            };
            return Err(format!(
                "does not begin with 'postgres://' but with {found}"
            ));
        }
        let url = ::url::Url::parse(text).map_err(|error| format!("cannot be read: {error}"))?;
        let url = PostgresUrl(url);
        if url.host().is_empty() {
            return Err("has no host".to_owned());
        }
        if url.database().is_empty() || url.database().contains('/') {
            return Err("does not end with the name of one database (…/DATABASE)".to_owned());
        }
        for (key, value) in url.0.query_pairs() {
            if matches!(&*key, "password" | "sslpassword") {
                return Err(format!(
                    "has '{key}' among its parameters, where it would be printed"
                ));
            }
            if key == "sslmode" && !SSL_MODES.contains(&&*value) {
                return Err(format!(
                    "has an unknown sslmode; use one of {}",
                    SSL_MODES.join(", ")
                ));
            }
        }
        if url.0.fragment().is_some() {
            return Err("has a '#'; write it as %23 (in a password: use ${ENV})".to_owned());
        }
        Ok(url)
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_str();
        match (text.split_once("://"), self.0.password()) {
            (Some((scheme, rest)), Some(password)) => {
                let secret = format!(":{password}@");
                write!(f, "{scheme}://{}", rest.replacen(&secret, ":***@", 1))
            }
            _ => f.write_str(text),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The block's `url` with its `password` put in.
pub(super) fn read(block: &Block<'_>) -> Read<PostgresUrl> {
    let password = block.secret_if_any("password");
    let text = match block.entry("url") {
        Some(entry) => block.secret_text("url", &entry.node, Insert::IntoUrl)?,
        None => return Err(block.missing("url")),
    };
    let mut url =
        PostgresUrl::parse(&text.value).map_err(|fault| url_issue(block, &text, &fault))?;
    url.resolve_files(|path| block.reader.resolve(path));
    if let Some((password, span)) = password? {
        if url.0.password().is_some() {
            return Err(block.report(
                Code::Conflict,
                span,
                format!(
                    "{}: the url has a password as well",
                    block.path_of("password")
                ),
                "keep one of the two",
            ));
        }
        let mut encoded = String::new();
        push_encoded(&mut encoded, password.expose());
        if url.0.username().is_empty() || url.0.set_password(Some(&encoded)).is_err() {
            let fault = "has no user for the password";
            return Err(url_issue(block, &text, fault));
        }
    }
    Ok(url)
}

fn url_issue(block: &Block<'_>, text: &Text, fault: &str) -> Reported {
    block.report(
        Code::Url,
        text.span,
        format!("{}: the URL {fault}", block.path_of("url")),
        "write postgres://USER@HOST:PORT/DATABASE, the password as ${ENV} or under 'password'",
    )
}
