//! An HTTP endpoint for each record.

use std::time::Duration;

use keylane::consumer::Record;
use keylane::{http_client, http_error_words};
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
        let client = http_client(CONNECT_MAX, usize::MAX);
        let client = client.map_err(|error| format!("--http: {error}"))?;
        Ok(Endpoint {
            client,
            url: parsed,
        })
    }

    /// Posts the value. 2xx: done.
    pub(super) async fn handle(&self, record: Record) -> Result<(), String> {
        let headers = headers(&record);
        let body = record.value.clone().unwrap_or_default();
        let posted = self
            .client
            .post(self.url.clone())
            .headers(headers)
            .body(body);
        let mut answer = posted.send().await.map_err(http_error_words)?;
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
