//! Texts → numbers, sizes and durations, and back. Each error is the end of a sentence that begins with what was found.

use std::time::Duration;

const SIZE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1024 * 1024 * 1024 * 1024),
    ("GiB", 1024 * 1024 * 1024),
    ("MiB", 1024 * 1024),
    ("KiB", 1024),
    ("B", 1),
];

const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A whole number, `_` allowed between digits.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        return Err("is not a whole number".to_owned());
    }
    digits
        .parse()
        .map_err(|_| "is a number too large for anything here".to_owned())
}

/// `4MiB`: a whole number and a unit of 1024.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let Ok(value) = count(number) else {
        return Err("is not a size such as 512KiB, 4MiB or 10GiB".to_owned());
    };
    if unit.is_empty() {
        return Err(format!("has no unit; write {value}B, or KiB, MiB, GiB"));
    }
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        let decimal = ["k", "m", "g", "t"]
            .iter()
            .find(|letter| unit.to_ascii_lowercase().starts_with(**letter));
        return Err(match decimal {
            Some(letter) => format!(
                "has a unit that is not clear; write {value}{}iB (units of 1024)",
                letter.to_ascii_uppercase()
            ),
            None => "has an unknown unit; use B, KiB, MiB, GiB or TiB".to_owned(),
        });
    };
    value
        .checked_mul(*factor)
        .ok_or_else(|| "is a size too large for anything here".to_owned())
}

/// `250ms`, `10s`, `5m`, `12h`, `7d`: a whole number and a unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let Ok(value) = count(number) else {
        return Err("is not a duration such as 250ms, 10s, 5m, 12h or 7d".to_owned());
    };
    if unit.is_empty() {
        return Err(format!("has no unit; write {value}s or {value}ms"));
    }
    let Some((_, factor)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err("has an unknown unit; use ms, s, m, h or d".to_owned());
    };
    value
        .checked_mul(*factor)
        .map(Duration::from_millis)
        .ok_or_else(|| "is a duration too long for anything here".to_owned())
}

/// The largest unit that writes `value` as a whole number.
pub(super) fn show_bytes(value: u64) -> String {
    show(value, &SIZE_UNITS)
}

/// The largest unit that writes `value_ms` as a whole number.
pub(super) fn show_duration(value_ms: u64) -> String {
    show(value_ms, &DURATION_UNITS)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))
        .map_or_else(
            || format!("{value}{}", units.last().map_or("", |unit| unit.0)),
            |(name, factor)| format!("{}{name}", value / factor),
        )
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number, unit.trim_start())
}
