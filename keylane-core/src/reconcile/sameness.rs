//! Whether two databases' values of one column are one value.
//!
//! Wider than equal text, because each database has a spelling of its own, and never wider than the origin's own equality: nothing is trimmed, rounded or folded that the
//! column's type keeps. NULL is equal to NULL only.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::model::Value;

use super::decimal::Decimal;
use super::kind::Kind;

/// How two values stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// One value.
    Same,
    /// The replica holds what its column's type left of the origin's value.
    Lossy,
    /// The replica's column has no form for the origin's value, and holds NULL.
    Unrepresentable,
    /// Two values.
    Different,
}

/// How a value of the origin stands to the replica's; columns of these kinds. A value that the row does not carry is different from all.
pub fn sameness(kinds: (Kind, Kind), origin: &Value, replica: &Value) -> Sameness {
    use Sameness::{Different, Same, Unrepresentable};
    match (origin, replica) {
        (Value::Absent, _) | (_, Value::Absent) => Different,
        _ if origin == replica => Same,
        (Value::Null, _) => Different,
        (_, Value::Null) => match (kinds, special(origin)) {
            ((_, Kind::AsStored), true) => Unrepresentable,
            _ => Different,
        },
        _ => present(kinds, origin, replica),
    }
}

/// NaN and the infinities, as PostgreSQL prints them.
fn special(value: &Value) -> bool {
    matches!(value, Value::Text(text) if matches!(&**text, "NaN" | "Infinity" | "-Infinity"))
}

fn present((of_origin, of_replica): (Kind, Kind), origin: &Value, replica: &Value) -> Sameness {
    use Sameness::{Different, Same};
    if (of_origin, of_replica) == (Kind::AsStored, Kind::AsStored) {
        return stored(origin, replica);
    }
    let (Some(one), Some(other)) = (origin.as_sql_text(), replica.as_sql_text()) else {
        return Different;
    };
    let either = |kind: Kind| of_origin == kind || of_replica == kind;
    let same = |is: bool| if is { Same } else { Different };
    // A column of SQLite holds what the other side's kind says.
    let kind = match of_origin {
        Kind::AsStored => of_replica,
        kind => kind,
    };
    match kind {
        Kind::Boolean => same(truth(&one).is_some_and(|one| truth(&other) == Some(one))),
        Kind::Text if either(Kind::Padded) => same(trimmed(&one) == trimmed(&other)),
        Kind::Text if either(Kind::Caseless) => same(one.to_lowercase() == other.to_lowercase()),
        Kind::Padded => same(trimmed(&one) == trimmed(&other)),
        Kind::Caseless => same(one.to_lowercase() == other.to_lowercase()),
        Kind::Uuid => same(uuid(origin).is_some_and(|one| uuid(replica) == Some(one))),
        Kind::JsonMeaning => same(json_same(&one, &other, 0)),
        Kind::Timestamp { digits, zoned } => {
            let replica_digits = match of_replica {
                Kind::Timestamp { digits, .. } => digits,
                _ => digits,
            };
            moments((&one, &other), zoned, replica_digits)
        }
        Kind::Integer | Kind::Decimal(_) | Kind::Float32 | Kind::Float64 => {
            numbers((of_origin, of_replica), &one, &other)
        }
        _ if of_replica.is_number() => numbers((of_origin, of_replica), &one, &other),
        _ => same(one == other),
    }
}

/// Two cells of SQLite: the class counts, but SQLite itself calls 1 and 1.0 equal, and a column's declared type decides which of them it keeps.
fn stored(origin: &Value, replica: &Value) -> Sameness {
    match (origin, replica) {
        (Value::Number(one), Value::Number(other)) => {
            numbers((Kind::AsStored, Kind::AsStored), one, other)
        }
        _ => Sameness::Different,
    }
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "t" | "true" | "1" => Some(true),
        "f" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_end_matches(' ')
}

/// Its 32 digits.
fn uuid(value: &Value) -> Option<String> {
    let digits = match value {
        Value::Bytes(bytes) if bytes.len() == 16 => value.as_sql_text()?.get(2..)?.to_owned(),
        Value::Text(text) => text.replace('-', "").to_ascii_lowercase(),
        _ => return None,
    };
    (digits.len() == 32).then_some(digits)
}

fn numbers((of_origin, of_replica): (Kind, Kind), one: &str, other: &str) -> Sameness {
    use Sameness::{Different, Lossy, Same};
    let (Some(one_read), Some(other_read)) = (Decimal::read(one), Decimal::read(other)) else {
        // NaN and the infinities, each in its own database's words.
        let float = |text: &str| text.parse::<f64>().ok();
        let same = match (float(one), float(other)) {
            (Some(one), Some(other)) => one == other || (one.is_nan() && other.is_nan()),
            _ => false,
        };
        return if same { Same } else { Different };
    };
    if one_read == other_read {
        return Same;
    }
    // What the replica's column leaves of a number.
    let left = match of_replica {
        Kind::Decimal(Some(scale)) => one_read.rounded(i64::from(scale)) == other_read,
        // A whole number of SQLite has all its digits.
        Kind::AsStored if !other.contains(['.', 'e', 'E']) => false,
        Kind::Float64 | Kind::AsStored => bits_64(one).is_some_and(|it| Some(it) == bits_64(other)),
        Kind::Float32 => bits_32(one).is_some_and(|it| Some(it) == bits_32(other)),
        _ => false,
    };
    let exact = match (of_origin, of_replica) {
        // Shortest digits that read back as the same bits are one value in whatever spelling.
        (Kind::Float64, _) => bits_64(one).is_some_and(|it| Some(it) == bits_64(other)),
        (Kind::Float32, Kind::Float32) => left,
        _ => false,
    };
    match (exact, left) {
        (true, _) => Same,
        (_, true) => Lossy,
        _ => Different,
    }
}

/// Of a finite number; 0 for both zeros.
fn bits_64(text: &str) -> Option<u64> {
    let number = text.parse::<f64>().ok().filter(|it| it.is_finite())?;
    Some((number + 0.0).to_bits())
}

fn bits_32(text: &str) -> Option<u32> {
    let number = text.parse::<f32>().ok().filter(|it| it.is_finite())?;
    Some((number + 0.0).to_bits())
}

/// As `2020-01-01 10:00:00.5`, with or without `T`, a fraction and a zone of UTC.
fn moments((one, other): (&str, &str), zoned: bool, replica_digits: u16) -> Sameness {
    use Sameness::{Different, Lossy, Same};
    let (Some(one), Some(other)) = (moment(one, zoned), moment(other, zoned)) else {
        return Different;
    };
    if one == other {
        return Same;
    }
    // A bounded column rounds or cuts, both up to its last digit.
    let keep = usize::from(replica_digits);
    let is_cut = one.0 == other.0 && other.1.len() <= keep && one.1.starts_with(&other.1);
    if is_cut && one.1.len() > keep {
        return Lossy;
    }
    let rounds = one.1.len() > keep && other.1.len() <= keep;
    if rounds && rounded_up(&one, keep) == Some(other) {
        return Lossy;
    }
    Different
}

/// Up to the second, and the fraction's digits without zeros at the end.
fn moment(text: &str, zoned: bool) -> Option<(String, String)> {
    let mut text = text.replacen('T', " ", 1);
    if zoned {
        let zones = ["+00:00", "+00", "Z"];
        let zone = zones
            .iter()
            .find(|zone| text.trim_end_matches(" BC").ends_with(*zone));
        if let Some(zone) = zone {
            text = text.replacen(zone, "", 1);
        }
    }
    let (whole, part) = match text.split_once('.') {
        None => (text.as_str(), ""),
        Some((whole, part)) => (whole, part),
    };
    let (digits, behind) = match part.split_once(' ') {
        None => (part, ""),
        Some((digits, behind)) => (digits, behind),
    };
    let digits = digits.trim_end_matches('0').to_owned();
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| (format!("{whole}{behind}"), digits))
}

/// A fraction rounded up to so many digits, if that does not reach the next second: that one is left to the second look.
fn rounded_up((whole, part): &(String, String), keep: usize) -> Option<(String, String)> {
    let kept: u64 = match keep {
        0 => return None,
        keep => part.get(..keep)?.parse().ok()?,
    };
    let next = part.as_bytes().get(keep)?;
    let up = format!("{:0keep$}", kept + u64::from(*next >= b'5'));
    (up.len() == keep).then(|| (whole.clone(), up.trim_end_matches('0').to_owned()))
}

/// Deeper JSON is told by its text.
const JSON_DEPTH_MAX: usize = 64;

/// Whether two texts are one JSON value: the order of an object's names does not count, and numbers are equal by their digits' value.
fn json_same(one: &str, other: &str, depth: usize) -> bool {
    let (one, other) = (one.trim(), other.trim());
    if one == other || depth > JSON_DEPTH_MAX {
        return one == other;
    }
    if let (Ok(one), Ok(other)) = (array(one), array(other)) {
        let mut pairs = one.iter().zip(&other);
        return one.len() == other.len()
            && pairs.all(|(one, other)| json_same(one.get(), other.get(), depth + 1));
    }
    if let (Ok(one), Ok(other)) = (object(one), object(other)) {
        let mut members = one.iter();
        return one.len() == other.len()
            && members.all(|(name, one)| {
                let other = other.get(name);
                other.is_some_and(|other| json_same(one.get(), other.get(), depth + 1))
            });
    }
    match (Decimal::read(one), Decimal::read(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => {
            matches!((string(one), string(other)), (Ok(one), Ok(other)) if one == other)
        }
        _ => false,
    }
}

fn array(text: &str) -> serde_json::Result<Vec<&RawValue>> {
    serde_json::from_str(text)
}

/// Of a name that is there twice the last counts.
fn object(text: &str) -> serde_json::Result<BTreeMap<String, &RawValue>> {
    serde_json::from_str(text)
}

fn string(text: &str) -> serde_json::Result<String> {
    serde_json::from_str(text)
}

#[cfg(test)]
#[path = "sameness_tests.rs"]
mod tests;
