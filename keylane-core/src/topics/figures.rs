//! Figures as people read them: rounded, with their unit.

/// A number with at most three significant digits after rounding, thousands set apart.
pub fn amount(value: f64) -> String {
    if !value.is_finite() {
        return "unbounded".to_owned();
    }
    let digits = match value.abs() {
        small if small == 0.0 || small >= 100.0 => 0,
        small if small >= 10.0 => 1,
        small if small >= 1.0 => 2,
        small if small >= 0.001 => 3,
        _ => 6,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let rest = rest.trim_end_matches('0');
    let mut grouped = String::new();
    let (sign, whole) = match whole.strip_prefix('-') {
        Some(whole) => ("-", whole),
        None => ("", whole),
    };
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match rest.is_empty() {
        true => format!("{sign}{grouped}"),
        false => format!("{sign}{grouped}.{rest}"),
    }
}

/// Bytes in the unit that fits.
pub fn bytes(value: f64) -> String {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let unit = units.iter().find(|(_, size)| value >= *size);
    match unit {
        Some((name, size)) => format!("{} {name}", amount(value / size)),
        None => format!("{} B", amount(value)),
    }
}

/// A share as percent.
pub fn percent(share: f64) -> String {
    format!("{} %", amount(share * 100.0))
}

/// Hours and days.
pub fn hours(value: f64) -> String {
    match value {
        long if long >= 48.0 => format!("{} days", amount(long / 24.0)),
        short if short >= 1.0 => format!("{} h", amount(short)),
        short if short >= 1.0 / 60.0 => format!("{} min", amount(short * 60.0)),
        short => format!("{} s", amount(short * 3600.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::{amount, bytes, hours, percent};

    #[test]
    fn a_figure_is_as_exact_as_a_person_reads_it() {
        for (value, expect) in [
            (0.0, "0"),
            (0.0214, "0.021"),
            (1.0, "1"),
            (7.484, "7.48"),
            (748.9, "749"),
            (12_345.6, "12,346"),
            (-1_234_567.0, "-1,234,567"),
        ] {
            assert_eq!(amount(value), expect);
        }
        assert_eq!(bytes(1_500.0), "1.5 kB");
        assert_eq!(bytes(2e9), "2 GB");
        assert_eq!(percent(0.999), "99.9 %");
        assert_eq!(hours(72.0), "3 days");
        assert_eq!(hours(0.5), "30 min");
    }
}
