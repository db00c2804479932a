//! A message's body: JSON.

use serde_json::Value;

use super::attributes::Attributes;
use super::error::WireError;
use crate::saga::limits::REASON_CHARACTERS_MAX;

/// The most bytes of a message's body: 1 MiB.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// What a body says. None at all is null; one whose content type says that it is text is a text.
pub(super) fn read(attributes: &Attributes, body: &[u8]) -> Result<Value, WireError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(WireError::Large(body.len()));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    match attributes.content_type() {
        Some(it) if it.trim_start().to_ascii_lowercase().starts_with("text/") => {
            let text = std::str::from_utf8(body);
            let text = text.map_err(|why| WireError::Body(why.to_string()))?;
            Ok(Value::String(text.to_owned()))
        }
        _ => serde_json::from_slice(body).map_err(|why| WireError::Body(why.to_string())),
    }
}

/// What a refusal or a failure says, as a text that fits a column.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(REASON_CHARACTERS_MAX).collect()
}
