//! A command as an HTTP request, and what the response says.

use std::time::Duration;

use keylane_core::saga::wire::{Attributes, BODY_BYTES_MAX, answer_of};
use keylane_core::saga::{Op, Outcome};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response};

use crate::http_client::{http_client, http_error_words};

/// The way to a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Connections to a host that are kept for the next command.
const IDLE_MAX: usize = 64;

/// What an attempt came to.
pub(in crate::saga) struct Attempt {
    /// What was answered; `None`: it went out, and the answer comes by itself.
    pub outcome: Option<Outcome>,
    /// Whether the participant itself answered, whatever it said.
    pub is_alive: bool,
}

/// A request in the making.
pub(in crate::saga) struct HttpRequest<'a> {
    pub url: &'a str,
    pub token: Option<&'a str>,
    pub op: Op,
    pub id: &'a str,
    pub attributes: &'a Attributes,
    pub body: Vec<u8>,
    pub answer_max: Duration,
}

/// The client of all participants.
pub(in crate::saga) struct HttpChannel(Client);

impl HttpChannel {
    /// # Errors
    /// In words, if TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        let client = http_client(CONNECT_MAX, IDLE_MAX);
        client.map(HttpChannel).map_err(http_error_words)
    }

    /// One attempt. Ends in time, whatever the participant does.
    pub async fn send(&self, request: HttpRequest<'_>) -> Attempt {
        let headers = match headers(&request) {
            Ok(headers) => headers,
            Err(why) => return not_answered(why),
        };
        let asking = async {
            let posted = self.0.post(request.url).headers(headers).body(request.body);
            let response = posted.send().await.map_err(http_error_words)?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Ok((status, headers, body(response).await?))
        };
        match tokio::time::timeout(request.answer_max, asking).await {
            Ok(Ok((status, headers, body))) => {
                let pairs = headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_bytes()));
                let attributes = Attributes::from_http(pairs);
                Attempt {
                    outcome: Some(answer_of(request.op, status, attributes.as_ref(), &body)),
                    is_alive: !matches!(status, 408 | 429 | 500..),
                }
            }
            Ok(Err(why)) => not_answered(why),
            Err(_) => not_answered(format!(
                "no answer within {}",
                humantime::format_duration(request.answer_max)
            )),
        }
    }
}

pub(super) fn not_answered(why: String) -> Attempt {
    Attempt {
        outcome: Some(Outcome::Unclear(why)),
        is_alive: false,
    }
}

fn headers(request: &HttpRequest<'_>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut put = |name: &str, value: &str| {
        let name = HeaderName::try_from(name).map_err(|why| why.to_string())?;
        let value = HeaderValue::try_from(value).map_err(|why| why.to_string())?;
        headers.insert(name, value);
        Ok::<(), String>(())
    };
    for (name, value) in request.attributes.to_http() {
        put(&name, &value)?;
    }
    // Ids hold no control characters; what is not ASCII is as in the attribute.
    put("idempotency-key", request.id)?;
    if let Some(traceparent) = request.attributes.get("traceparent") {
        put("traceparent", traceparent)?;
    }
    if let Some(token) = request.token {
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| "the participant's token does not fit a header".to_owned())?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

/// The body, up to what is too much.
async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(http_error_words)? {
        body.extend_from_slice(&part);
        if body.len() > BODY_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}
