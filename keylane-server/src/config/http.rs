//! `http`: the address of health, metrics and JSON.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::code::Code;
use super::keys::{Absent, Key, Takes};
use super::reader::{Block, Read, Text};
use super::secret::Secret;

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "listen",
        takes: Takes::Text("`HOST:PORT` with an IP address or `localhost`, or `off`"),
        absent: Absent::Default("127.0.0.1:7070"),
        means: "Where `/healthz`, `/readyz`, `/metrics` and `/v1/…` are served; port 0 takes a free one. An address that others can reach is refused unless `auth_token` is set.",
    },
    Key {
        name: "auth_token",
        takes: Takes::Secret(
            "the token that clients send as `Authorization: Bearer …`, at least 16 characters",
        ),
        absent: Absent::Means("no token is asked for"),
        means: "Asked for on every path but `/healthz` and `/readyz`.",
    },
];

/// A token has at least so many characters.
pub const TOKEN_CHARS_MIN: usize = 16;

/// The HTTP service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// The address, or None if there is no HTTP service.
    pub listen: Option<SocketAddr>,
    /// What clients must present; always there if `listen` is not a loopback address.
    pub auth_token: Option<Secret>,
}

pub(super) fn read(block: &Block<'_>) -> Read<Http> {
    let listen = block.text("listen").and_then(|text| {
        let address = address(block, &text)?;
        Ok((address, text))
    });
    let token = block.secret_if_any("auth_token").and_then(|token| {
        if let Some((secret, span)) = &token
            && secret.expose().chars().count() < TOKEN_CHARS_MIN
        {
            return Err(block.report(
                Code::BadValue,
                *span,
                format!("{}: the token is too short", block.path_of("auth_token")),
                "use at least 16 characters, for example from 'openssl rand -hex 24'",
            ));
        }
        Ok(token)
    });
    let token_written = block.is_written("auth_token");
    let (listen, text) = listen?;
    if let Some(address) = listen
        && !address.ip().is_loopback()
        && !token_written
    {
        return Err(block.report(
            Code::Exposed,
            text.span,
            format!("http.listen: {address} can be reached by others, and no token protects it"),
            "set http.auth_token (for example ${KEYLANE_AUTH_TOKEN}), or listen on 127.0.0.1",
        ));
    }
    Ok(Http {
        listen,
        auth_token: token?.map(|(secret, _)| secret),
    })
}

fn address(block: &Block<'_>, text: &Text) -> Read<Option<SocketAddr>> {
    if text.value == "off" {
        return Ok(None);
    }
    if let Some(port) = text.value.strip_prefix("localhost:")
        && let Ok(port) = port.parse()
    {
        return Ok(Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
    }
    let address = text.value.parse().map(Some);
    address.map_err(|_| {
        block.bad(
            Code::BadValue,
            "listen",
            text,
            "is not an address with a port",
        )
    })
}
