//! Slack's rules for the body of an incoming webhook.

use serde_json::Value;

const BLOCKS_MAX: usize = 50;
const HEADER_CHARS_MAX: usize = 150;
const SECTION_CHARS_MAX: usize = 3000;
const FIELDS_MAX: usize = 10;
const FIELD_CHARS_MAX: usize = 2000;
/// Undocumented, and met by others: parts that are each within their limits are refused together.
const WHOLE_CHARS_MAX: usize = 13_000;

/// Whether Slack takes the body.
///
/// # Errors
/// The word that Slack answers with status 400.
pub fn slack_takes(body: &str) -> Result<(), &'static str> {
    let payload: Value = serde_json::from_str(body).map_err(|_| "invalid_payload")?;
    if !payload.is_object() {
        return Err("invalid_payload");
    }
    let text = payload["text"].as_str().unwrap_or_default();
    let blocks = match &payload["blocks"] {
        Value::Null if text.is_empty() => return Err("no_text"),
        Value::Null => return Ok(()),
        Value::Array(blocks) => blocks,
        _ => return Err("invalid_blocks_format"),
    };
    // Slack itself takes blocks without it; notifications would then be empty.
    if text.is_empty() {
        return Err("no_text");
    }
    let fit = (1..=BLOCKS_MAX).contains(&blocks.len()) && blocks.iter().all(is_block);
    if !fit {
        return Err("invalid_blocks");
    }
    if body.chars().count() > WHOLE_CHARS_MAX {
        return Err("msg_blocks_too_long");
    }
    Ok(())
}

fn is_block(block: &Value) -> bool {
    match block["type"].as_str() {
        Some("header") => is_text(&block["text"], &["plain_text"], HEADER_CHARS_MAX),
        Some("section") => {
            let text = &block["text"];
            let fields = block["fields"].as_array();
            let text_fits =
                text.is_null() || is_text(text, &["mrkdwn", "plain_text"], SECTION_CHARS_MAX);
            let fields_fit = fields.is_none_or(|fields| {
                let is_field = |field| is_text(field, &["mrkdwn", "plain_text"], FIELD_CHARS_MAX);
                (1..=FIELDS_MAX).contains(&fields.len()) && fields.iter().all(is_field)
            });
            text_fits && fields_fit && (!text.is_null() || fields.is_some())
        }
        Some("context") => block["elements"].as_array().is_some_and(|elements| {
            let is_element = |one| is_text(one, &["mrkdwn", "plain_text"], SECTION_CHARS_MAX);
            (1..=FIELDS_MAX).contains(&elements.len()) && elements.iter().all(is_element)
        }),
        Some("divider") => true,
        _ => false,
    }
}

fn is_text(object: &Value, kinds: &[&str], chars_max: usize) -> bool {
    let kind = object["type"].as_str().unwrap_or_default();
    let chars = object["text"]
        .as_str()
        .map_or(0, |text| text.chars().count());
    kinds.contains(&kind) && (1..=chars_max).contains(&chars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_kept_to() {
        let check = |body: &str, expect: Result<(), &'static str>| {
            assert_eq!(slack_takes(body), expect, "{body:.200}");
        };
        let header = |chars: usize| {
            let text = "x".repeat(chars);
            format!(
                r#"{{"text":"t","blocks":[{{"type":"header","text":{{"type":"plain_text","text":"{text}"}}}}]}}"#
            )
        };
        let fields = |count: usize| {
            let field = r#"{"type":"mrkdwn","text":"f"}"#;
            let fields = vec![field; count].join(",");
            format!(r#"{{"text":"t","blocks":[{{"type":"section","fields":[{fields}]}}]}}"#)
        };
        let dividers = |count: usize| {
            let blocks = vec![r#"{"type":"divider"}"#; count].join(",");
            format!(r#"{{"text":"t","blocks":[{blocks}]}}"#)
        };
        check("hello", Err("invalid_payload"));
        check("{}", Err("no_text"));
        check(r#"{"text":"t"}"#, Ok(()));
        check(&header(150), Ok(()));
        check(&header(151), Err("invalid_blocks"));
        check(&header(0), Err("invalid_blocks"));
        check(&fields(10), Ok(()));
        check(&fields(11), Err("invalid_blocks"));
        check(&dividers(50), Ok(()));
        check(&dividers(51), Err("invalid_blocks"));
        check(&header(5).replacen(r#""text":"t","#, "", 1), Err("no_text"));
        let long = r#"{"type":"section","text":{"type":"mrkdwn","text":"X"}}"#
            .replace('X', &"x".repeat(2900));
        let long = vec![long; 5].join(",");
        check(
            &format!(r#"{{"text":"t","blocks":[{long}]}}"#),
            Err("msg_blocks_too_long"),
        );
    }
}
