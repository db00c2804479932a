//! One webhook.

use std::time::SystemTime;

use async_trait::async_trait;
use keylane_core::notify::{Answer, Channel, Entry};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::event::event;
use super::signature::{SIGNATURE_HEADER, signature};
use crate::notice::seconds;
use crate::post::{ATTEMPT_MAX, Post};

/// How a webhook is called.
pub struct WebhookOptions {
    /// Its URL, which may hold a secret.
    pub url: String,
    /// Signs each message; without, it is not signed.
    pub secret: Option<String>,
    /// The CloudEvents source.
    pub source: String,
}

/// A webhook. Its receiver knows a repeat by the event's `id`.
pub struct WebhookChannel {
    post: Post,
    secret: Option<String>,
    source: String,
}

impl WebhookChannel {
    /// # Errors
    /// In words without the URL, if it cannot be used.
    pub fn new(options: WebhookOptions) -> Result<Self, String> {
        Ok(WebhookChannel {
            post: Post::new(&options.url)?,
            secret: options.secret,
            source: options.source,
        })
    }
}

#[async_trait]
impl Channel for WebhookChannel {
    async fn send(&self, entry: &Entry) -> Answer {
        let body = event(entry, &self.source).to_string().into_bytes();
        let kind = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        if let Some(secret) = &self.secret {
            let signed = HeaderValue::from_str(&signature(secret, now_s(), &body));
            let signed = signed.expect("digits, letters and marks are a header's value");
            headers.insert(HeaderName::from_static(SIGNATURE_HEADER), signed);
        }
        self.post.send(headers, body).await
    }

    fn attempt_max_ms(&self) -> u64 {
        u64::try_from(ATTEMPT_MAX.as_millis()).unwrap_or(u64::MAX)
    }

    fn pace_ms(&self) -> u64 {
        0
    }
}

/// The time of the attempt, not of the message: it may wait long, and a receiver refuses what is old.
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_us = since.map_or(0, |since| since.as_micros());
    seconds(i64::try_from(now_us).unwrap_or(i64::MAX))
}
