//! `POST /v1/events/TOPIC`: an event in CloudEvents' binary mode, taken once by its `Idempotency-Key`, durable before it is answered 202.
//!
//! | answer | when |
//! |---|---|
//! | 202 | it is durable and will be in its topic once; a repeat gets the same answer |
//! | 400 | no `Idempotency-Key`, or headers that are no event's |
//! | 404 | no pipeline takes events for this topic |
//! | 413, 415 | it is too large; it is a CloudEvent in structured or batched mode |
//! | 422 | another event was taken under this key |
//! | 503 | it could not be made durable now: ask again with the same key |

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use keylane::OutboxEvent;
use keylane::sqlite::accept::{Accepted, Offer};
use keylane_core::outbox::EVENT_BYTES_MAX;
use serde_json::json;

use crate::wire_up::EventIntake;

/// The longest key.
const KEY_BYTES_MAX: usize = 255;
/// After how long a caller may ask again.
const RETRY_AFTER_S: &str = "1";

/// The path.
pub(super) fn paths(intake: EventIntake) -> Router {
    Router::new()
        .route("/v1/events/{topic}", post(take))
        .layer(DefaultBodyLimit::max(EVENT_BYTES_MAX))
        .with_state(intake)
}

/// Why an event is not taken.
struct No {
    status: StatusCode,
    code: &'static str,
    message: String,
}

fn no(status: StatusCode, code: &'static str, message: impl Into<String>) -> No {
    No {
        status,
        code,
        message: message.into(),
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.message, "code": self.code}));
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                (self.status, [(header::RETRY_AFTER, RETRY_AFTER_S)], body).into_response()
            }
            status => (status, body).into_response(),
        }
    }
}

async fn take(
    Shared(intake): Shared<EventIntake>,
    Path(topic): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, No> {
    let key = idempotency_key(&headers)?;
    let event = event(topic, key_of(query.as_deref()), &headers, body)?;
    let unavailable = |why: String| no(StatusCode::SERVICE_UNAVAILABLE, "KL-HTTP-005", why);
    let acceptor = intake.of_topic(&event.topic).await.map_err(unavailable)?;
    let Some(acceptor) = acceptor else {
        let why = format!(
            "no pipeline takes events for topic {:?}: one with `outbox.accept` and this topic among `outbox.topics` would",
            event.topic
        );
        return Err(no(StatusCode::NOT_FOUND, "KL-HTTP-004", why));
    };
    match acceptor.take(Offer { key, event }).await {
        Ok(Accepted::Now(answer) | Accepted::Before(answer)) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            Ok((StatusCode::ACCEPTED, json, answer).into_response())
        }
        Ok(Accepted::OtherEvent) => Err(no(
            StatusCode::UNPROCESSABLE_ENTITY,
            "KL-HTTP-003",
            "another event was taken under this Idempotency-Key: a new event needs a new key",
        )),
        Ok(Accepted::Full) => Err(unavailable(
            "as many keys are kept as may be (outbox.accept.keys_max)".to_owned(),
        )),
        Err(error) if error.is_final => {
            Err(no(StatusCode::BAD_REQUEST, "KL-HTTP-002", error.message))
        }
        Err(error) => Err(unavailable(error.message)),
    }
}

/// The record's key behind `?key=`, where no header says it.
fn key_of(query: Option<&str>) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query?.as_bytes());
    let found = pairs.find(|(name, _)| name == "key");
    found.map(|(_, key)| key.into_owned())
}

/// The key, as it is or as the draft's quoted string.
fn idempotency_key(headers: &HeaderMap) -> Result<String, No> {
    let bad = |why: &str| no(StatusCode::BAD_REQUEST, "KL-HTTP-002", why);
    let Some(value) = headers.get("idempotency-key") else {
        return Err(bad(
            "there is no Idempotency-Key: send one of your own making, the same with every repeat of this event",
        ));
    };
    let text = value.to_str().unwrap_or_default().trim();
    let quoted = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let key = quoted.unwrap_or(text);
    let is_legal = key
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !is_legal {
        return Err(bad(
            "the Idempotency-Key is empty, longer than 255 bytes, or not printable ASCII",
        ));
    }
    Ok(key.to_owned())
}

fn event(
    topic: String,
    key: Option<String>,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<OutboxEvent, No> {
    let bad = |why: String| no(StatusCode::BAD_REQUEST, "KL-HTTP-002", why);
    // What a type is called where nobody says.
    let mut event = OutboxEvent::new(topic.as_str(), topic.as_str());
    event.key = key;
    for (name, value) in headers {
        let Some(text) = text_of(name, value).map_err(bad)? else {
            continue;
        };
        match name.as_str() {
            "ce-specversion" if text == "1.0" => {}
            "ce-specversion" => return Err(bad(format!("CloudEvents {text:?} is not 1.0"))),
            "ce-id" => event.id = Some(text),
            "ce-type" => event.type_name = text,
            "ce-source" => event.source = Some(text),
            "ce-subject" => event.subject = Some(text),
            "ce-time" => event.headers.push(("ce_senttime".to_owned(), text)),
            "content-type" if text.starts_with("application/cloudevents") => {
                let why = "a CloudEvent in structured or batched mode: send it in binary mode, its attributes as ce- headers";
                return Err(no(StatusCode::UNSUPPORTED_MEDIA_TYPE, "KL-HTTP-002", why));
            }
            "content-type" => event.content_type = Some(text),
            "traceparent" | "tracestate" => event.headers.push((name.as_str().to_owned(), text)),
            other => {
                if other == "ce-partitionkey" {
                    event.key = Some(text.clone());
                }
                event.headers.push((other.replacen("ce-", "ce_", 1), text));
            }
        }
    }
    event.payload = Some(body);
    Ok(event)
}

/// The text of a header that is the event's; `None` for any other. CloudEvents writes what is not ASCII by percent.
fn text_of(name: &HeaderName, value: &HeaderValue) -> Result<Option<String>, String> {
    let name = name.as_str();
    let is_own = name.starts_with("ce-");
    if !is_own && !matches!(name, "content-type" | "traceparent" | "tracestate") {
        return Ok(None);
    }
    let unreadable = || format!("header {name} is no text");
    let text = value.to_str().map_err(|_| unreadable())?;
    if !is_own {
        return Ok(Some(text.to_owned()));
    }
    percent_decoded(text).map(Some).ok_or_else(unreadable)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.extend_from_slice(before.as_bytes());
        let hex = after.get(..2)?;
        decoded.push(u8::from_str_radix(hex, 16).ok()?);
        rest = after.get(2..)?;
    }
    decoded.extend_from_slice(rest.as_bytes());
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(headers: &[(&'static str, &'static str)]) -> Result<OutboxEvent, (StatusCode, String)> {
        let headers = headers
            .iter()
            .map(|(name, text)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(text),
                )
            })
            .collect();
        event(
            "orders".to_owned(),
            Some("by query".to_owned()),
            &headers,
            Bytes::from_static(b"{}"),
        )
        .map_err(|no| (no.status, no.message))
    }

    #[test]
    fn attributes_become_columns_extensions_headers_and_others_nothing() {
        let event = made(&[
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-type", "order.placed.v1"),
            ("ce-source", "/shop"),
            ("ce-subject", "Z%C3%BCrich"),
            ("ce-correlationid", "saga-1"),
            ("content-type", "text/plain"),
            ("traceparent", "00-1"),
            ("user-agent", "curl"),
            ("authorization", "Bearer secret"),
        ])
        .map_err(|(_, why)| why);
        let expect = OutboxEvent::new("orders", "order.placed.v1")
            .id("1")
            .source("/shop")
            .subject("Zürich")
            .key("by query")
            .header("ce_correlationid", "saga-1")
            .header("traceparent", "00-1")
            .payload("text/plain", Bytes::from_static(b"{}"));
        assert_eq!(event, Ok(expect));
        let keyed = made(&[("ce-partitionkey", "order-1")]).map(|event| event.key);
        assert_eq!(keyed.ok().flatten().as_deref(), Some("order-1"));
    }

    #[test]
    fn what_is_no_event_in_binary_mode_is_refused() {
        for (headers, expect) in [
            (("ce-specversion", "0.3"), StatusCode::BAD_REQUEST),
            (("ce-subject", "%C3"), StatusCode::BAD_REQUEST),
            (("ce-subject", "%zz"), StatusCode::BAD_REQUEST),
            (
                ("content-type", "application/cloudevents+json"),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ),
        ] {
            assert_eq!(
                made(&[headers]).map_err(|(status, _)| status).err(),
                Some(expect)
            );
        }
    }

    #[test]
    fn a_key_is_taken_as_it_is_or_quoted() {
        let key = |text: &'static str| {
            let headers = [(
                HeaderName::from_static("idempotency-key"),
                HeaderValue::from_static(text),
            )];
            idempotency_key(&headers.into_iter().collect()).ok()
        };
        assert_eq!(key("\"8e03-978e\"").as_deref(), Some("8e03-978e"));
        assert_eq!(key("8e03-978e").as_deref(), Some("8e03-978e"));
        assert_eq!(key("\"\""), None);
        assert_eq!(key(""), None);
        assert!(idempotency_key(&HeaderMap::new()).is_err());
    }
}
