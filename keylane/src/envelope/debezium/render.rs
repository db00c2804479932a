//! A JSON value of a Debezium topic as the value it stands for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keylane_core::model::Value;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::calendar;
use super::decimal;
use super::form::Form;
use super::parts::Members;
use crate::envelope::decode::string_of;

/// What Debezium writes for a value that the change does not carry.
const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// Arrays in arrays, at most.
const DEPTH_MAX: usize = 8;

/// The value; `Err` names what its form asks for.
pub(super) fn value(form: &Form, json: &RawValue) -> Result<Value, &'static str> {
    let json = json.get();
    if json == "null" {
        return Ok(Value::Null);
    }
    if is_unavailable(form, json) {
        return Ok(Value::Absent);
    }
    rendered(form, json, 0)
}

fn is_unavailable(form: &Form, json: &str) -> bool {
    if !json.contains(UNAVAILABLE) && *form != Form::Bytes {
        return false;
    }
    let text = || string_of(json).filter(|_| json.starts_with('"'));
    match form {
        Form::Bytes => text().is_some_and(|text| STANDARD.encode(UNAVAILABLE) == *text),
        Form::Array(_) => {
            serde_json::from_str::<Vec<String>>(json).is_ok_and(|items| items == [UNAVAILABLE])
        }
        Form::Hstore => {
            let inner = text().unwrap_or_else(|| Box::from(json));
            let only = format!("{{\"{UNAVAILABLE}\":\"{UNAVAILABLE}\"}}");
            *inner == *only || *inner == *UNAVAILABLE
        }
        _ => text().is_some_and(|text| *text == *UNAVAILABLE),
    }
}

fn rendered(form: &Form, json: &str, depth: usize) -> Result<Value, &'static str> {
    let kind = json.as_bytes().first().copied().unwrap_or(b'n');
    if let Form::Array(item) = form {
        return array(item, json, depth).map(Value::text);
    }
    match (form, kind) {
        (_, b'n') => Ok(Value::Null),
        (Form::BitOfBoolean, b't') => Ok(Value::text("1")),
        (Form::BitOfBoolean, b'f') => Ok(Value::text("0")),
        (_, b't') => Ok(Value::Bool(true)),
        (_, b'f') => Ok(Value::Bool(false)),
        (Form::Hstore, b'"') => hstore(&text(json)?),
        (Form::Hstore, b'{') => hstore(json),
        (_, b'"') => string(form, &text(json)?),
        (_, b'{') => structure(form, json),
        (_, b'[') => Ok(Value::text(json)),
        _ => number(form, json),
    }
}

fn text(json: &str) -> Result<Box<str>, &'static str> {
    string_of(json).ok_or("a well-formed string")
}

fn number(form: &Form, digits: &str) -> Result<Value, &'static str> {
    let count = || {
        digits
            .parse::<i64>()
            .map_err(|_| "a whole number of 64 bits")
    };
    Ok(Value::text(match form {
        Form::Date => calendar::date(count()?),
        Form::Time(unit) => calendar::time(count()?, *unit),
        Form::Timestamp(unit) => calendar::timestamp(count()?, *unit),
        Form::Duration => duration(count()?),
        _ => return Ok(Value::number(digits)),
    }))
}

/// Seconds are the largest unit that Debezium's number does not guess.
fn duration(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    format!(
        "{sign}{}.{:06} seconds",
        micros / 1_000_000,
        micros % 1_000_000
    )
}

fn string(form: &Form, text: &str) -> Result<Value, &'static str> {
    let bytes = || STANDARD.decode(text).map_err(|_| "base64");
    Ok(match form {
        Form::Bytes => Value::text(hex(&bytes()?)),
        Form::Decimal {
            scale: Some(scale),
            base64: true,
        } => Value::text(decimal::text(&bytes()?, *scale).ok_or("a decimal's unscaled bytes")?),
        Form::Decimal {
            scale: None,
            base64: true,
        } => return Err("a decimal with its scale"),
        Form::Bits { length } => Value::text(bits(&bytes()?, *length)),
        Form::Zoned => Value::text(calendar::zoned(text)),
        _ => Value::text(text),
    })
}

fn hex(bytes: &[u8]) -> String {
    Value::Bytes(Box::from(bytes))
        .as_sql_text()
        .map(std::borrow::Cow::into_owned)
        .unwrap_or_default()
}

/// Least significant byte first; without a length, without leading zeros.
fn bits(bytes: &[u8], length: usize) -> String {
    let all: String = bytes
        .iter()
        .rev()
        .map(|byte| format!("{byte:08b}"))
        .collect();
    let significant = all.trim_start_matches('0');
    format!("{significant:0>length$}")
}

#[derive(Deserialize)]
struct ScaledWire<'a> {
    scale: i64,
    value: &'a str,
}

#[derive(Deserialize)]
struct PointWire<'a> {
    #[serde(borrow)]
    x: &'a RawValue,
    #[serde(borrow)]
    y: &'a RawValue,
}

#[derive(Deserialize)]
struct GeometryWire<'a> {
    wkb: &'a str,
    srid: Option<i64>,
}

fn structure(form: &Form, json: &str) -> Result<Value, &'static str> {
    Ok(Value::text(match form {
        Form::Decimal { .. } => {
            let wire: ScaledWire<'_> =
                serde_json::from_str(json).map_err(|_| "a decimal's struct")?;
            let bytes = STANDARD.decode(wire.value).map_err(|_| "base64")?;
            decimal::text(&bytes, wire.scale).ok_or("a decimal's unscaled bytes")?
        }
        Form::Point => {
            let wire: PointWire<'_> = serde_json::from_str(json).map_err(|_| "a point's struct")?;
            format!("({},{})", coordinate(wire.x), coordinate(wire.y))
        }
        Form::Geometry => {
            let wire: GeometryWire<'_> =
                serde_json::from_str(json).map_err(|_| "a geometry's struct")?;
            let bytes = STANDARD.decode(wire.wkb).map_err(|_| "base64")?;
            let hex = hex(&bytes);
            let hex = hex.trim_start_matches("\\x");
            match wire.srid {
                Some(srid) => format!("SRID={srid};{hex}"),
                None => hex.to_owned(),
            }
        }
        _ => json.to_owned(),
    }))
}

/// A number, or a string as JSON has no infinities.
fn coordinate(json: &RawValue) -> &str {
    json.get().trim_matches('"')
}

fn hstore(json: &str) -> Result<Value, &'static str> {
    let members: Members<'_> = serde_json::from_str(json).map_err(|_| "an hstore's JSON")?;
    let mut out = String::with_capacity(json.len() + 8);
    for (count, (name, value)) in members.0.iter().enumerate() {
        if count > 0 {
            out.push_str(", ");
        }
        quoted(&mut out, name);
        out.push_str("=>");
        match value.get() {
            "null" => out.push_str("NULL"),
            text => quoted(&mut out, &string_of(text).ok_or("an hstore's JSON")?),
        }
    }
    Ok(Value::text(out))
}

fn array(item: &Form, json: &str, depth: usize) -> Result<String, &'static str> {
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| "an array")?;
    if depth > DEPTH_MAX {
        return Err("an array of fewer dimensions");
    }
    let mut out = String::with_capacity(json.len() + 8);
    out.push('{');
    for (count, json) in items.iter().enumerate() {
        if count > 0 {
            out.push(',');
        }
        if json.get().starts_with('[') {
            out.push_str(&array(item, json.get(), depth + 1)?);
            continue;
        }
        match rendered(item, json.get(), depth + 1)? {
            Value::Text(text) => quoted(&mut out, &text),
            other => out.push_str(&other.as_sql_text().unwrap_or("NULL".into())),
        }
    }
    out.push('}');
    Ok(out)
}

/// In double quotes, as array elements and hstore members are written.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}
