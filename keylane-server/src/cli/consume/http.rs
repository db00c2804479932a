//! An HTTP endpoint for each record.

use std::time::Duration;

use keylane::consumer::Record;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};

/// The whole way to a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The beginning of a refusal's body that goes into the error, in bytes.
const WORDS_BYTES_MAX: usize = 300;

/// Where records are posted.
pub(super) struct Endpoint {
    client: Client,
    url: Url,
}

impl Endpoint {
    /// # Errors
    /// If the URL cannot be used.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| format!("--http: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err("--http: a URL that begins with http:// or https://".to_owned());
        }
        // Fails where it is chosen already.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let client = Client::builder()
            .connect_timeout(CONNECT_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("keylane/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("--http: {error}"))?;
        Ok(Endpoint {
            client,
            url: parsed,
        })
    }

    /// Posts the value. 2xx: done.
    pub(super) async fn handle(&self, record: Record) -> Result<(), String> {
        let headers = headers(&record);
        let body = record.value.unwrap_or_default();
        let posted = self
            .client
            .post(self.url.clone())
            .headers(headers)
            .body(body);
        // Its own words hold the URL, which may hold a secret.
        let mut answer = posted
            .send()
            .await
            .map_err(|error| words(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let mut said = Vec::new();
        while said.len() < WORDS_BYTES_MAX
            && let Ok(Some(more)) = answer.chunk().await
        {
            said.extend_from_slice(&more);
        }
        said.truncate(WORDS_BYTES_MAX);
        let said = String::from_utf8_lossy(&said);
        Err(format!("the endpoint answered {status}: {}", said.trim()))
    }
}

/// An error with what caused it.
fn words(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        words.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    words
}

fn headers(record: &Record) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &[u8]| {
        // What no header can hold is left out; the id and the place always fit.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("idempotency-key", record.id().as_bytes());
    set("keylane-topic", record.topic.as_bytes());
    set("keylane-partition", record.partition.to_string().as_bytes());
    set("keylane-offset", record.offset.0.to_string().as_bytes());
    set(
        "keylane-attempt",
        record.attempts.saturating_add(1).to_string().as_bytes(),
    );
    if let Some(key) = &record.key {
        set("keylane-key", key);
    }
    if record.value.is_none() {
        set("keylane-tombstone", b"true");
    }
    let kind = record.header("content-type").map(|kind| &kind[..]);
    let kind = HeaderValue::from_bytes(kind.unwrap_or(b"application/octet-stream"));
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_TYPE, kind);
    headers
}
