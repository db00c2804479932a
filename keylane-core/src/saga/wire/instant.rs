//! Times in messages: RFC 3339, written in UTC to the microsecond, read with any offset.

use chrono::{DateTime, SecondsFormat};

const DAY_US: i64 = 86_400_000_000;
/// The first and the last microsecond of the years 0001 to 9999, since 1970.
const FIRST_US: i64 = -719_162 * DAY_US;
const LAST_US: i64 = 2_932_897 * DAY_US - 1;

/// Microseconds since 1970 as text. What lies outside the years 0001 to 9999 is written as the first or last time in them.
pub fn written(at_us: i64) -> String {
    let at = DateTime::from_timestamp_micros(at_us.clamp(FIRST_US, LAST_US));
    at.unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The text as microseconds since 1970; `None` if it is not a time. What is finer than a microsecond is cut off.
pub fn read(text: &str) -> Option<i64> {
    let at_us = DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros();
    (FIRST_US..=LAST_US).contains(&at_us).then_some(at_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_others_write_it_and_read_back() {
        for (at_us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_777_651_000_001, "2026-11-27T11:07:31.000001Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(written(at_us), text);
            assert_eq!(read(text), Some(at_us));
        }
        for day in (-719_162..2_932_897).step_by(97) {
            let at_us = day * DAY_US + 43_200_000_001;
            assert_eq!(read(&written(at_us)), Some(at_us), "day {day}");
        }
        assert_eq!(written(i64::MAX), "9999-12-31T23:59:59.999999Z");
        assert_eq!(written(i64::MIN), "0001-01-01T00:00:00.000000Z");
    }

    #[test]
    fn offsets_and_fractions_of_any_length_are_read() {
        let noon = read("2026-11-27T12:00:00Z");
        assert_eq!(read("2026-11-27T13:30:00+01:30"), noon);
        assert_eq!(read("2026-11-27t07:00:00.0000000009-05:00"), noon);
        assert_eq!(read("2026-11-27T12:00:00.5Z"), noon.map(|it| it + 500_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "now",
            "2026-11-27",
            "2026-11-27T12:00:00",
            "2026-13-27T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-11-27T24:00:00Z",
            "2026-11-27T12:00:00.Z",
            "2026-11-27T12:00:00+1:00",
            "2026-11-27T12:00:00Zx",
            "0000-01-01T00:00:00Z",
            "2026-11-27T12:00:+0Z",
            "２０２６-11-27T12:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
