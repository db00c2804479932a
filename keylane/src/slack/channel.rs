//! The incoming webhook of one Slack channel.

use async_trait::async_trait;
use keylane_core::notify::{Answer, Channel, Entry};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::blocks::payload;
use crate::post::{ATTEMPT_MAX, Post};

/// Slack takes about a message a second.
const PACE_MS: u64 = 1_100;

/// A Slack channel. Slack knows no repeats: a message whose attempt was not answered and that is sent again may come twice, and says so.
pub struct SlackChannel {
    post: Post,
    from: String,
}

impl SlackChannel {
    /// By the URL of its incoming webhook, which is a secret; `from` names the sender.
    ///
    /// # Errors
    /// In words without the URL, if it cannot be used.
    pub fn new(url: &str, from: impl Into<String>) -> Result<Self, String> {
        Ok(SlackChannel {
            post: Post::new(url)?,
            from: from.into(),
        })
    }
}

#[async_trait]
impl Channel for SlackChannel {
    async fn send(&self, entry: &Entry) -> Answer {
        let body = payload(entry, &self.from).to_string();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
        self.post.send(headers, body.into_bytes()).await
    }

    fn attempt_max_ms(&self) -> u64 {
        u64::try_from(ATTEMPT_MAX.as_millis()).unwrap_or(u64::MAX)
    }

    fn pace_ms(&self) -> u64 {
        PACE_MS
    }
}
