//! Times in messages: RFC 3339, written in UTC to the microsecond, read with any offset.

const DAY_US: i64 = 86_400_000_000;

/// Microseconds since 1970 as text. What lies outside the years 0001 to 9999 is written as the first or last time in them.
pub(super) fn written(at_us: i64) -> String {
    let first = -719_162 * DAY_US;
    let last = 2_932_897 * DAY_US - 1;
    let at_us = at_us.clamp(first, last);
    let (year, month, day) = civil(at_us.div_euclid(DAY_US));
    let in_day = at_us.rem_euclid(DAY_US);
    let (seconds, micros) = (in_day / 1_000_000, in_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The text as microseconds since 1970; `None` if it is not a time. What is finer than a microsecond is cut off.
pub(super) fn read(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        let digits = bytes.get(from..to)?;
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then(|| text.get(from..to)?.parse::<i64>().ok())?
    };
    let is_at =
        |place: usize, any_of: &[u8]| bytes.get(place).is_some_and(|it| any_of.contains(it));
    let has_form =
        is_at(4, b"-") && is_at(7, b"-") && is_at(10, b"Tt ") && is_at(13, b":") && is_at(16, b":");
    if !has_form {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_time = hour < 24 && minute < 60 && second <= 60;
    if !is_time
        || year == 0
        || !(1..=12).contains(&month)
        || !(1..=days_in(year, month)).contains(&day)
    {
        return None;
    }
    let (micros, rest) = fraction(text.get(19..)?)?;
    let offset_minutes = offset(rest)?;
    let seconds =
        days(year, month, day) * 86_400 + hour * 3_600 + (minute - offset_minutes) * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

/// The microseconds that a text begins with, and what follows.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(after) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = after.find(|it: char| !it.is_ascii_digit())?;
    let (digits, rest) = after.split_at_checked(end)?;
    if digits.is_empty() {
        return None;
    }
    let micros = digits
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(6)
        .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some((micros, rest))
}

fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, text.get(1..)?),
        b'-' => (-1, text.get(1..)?),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two = |it: &str| {
        let is_two = it.len() == 2 && it.bytes().all(|it| it.is_ascii_digit());
        is_two.then(|| it.parse::<i64>().ok())?
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of a day since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The day since 1970 of a date (`days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
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
