//! Days and fractions of a second since 1970 as the text PostgreSQL reads: proleptic Gregorian, years before 1 as BC.

/// What a number of a time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    fn per_second(self) -> i64 {
        match self {
            Unit::Millis => 1_000,
            Unit::Micros => 1_000_000,
            Unit::Nanos => 1_000_000_000,
        }
    }

    fn digits(self) -> usize {
        match self {
            Unit::Millis => 3,
            Unit::Micros => 6,
            Unit::Nanos => 9,
        }
    }
}

/// What the PostgreSQL driver makes of the infinities (milliseconds), and Debezium passes on in whatever unit the column has.
const INFINITY: i64 = 9_223_372_036_825_200_000;
const MINUS_INFINITY: i64 = -9_223_372_036_832_400_000;
/// The same as days, after they were cut to 32 bits. No date that PostgreSQL knows is there.
const INFINITY_DAYS: i64 = -622_191_234;
const MINUS_INFINITY_DAYS: [i64; 2] = [622_191_232, 622_191_233];

/// `2024-02-29`, `0044-03-15 BC`, `infinity`.
pub(super) fn date(days: i64) -> String {
    if days == INFINITY_DAYS {
        return "infinity".to_owned();
    }
    if MINUS_INFINITY_DAYS.contains(&days) {
        return "-infinity".to_owned();
    }
    let (year, month, day) = civil(days);
    let (year, era) = era(year);
    format!("{year:04}-{month:02}-{day:02}{era}")
}

/// `13:14:15.123456`; `24:00:00` is a time of its own.
pub(super) fn time(count: i64, unit: Unit) -> String {
    let seconds = count.div_euclid(unit.per_second());
    let clock = clock(seconds);
    format!(
        "{clock}{}",
        fraction(count.rem_euclid(unit.per_second()), unit)
    )
}

/// `2024-02-29 13:14:15.123`, with ` BC` where it is.
pub(super) fn timestamp(count: i64, unit: Unit) -> String {
    match count {
        INFINITY => return "infinity".to_owned(),
        MINUS_INFINITY => return "-infinity".to_owned(),
        _ => {}
    }
    let seconds = count.div_euclid(unit.per_second());
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let (year, era) = era(year);
    let clock = clock(seconds.rem_euclid(86_400));
    let fraction = fraction(count.rem_euclid(unit.per_second()), unit);
    format!("{year:04}-{month:02}-{day:02} {clock}{fraction}{era}")
}

/// An ISO 8601 instant (`-0043-03-15T00:00:00Z`, `+294276-12-31T…`) as PostgreSQL reads it; anything else as it is.
pub(super) fn zoned(text: &str) -> String {
    if let Some(late) = text.strip_prefix('+') {
        return late.to_owned();
    }
    let (early, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let Some((year, rest)) = digits.split_once('-') else {
        return text.to_owned();
    };
    let Ok(year) = year.parse::<i64>() else {
        return text.to_owned();
    };
    if !early && year > 0 {
        return text.to_owned();
    }
    format!("{:04}-{rest} BC", year.saturating_add(1))
}

fn era(year: i64) -> (i64, &'static str) {
    if year > 0 {
        (year, "")
    } else {
        (1 - year, " BC")
    }
}

fn clock(seconds: i64) -> String {
    let (hours, rest) = (seconds / 3600, seconds % 3600);
    format!("{hours:02}:{:02}:{:02}", rest / 60, rest % 60)
}

fn fraction(count: i64, unit: Unit) -> String {
    if count == 0 {
        return String::new();
    }
    let text = format!(".{count:0width$}", width = unit.digits());
    text.trim_end_matches('0').to_owned()
}

/// Year, month and day of a day since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_instants_read_as_postgresql_prints_them() {
        for (days, expect) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (19_782, "2024-02-29"),
            (-719_528, "0001-01-01 BC"),
            (-735_160, "0044-03-15 BC"),
            (INFINITY_DAYS, "infinity"),
        ] {
            assert_eq!(date(days), expect);
        }
        assert_eq!(time(47_655_123_456, Unit::Micros), "13:14:15.123456");
        assert_eq!(time(86_400_000, Unit::Millis), "24:00:00");
        assert_eq!(
            timestamp(1_709_337_599_999_999, Unit::Micros),
            "2024-03-01 23:59:59.999999"
        );
        assert_eq!(timestamp(-1, Unit::Millis), "1969-12-31 23:59:59.999");
        assert_eq!(timestamp(MINUS_INFINITY, Unit::Micros), "-infinity");
        assert_eq!(
            timestamp(i64::MIN, Unit::Nanos),
            "1677-09-21 00:12:43.145224192"
        );
        assert_eq!(zoned("+294276-12-31T23:59:59Z"), "294276-12-31T23:59:59Z");
        assert_eq!(zoned("-0043-03-15T00:00:00Z"), "0044-03-15T00:00:00Z BC");
        assert_eq!(zoned("0000-01-01T00:00:00Z"), "0001-01-01T00:00:00Z BC");
        assert_eq!(zoned("infinity"), "infinity");
        for extreme in [i64::MIN, i64::MAX] {
            for unit in [Unit::Millis, Unit::Micros, Unit::Nanos] {
                assert!(!timestamp(extreme, unit).is_empty() && !time(extreme, unit).is_empty());
            }
            assert!(!date(extreme).is_empty());
        }
    }
}
