//! An event as a record: CloudEvents 1.0 in binary mode, its attributes as `ce_` headers.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value as Json;

use super::refusal::{Refusal, RefusalCode};
use crate::model::OrderHash;
use crate::publish::HEADER_NAME;

/// The longest attribute or header, name and value, in bytes.
const HEADER_BYTES_MAX: usize = 8_192;
/// The most headers of a row's own.
const HEADERS_MAX: usize = 64;
/// Headers that the columns make.
const BY_COLUMNS: [&str; 7] = [
    "ce_specversion",
    "ce_id",
    "ce_type",
    "ce_source",
    "ce_subject",
    "ce_time",
    "content-type",
];

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where to.
    pub topic: Arc<str>,
    /// The record's key: what must keep its order together, the aggregate. Without one the record has no key, and the event no order.
    pub key: Option<String>,
    /// Tells the event from others of its source; a reader knows a repeat by it.
    pub id: String,
    /// What happened.
    pub type_name: String,
    /// Who tells it.
    pub source: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When, RFC 3339.
    pub time: Option<String>,
    /// What the payload is.
    pub content_type: Option<String>,
    /// Further headers, as they are to stand in the record.
    pub headers: Vec<(String, String)>,
    /// What it carries; `None` is a tombstone.
    pub payload: Option<Bytes>,
}

impl Event {
    /// What it is partitioned by: its key, or else its id.
    pub fn order(&self) -> OrderHash {
        OrderHash::of(self.key.as_ref().unwrap_or(&self.id).as_bytes())
    }

    /// The record's headers: its attributes, then its own.
    pub fn record_headers(&self) -> Vec<(Arc<str>, Bytes)> {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let always = [
            ("ce_specversion", Some("1.0")),
            ("ce_id", Some(self.id.as_str())),
            ("ce_type", Some(self.type_name.as_str())),
            ("ce_source", Some(self.source.as_str())),
            ("ce_subject", self.subject.as_deref()),
            ("ce_time", self.time.as_deref()),
            ("content-type", self.content_type.as_deref()),
        ];
        let attributes = always
            .into_iter()
            .filter_map(|(name, text)| Some((Arc::from(name), bytes(text?))));
        let own = self.headers.iter();
        let own = own.map(|(name, text)| (Arc::from(name.as_str()), bytes(text)));
        attributes.chain(own).collect()
    }

    /// What it takes in a record, in bytes: key, payload and headers, and 64 for framing.
    pub fn size_bytes(&self) -> usize {
        let headers = self.record_headers();
        let headers = headers.iter().map(|(name, value)| name.len() + value.len());
        64 + self.key.as_ref().map_or(0, String::len)
            + self.payload.as_ref().map_or(0, Bytes::len)
            + headers.sum::<usize>()
    }

    /// Whether everything about it can stand in a header.
    ///
    /// # Errors
    /// What cannot.
    pub fn check(&self) -> Result<(), Refusal> {
        for (name, text) in [
            ("id", &self.id),
            ("type", &self.type_name),
            ("source", &self.source),
        ] {
            if text.is_empty() {
                return Err(bad(format!("column `{name}` is empty")));
            }
        }
        let optional = [
            ("subject", &self.subject),
            ("content_type", &self.content_type),
        ];
        let optional = optional
            .iter()
            .filter_map(|(name, text)| Some((*name, text.as_ref()?)));
        let texts = [
            ("id", &self.id),
            ("type", &self.type_name),
            ("source", &self.source),
        ];
        for (name, text) in texts.into_iter().chain(optional) {
            if text.len() > HEADER_BYTES_MAX || text.chars().any(char::is_control) {
                return Err(bad(format!(
                    "column `{name}` holds a control character, or more than {HEADER_BYTES_MAX} bytes"
                )));
            }
        }
        check_headers(&self.headers)
    }
}

/// Headers of a JSON object whose values are texts, numbers or booleans; null values are left out.
///
/// # Errors
/// If it is none.
pub(super) fn headers_of(json: &str) -> Result<Vec<(String, String)>, Refusal> {
    let parsed: Json =
        serde_json::from_str(json).map_err(|_| bad("column `headers` is no JSON".to_owned()))?;
    let Json::Object(object) = parsed else {
        return Err(bad("column `headers` is no JSON object".to_owned()));
    };
    let mut headers = Vec::with_capacity(object.len());
    for (name, value) in object {
        let text = match value {
            Json::Null => continue,
            Json::String(text) => text,
            Json::Number(number) => number.to_string(),
            Json::Bool(yes) => yes.to_string(),
            Json::Array(_) | Json::Object(_) => {
                return Err(bad(
                    "a value in column `headers` is neither a text nor a number".to_owned(),
                ));
            }
        };
        headers.push((name, text));
    }
    Ok(headers)
}

fn check_headers(headers: &[(String, String)]) -> Result<(), Refusal> {
    if headers.len() > HEADERS_MAX {
        return Err(bad(format!(
            "column `headers` holds more than {HEADERS_MAX} headers"
        )));
    }
    for (name, text) in headers {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name || name.len() + text.len() > HEADER_BYTES_MAX {
            return Err(bad(format!(
                "a header's name is no printable ASCII, or it takes more than {HEADER_BYTES_MAX} bytes"
            )));
        }
        if text.chars().any(char::is_control) {
            return Err(bad(format!("header {name} holds a control character")));
        }
        if name == HEADER_NAME || BY_COLUMNS.contains(&name.as_str()) {
            return Err(bad(format!(
                "header {name} is made of the row's other columns, or Keylane's own"
            )));
        }
    }
    Ok(())
}

fn bad(message: String) -> Refusal {
    Refusal::new(RefusalCode::BadHeaders, message)
}
