//! A client for HTTP and HTTPS that goes where it was told and nowhere else, and errors in words without the address: it may hold a secret.

use std::error::Error as _;
use std::time::Duration;

use reqwest::{Client, Error};

/// A client that follows no redirect. `connect_max` is the whole way to a connection; `idle_max` connections to a host are kept for the next request.
///
/// # Errors
/// If TLS cannot be set up.
pub fn http_client(connect_max: Duration, idle_max: usize) -> Result<Client, Error> {
    // Fails where it is chosen already.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    Client::builder()
        .connect_timeout(connect_max)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(idle_max)
        .user_agent(concat!("keylane/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// An error with what caused it, without the address.
pub fn http_error_words(error: Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    words
}
