//! One POST to an address that is a secret, and what its answer means: for channels that are told by HTTP.
//!
//! Bounded in time and in what is read of an answer. Neither the address nor the body is in any word that comes back.

use std::time::{Duration, SystemTime};

use keylane_core::notify::Answer;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, Url};

use crate::http_client::{http_client, http_error_words};

/// How long an attempt takes at most, from the first packet to the status line.
pub(crate) const ATTEMPT_MAX: Duration = Duration::from_secs(10);
/// Of these, the way to a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// What is read of a refusal's body.
const WORD_BYTES_MAX: usize = 200;
/// How long that may take.
const WORD_MAX: Duration = Duration::from_secs(1);

/// Where to.
pub(crate) struct Post {
    client: Client,
    url: Url,
}

impl Post {
    /// # Errors
    /// In words without the address, if it cannot be used.
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("no URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("a URL that begins with http:// or https:// and names a host".to_owned());
        }
        // A kept connection may be closed by the other side just when it is used again: then nobody would know whether the message came.
        let client = http_client(CONNECT_MAX, 0);
        let client = client.map_err(|error| error.without_url().to_string())?;
        Ok(Post { client, url })
    }

    /// Sends the body. The status line decides; what becomes of the answer behind it does not matter.
    pub(crate) async fn send(&self, headers: HeaderMap, body: Vec<u8>) -> Answer {
        let posted = self
            .client
            .post(self.url.clone())
            .headers(headers)
            .body(body);
        let answered = match tokio::time::timeout(ATTEMPT_MAX, posted.send()).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => return not_answered(error),
            Err(_) => {
                let why = format!("no answer within {} s", ATTEMPT_MAX.as_secs());
                return Answer::Unknown { why };
            }
        };
        let status = answered.status().as_u16();
        let after_ms = retry_after_ms(answered.headers());
        let word = match (200..300).contains(&status) {
            true => None,
            false => tokio::time::timeout(WORD_MAX, word(answered))
                .await
                .ok()
                .flatten(),
        };
        Answer::of_status(status, after_ms, word.as_deref())
    }
}

/// Whether it may have been sent.
fn not_answered(error: reqwest::Error) -> Answer {
    let (never_sent, no_request) = (error.is_connect(), error.is_builder());
    let why = http_error_words(error);
    match (never_sent, no_request) {
        (true, _) => Answer::Away { why },
        (_, true) => Answer::Refused { why },
        _ => Answer::Unknown { why },
    }
}

/// Seconds, or a date.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let left = until.duration_since(SystemTime::now()).ok()?;
    u64::try_from(left.as_millis()).ok()
}

/// The word of a refusal, such as `invalid_blocks`. A body that says more is not shown: it may hold what it was sent.
async fn word(mut answered: Response) -> Option<String> {
    let mut body = Vec::new();
    while body.len() < WORD_BYTES_MAX
        && let Ok(Some(more)) = answered.chunk().await
    {
        body.extend_from_slice(&more);
    }
    let text = std::str::from_utf8(&body).ok()?.trim();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let fits = (1..=60).contains(&text.len()) && text.bytes().all(is_word);
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_a_date() {
        let check = |text: &str, expect: &dyn Fn(Option<u64>) -> bool| {
            let value = HeaderValue::from_str(text).expect("a header");
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
            assert!(expect(retry_after_ms(&headers)), "{text}");
        };
        check("30", &|ms| ms == Some(30_000));
        check(" 0 ", &|ms| ms == Some(0));
        check("soon", &|ms| ms.is_none());
        check("Sun, 06 Nov 1994 08:49:37 GMT", &|ms| ms.is_none());
        let later = SystemTime::now() + Duration::from_secs(3600);
        check(&httpdate::fmt_http_date(later), &|ms| {
            ms.is_some_and(|ms| (3_500_000..3_601_000).contains(&ms))
        });
        assert_eq!(retry_after_ms(&HeaderMap::new()), None);
    }

    #[test]
    fn what_cannot_be_posted_to_is_refused_without_being_shown() {
        for url in ["", "hooks.example/T0", "ftp://hunter2/T0", "http://"] {
            let Err(why) = Post::new(url) else {
                unreachable!("{url} is taken");
            };
            assert!(!why.contains("hunter2") && !why.contains("T0"), "{why}");
        }
    }
}
