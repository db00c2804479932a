//! A connection to PostgreSQL from a URL, with TLS where it asks for it and the session settings that make text lossless.
//!
//! Passwords never appear in errors: whatever names a connection names its [`redacted`] URL.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use super::tls::{TlsAsked, Use, refusal};

/// What a caller may choose about a session.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The whole way to a session that can be used: name, TCP, TLS, password, settings.
    pub connect_timeout: Duration,
    /// The longest a statement may run; `None`: as long as it takes.
    pub statement_timeout: Option<Duration>,
    /// The longest a statement waits for a lock; `None`: as long as it takes.
    pub lock_timeout: Option<Duration>,
    /// The longest a transaction may stand idle before the server ends it: what frees the locks of a client that hangs. `None`: for ever.
    pub idle_in_transaction_timeout: Option<Duration>,
    /// Further settings, as `name`, `value`.
    pub settings: Vec<(&'static str, String)>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            connect_timeout: Duration::from_secs(10),
            statement_timeout: None,
            lock_timeout: None,
            idle_in_transaction_timeout: Some(Duration::from_secs(60)),
            settings: Vec::new(),
        }
    }
}

impl ConnectOptions {
    /// For questions that are given up if they are not answered in time.
    pub fn within(answer_max: Duration) -> Self {
        ConnectOptions {
            connect_timeout: answer_max,
            statement_timeout: Some(answer_max),
            ..ConnectOptions::default()
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// Nobody answers, the name is unknown, TLS cannot be agreed on, the server is starting, stopping or full.
    Unreachable,
    /// The server does not let this user in: password, `pg_hba.conf`, rights. Or we do not trust it: its certificate, or that it offers no TLS.
    Denied,
    /// The URL is malformed, or names a database or a setting that is not there.
    BadUrl,
}

/// Why there is no connection, in words, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    /// What to do about it.
    pub kind: ConnectErrorKind,
    /// What happened and where.
    pub message: String,
}

/// Connects to `postgres://user@host:port/db?sslmode=disable|prefer|require|verify-ca|verify-full&sslrootcert=FILE&sslcert=FILE&sslkey=FILE` and pins the session:
/// UTC, ISO dates, shortest exact floats, hex bytes, UTF-8, the C locale for money. The connection is driven by a task of its own, which ends with the client.
///
/// # Errors
/// [`ConnectError`]; its text holds no password.
pub async fn connect(
    url: &str,
    application_name: &str,
    options: &ConnectOptions,
) -> Result<Client, ConnectError> {
    let connected = connect_observed(url, application_name, options).await;
    connected.map(|(client, _)| client)
}

/// When a connection ended, if it has.
#[derive(Clone, Debug, Default)]
pub struct Ended(Arc<OnceLock<Instant>>);

impl Ended {
    /// The moment.
    pub fn at(&self) -> Option<Instant> {
        self.0.get().copied()
    }
}

/// As [`connect`], and tells when the connection ended.
///
/// # Errors
/// As [`connect`].
pub async fn connect_observed(
    url: &str,
    application_name: &str,
    options: &ConnectOptions,
) -> Result<(Client, Ended), ConnectError> {
    let target = Target::parse(url)?;
    let whole_way = async {
        let (client, ended) = target.open(application_name, options).await?;
        let settings = session_settings(options);
        match client.batch_execute(&settings).await {
            Ok(()) => Ok((client, ended)),
            Err(error) => Err(target.error(&error)),
        }
    };
    match tokio::time::timeout(options.connect_timeout, whole_way).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ConnectError {
            kind: ConnectErrorKind::Unreachable,
            message: format!(
                "{} did not answer within {} s",
                target.redacted,
                options.connect_timeout.as_secs_f32()
            ),
        }),
    }
}

/// Whether an error means that the connection is gone or the server is going away, so that the same may be tried again on another connection.
/// What was being committed may or may not be.
pub fn is_connection_lost(error: &Error) -> bool {
    match error.code() {
        Some(code) => code.code().starts_with("08") || code.code().starts_with("57P"),
        // Without a server's word: closed, broken or garbled wire. A parameter that cannot be encoded also comes here, and none of ours can fail to be.
        None => {
            error.is_closed()
                || std::error::Error::source(error)
                    .is_some_and(|source| source.is::<std::io::Error>())
        }
    }
}

/// The URL without its password, for logs and errors. Something that is no URL is not repeated at all.
pub fn redacted(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return "(not a URL)".to_owned();
    };
    if parsed.set_password(None).is_err() {
        return "(not a URL)".to_owned();
    }
    let shown: Vec<(String, String)> = parsed
        .query_pairs()
        .filter(|(name, _)| name != "password")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    if shown.is_empty() {
        parsed.set_query(None);
    } else {
        parsed.query_pairs_mut().clear().extend_pairs(shown);
    }
    parsed.to_string()
}

/// A URL taken apart.
struct Target {
    config: Config,
    tls: Option<ClientConfig>,
    redacted: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, ConnectError> {
        let redacted = redacted(url);
        let bad = |why: String| ConnectError {
            kind: ConnectErrorKind::BadUrl,
            message: format!("{redacted}: {why}"),
        };
        let mut parsed = Url::parse(url).map_err(|error| {
            bad(format!(
                "not of the form postgres://user@host:port/db: {error}"
            ))
        })?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(bad("a PostgreSQL URL begins with postgres://".to_owned()));
        }
        let asked = TlsAsked::take_from(&mut parsed).map_err(&bad)?;
        let mut config: Config = parsed.as_str().parse().map_err(|error: Error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            bad(why.unwrap_or_else(|| error.to_string()))
        })?;
        config.ssl_mode(match asked.used {
            Use::Never => SslMode::Disable,
            Use::IfOffered => SslMode::Prefer,
            Use::Always => SslMode::Require,
        });
        let tls = asked.client_config().map_err(&bad)?;
        Ok(Target {
            config,
            tls,
            redacted,
        })
    }

    async fn open(
        &self,
        application_name: &str,
        options: &ConnectOptions,
    ) -> Result<(Client, Ended), ConnectError> {
        let mut config = self.config.clone();
        config
            .application_name(application_name)
            .connect_timeout(options.connect_timeout)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(60));
        match &self.tls {
            Some(tls) => {
                let tls = MakeRustlsConnect::new(tls.clone());
                let opened = config.connect(tls).await;
                let (client, connection) = opened.map_err(|error| self.error(&error))?;
                Ok((client, drive(connection)))
            }
            None => {
                let opened = config.connect(NoTls).await;
                let (client, connection) = opened.map_err(|error| self.error(&error))?;
                Ok((client, drive(connection)))
            }
        }
    }

    fn error(&self, error: &Error) -> ConnectError {
        let text = with_sources(error);
        let distrust = distrust(error);
        let kind = match error.code() {
            Some(code) => kind_of_code(code),
            None if text.starts_with("invalid configuration") => ConnectErrorKind::BadUrl,
            None if distrust.is_some() || text.contains(NO_TLS) => ConnectErrorKind::Denied,
            None => ConnectErrorKind::Unreachable,
        };
        let said = match (error.as_db_error(), distrust) {
            (Some(said), _) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
            (None, Some(why)) => format!("{why}: {text}"),
            (None, None) => text,
        };
        ConnectError {
            kind,
            message: format!("{}: {said}", self.redacted),
        }
    }
}

/// What the driver says where `sslmode` asks for TLS and the server has none.
const NO_TLS: &str = "server does not support TLS";

/// Why the server's certificate was turned down, if it was.
fn distrust(error: &Error) -> Option<&'static str> {
    let failed = std::error::Error::source(error)?;
    let failed = failed.downcast_ref::<std::io::Error>()?;
    refusal(failed.get_ref()?.downcast_ref()?)
}

fn kind_of_code(code: &SqlState) -> ConnectErrorKind {
    match code.code() {
        "3D000" | "42704" | "22023" | "08P01" => ConnectErrorKind::BadUrl,
        code if code.starts_with("28") || code.starts_with("42") => ConnectErrorKind::Denied,
        _ => ConnectErrorKind::Unreachable,
    }
}

fn with_sources(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

fn drive(connection: impl Future<Output = Result<(), Error>> + Send + 'static) -> Ended {
    let ended = Ended::default();
    let noted = ended.clone();
    tokio::spawn(async move {
        let end = connection.await;
        noted.0.get_or_init(Instant::now);
        if let Err(error) = end {
            // Whoever uses the client is told too, with what it was doing.
            tracing::debug!(error = %error, "a PostgreSQL connection ended");
        }
    });
    ended
}

fn session_settings(options: &ConnectOptions) -> String {
    let milliseconds = |limit: Option<Duration>| limit.map_or(0, |limit| limit.as_millis());
    let mut settings: Vec<(&str, String)> = [
        ("client_encoding", "UTF8"),
        ("timezone", "UTC"),
        ("datestyle", "ISO, YMD"),
        ("intervalstyle", "postgres"),
        ("extra_float_digits", "3"),
        ("bytea_output", "hex"),
        ("xmloption", "content"),
        ("lc_monetary", "C"),
        ("standard_conforming_strings", "on"),
        ("default_transaction_isolation", "read committed"),
        ("tcp_keepalives_idle", "30"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    let limits = [
        ("statement_timeout", options.statement_timeout),
        ("lock_timeout", options.lock_timeout),
        (
            "idle_in_transaction_session_timeout",
            options.idle_in_transaction_timeout,
        ),
    ];
    settings.extend(limits.map(|(name, limit)| (name, milliseconds(limit).to_string())));
    settings.extend(options.settings.iter().cloned());
    settings
        .iter()
        .map(|(name, value)| {
            let value = postgres_protocol::escape::escape_literal(value);
            format!("SET {name} TO {value};")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, expect) in [
            (
                "postgres://me:secret@db:5433/shop?sslmode=require",
                "postgres://me@db:5433/shop?sslmode=require",
            ),
            (
                "postgres://me@db/shop?password=secret",
                "postgres://me@db/shop",
            ),
            ("secret", "(not a URL)"),
            ("postgres://me:sec ret@d b/shop", "(not a URL)"),
        ] {
            assert_eq!(redacted(url), expect);
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_the_reason() {
        for (url, reason) in [
            ("mysql://me:secret@db/shop", "begins with postgres://"),
            (
                "postgres://me:secret@db/shop?sslmode=maybe",
                "sslmode is one of",
            ),
            ("postgres://me:secret@db/shop?colour=red", "colour"),
            (
                "postgres://me:secret@db/shop?sslmode=verify-ca&sslrootcert=/nowhere.pem",
                "/nowhere.pem",
            ),
        ] {
            let error = Target::parse(url).map(|_| ()).expect_err(url);
            assert_eq!(error.kind, ConnectErrorKind::BadUrl, "{url}");
            assert!(error.message.contains(reason), "{url}: {error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let url = format!("postgres://me:secret@127.0.0.1:{port}/shop");
        let error = connect(&url, "test", &ConnectOptions::default())
            .await
            .expect_err("nobody listens");
        assert_eq!(error.kind, ConnectErrorKind::Unreachable);
        assert!(!error.message.contains("secret"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up_after_the_time_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let options = ConnectOptions {
            connect_timeout: Duration::from_millis(200),
            ..ConnectOptions::default()
        };
        let url = format!("postgres://me@127.0.0.1:{port}/shop");
        let error = connect(&url, "test", &options).await.expect_err("silence");
        assert_eq!(error.kind, ConnectErrorKind::Unreachable);
    }
}
