//! Times in JSON: RFC 3339 in UTC, to the microsecond.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970 as text. Times before 1970 do not occur.
pub(crate) fn rfc3339(at_us: i64) -> String {
    let since = Duration::from_micros(u64::try_from(at_us).unwrap_or(0));
    humantime::format_rfc3339_micros(UNIX_EPOCH + since).to_string()
}

/// The text as microseconds since 1970; `None` if it is not a time.
pub(crate) fn from_rfc3339(text: &str) -> Option<i64> {
    let time: SystemTime = humantime::parse_rfc3339(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

/// Whole seconds since 1970.
pub(crate) fn seconds(at_us: i64) -> i64 {
    at_us.div_euclid(1_000_000)
}
