//! Connections to the origin: where it is, and session settings pinned so that every connection prints every value alike.

use std::time::Duration;

use keylane_core::capture::OriginError;
use pgwire_replication::{Lsn, ReplicationConfig, SslMode, TlsConfig};
use tokio_postgres::Client;
use tokio_postgres::config::Host;

use super::PostgresOriginConfig;
use super::error::{code, refused, unreachable};
use super::tunnel::Tunnel;
use crate::postgres::connect::{ConnectErrorKind, ConnectOptions, connect};
use crate::postgres::tls::{TlsAsked, Trust, Use};

/// Settings that decide how a value is printed, or whether it is shown at all. The stream gets them all; the SQL connections get those that every
/// connection of ours does not have anyway (`connect`), so that both print alike.
const PRINTING: [(&str, &str); 7] = [
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("xmloption", "content"),
];
const OURS: [(&str, &str); 5] = [
    ("quote_all_identifiers", "off"),
    ("search_path", "pg_catalog"),
    // A filter would hide rows in silence; off makes it an error.
    ("row_security", "off"),
    ("default_transaction_read_only", "off"),
    ("synchronous_commit", "on"),
];

/// How many messages wait between the socket and the reader; with `message_bytes_max` the bound of what this side holds.
const BUFFERED_MESSAGES: usize = 512;
/// How long the server may be left without word of what is confirmed.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// An SQL connection with pinned settings.
pub(super) async fn connect_sql(
    config: &PostgresOriginConfig,
    purpose: &str,
) -> Result<Client, OriginError> {
    let options = ConnectOptions {
        // A copy's reads stand idle in their transaction while their rows wait to be published.
        idle_in_transaction_timeout: None,
        settings: OURS
            .map(|(setting, value)| (setting, value.to_owned()))
            .into(),
        ..ConnectOptions::default()
    };
    let name = format!("keylane capture {} {purpose}", config.slot);
    connect(&config.url, &name, &options)
        .await
        .map_err(|error| match error.kind {
            ConnectErrorKind::Unreachable => unreachable(error.message),
            ConnectErrorKind::Denied => refused(code::RIGHTS, error.message),
            ConnectErrorKind::BadUrl => refused(code::CONFIGURATION, error.message),
        })
}

/// What the replication connection needs, with the same settings; and the tunnel it goes through, if it does, to be kept until it is connected.
pub(super) async fn replication_config(
    config: &PostgresOriginConfig,
    application_name: &str,
) -> Result<(ReplicationConfig, Option<Tunnel>), OriginError> {
    let (address, tls) = address(&config.url)?;
    let unusable = |what: &str| {
        refused(
            code::CONFIGURATION,
            format!("the origin's URL names no {what}"),
        )
    };
    let host = match address.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.to_string_lossy().into_owned(),
        None => return Err(unusable("host")),
    };
    let user = address.get_user().ok_or_else(|| unusable("user"))?;
    let password = match address.get_password() {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => std::env::var("PGPASSWORD").unwrap_or_default(),
    };
    let options: String = PRINTING
        .iter()
        .chain(&OURS)
        .map(|(setting, value)| format!("-c {setting}={value} "))
        .collect();
    let port = address.get_ports().first().copied().unwrap_or(5432);
    let mut wire = ReplicationConfig::new(
        &host,
        user,
        password,
        address.get_dbname().unwrap_or(user),
        &config.slot,
        quote_identifier(&config.publication),
    )
    .with_port(port)
    .with_tls(transport_tls(&tls, &host))
    .with_start_lsn(Lsn::ZERO)
    .with_status_interval(STATUS_INTERVAL)
    .with_buffer_size(BUFFERED_MESSAGES)
    .with_max_message_size(config.message_bytes_max)
    .with_application_name(application_name)
    .with_options(options.trim_end());
    if wire.is_unix_socket() {
        wire.tls = TlsConfig::disabled();
        return Ok((wire, None));
    }
    if tls.used == Use::Never || tls.trust != Trust::Authority {
        return Ok((wire, None));
    }
    let tunnel = Tunnel::open(&host, port, &tls).await?;
    wire.host = tunnel.folder().to_owned();
    Ok((wire, Some(tunnel)))
}

/// Host, port, user and database of a URL, and the TLS it asks for.
fn address(url: &str) -> Result<(tokio_postgres::Config, TlsAsked), OriginError> {
    let unusable = |why: &str| refused(code::CONFIGURATION, format!("the origin's URL: {why}"));
    let form = "it is not of the form postgres://user@host:port/db?sslmode=…";
    let mut parsed = url::Url::parse(url).map_err(|_| unusable(form))?;
    let tls = TlsAsked::take_from(&mut parsed).map_err(|why| unusable(&why))?;
    let address = parsed.as_str().parse().map_err(|_| unusable(form))?;
    Ok((address, tls))
}

/// The transport's own TLS. What checks the chain alone goes by a [`Tunnel`]: the transport would check the name, too.
fn transport_tls(asked: &TlsAsked, host: &str) -> TlsConfig {
    let mode = match (asked.used, asked.trust) {
        (Use::Never, _) | (_, Trust::Authority) => SslMode::Disable,
        (Use::IfOffered, _) => SslMode::Prefer,
        (Use::Always, Trust::Anyone) => SslMode::Require,
        (Use::Always, Trust::AuthorityAndName) => SslMode::VerifyFull,
    };
    let (certificate, key) = asked.own.clone().unzip();
    TlsConfig {
        mode,
        ca_pem_path: asked.roots.clone(),
        // An address is a name as well, if the certificate says so; the transport must be told that it is meant.
        sni_hostname: Some(host.to_owned()),
        client_cert_pem_path: certificate,
        client_key_pem_path: key,
    }
}

/// A name as SQL takes it.
pub(super) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL takes it, whatever `standard_conforming_strings` says.
pub(super) fn quote_literal(text: &str) -> String {
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// A place in the log as PostgreSQL prints it (`16/B374D848`).
pub(super) fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let high = u64::from(u32::from_str_radix(high, 16).ok()?);
    let low = u64::from(u32::from_str_radix(low, 16).ok()?);
    Some((high << 32) | low)
}

/// A place in the log as PostgreSQL prints it.
pub(super) fn print_lsn(place: u64) -> String {
    format!("{:X}/{:X}", place >> 32, place & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_log_survives_its_own_text() {
        for place in [0, 1, 0x16_b374_d848, u64::MAX] {
            assert_eq!(parse_lsn(&print_lsn(place)), Some(place));
        }
        for bad in ["", "1", "x/1", "1/", "100000000/1"] {
            assert_eq!(parse_lsn(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_and_texts_are_quoted_so_that_nothing_escapes() {
        assert_eq!(quote_identifier("we\"ird"), "\"we\"\"ird\"");
        assert_eq!(quote_literal("o'c"), "'o''c'");
        assert_eq!(quote_literal("a\\'"), "E'a\\\\'''");
    }

    #[test]
    fn a_url_with_full_verification_is_understood() {
        let (address, tls) =
            address("postgres://u:p%40ss@h:5433/db?sslmode=verify-full&connect_timeout=3")
                .expect("a URL");
        assert_eq!(transport_tls(&tls, "h").mode, SslMode::VerifyFull);
        assert_eq!(address.get_ports(), [5433]);
        assert_eq!(address.get_password(), Some(b"p@ss".as_slice()));
        assert!(super::address("postgres://u@h/db?sslmode=sometimes").is_err());
    }
}
