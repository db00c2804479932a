//! What an HTTP response to a command means.
//!
//! | status | means |
//! |---|---|
//! | 2xx | `sagaoutcome`, where it says one; else done or undone, and the body is the answer |
//! | 202, 425 | it is being worked on |
//! | 409 | business says no, and the body why; with `sagaoutcome: fenced`: it never will be done |
//! | 404, 410 | to an undo or a fence: there was nothing, if the answer says `fenced` or `noop`; else nothing |
//! | else | nothing: it is asked again |
//!
//! Who cannot set headers says the outcome as member `sagaoutcome` of a JSON object, where the status leaves it open: to a fence, and with 404 and 410.

use serde_json::Value;

use super::attributes::Attributes;
use super::body;
use crate::saga::message::{Op, Outcome};

/// What a response says of an operation. `attributes` are those of its headers, or why they cannot be read.
pub fn answer_of(
    op: Op,
    status: u16,
    attributes: Result<&Attributes, &super::WireError>,
    body: &[u8],
) -> Outcome {
    let read = attributes
        .map_err(ToString::to_string)
        .and_then(|attributes| {
            let value = body::read(attributes, body).map_err(|why| why.to_string())?;
            Ok((attributes, value))
        });
    match status {
        202 | 425 => return Outcome::Working,
        200..=299 | 404 | 409 | 410 => {}
        _ => return unclear(status, &plain(read.map(|(_, value)| value))),
    }
    let (attributes, value) = match read {
        Ok(read) => read,
        Err(why) => return unclear(status, &why),
    };
    let in_body = value.get("sagaoutcome").and_then(Value::as_str);
    let is_open = op == Op::Fence || matches!(status, 404 | 410);
    let said = attributes
        .get("sagaoutcome")
        .or(in_body.filter(|_| is_open))
        .map(str::to_owned);
    match (status, said.as_deref(), op) {
        (200..=299, Some(code), _) => Outcome::named(code, value),
        (200..=299, None, Op::Action | Op::Compensate) => Outcome::Ok(value),
        (409, None | Some("failed"), _) => Outcome::named("failed", value),
        (409, Some("fenced"), Op::Action) => Outcome::Fenced,
        (404 | 410, Some("fenced" | "noop"), Op::Compensate) => Outcome::Noop,
        (404 | 410, Some("fenced"), Op::Fence) => Outcome::Fenced,
        (_, said, _) => {
            let said = said.map_or_else(|| plain(Ok(value)), |it| format!("sagaoutcome {it}"));
            unclear(status, &said)
        }
    }
}

/// The status of a response that carries an outcome of an operation; its attributes say the outcome too.
pub fn status_of(op: Op, outcome: &Outcome) -> u16 {
    match outcome {
        Outcome::Ok(_) | Outcome::Done(_) | Outcome::Noop => 200,
        // Who does not know the word must not take it for done.
        Outcome::Fenced if op == Op::Action => 409,
        Outcome::Fenced => 200,
        Outcome::Rejected(_) => 409,
        Outcome::Working => 202,
        Outcome::Unclear(_) => 503,
    }
}

fn unclear(status: u16, said: &str) -> Outcome {
    let why = match said {
        "" => format!("HTTP {status}"),
        said => format!("HTTP {status}: {said}"),
    };
    Outcome::Unclear(body::shortened(&why))
}

fn plain(said: Result<Value, String>) -> String {
    match said {
        Ok(Value::Null) | Err(_) => String::new(),
        Ok(Value::String(text)) => text,
        Ok(other) => other.to_string(),
    }
}
