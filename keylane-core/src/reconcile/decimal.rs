//! Numbers by their digits, never through a float: of any length, in plain or scientific form.

/// A number's digits without those that say nothing: `0.digits × 10^exponent`, the first and the last digit not 0. Zero has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

/// Numbers of more zeros are spelt with an exponent.
const ZEROS_MAX: i64 = 40;

impl Decimal {
    /// Of `-12.50`, `1e-05`, `9.9E+10`; `None` for anything else.
    pub(super) fn read(text: &str) -> Option<Decimal> {
        let (mantissa, power) = match text.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, power.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (negative, plain) = match mantissa.strip_prefix('-') {
            Some(plain) => (true, plain),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
        let mut all = whole.bytes().chain(part.bytes());
        if whole.len() + part.len() == 0 || !all.all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut digits: Vec<u8> = whole
            .bytes()
            .chain(part.bytes())
            .map(|byte| byte - b'0')
            .collect();
        let mut exponent = i64::try_from(whole.len()).ok()?.checked_add(power)?;
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        exponent -= i64::try_from(zeros).ok()?;
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Decimal {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        Some(Decimal {
            negative,
            digits,
            exponent,
        })
    }

    /// One spelling for each number, that every database reads.
    pub(super) fn spelt(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let digits: String = self.digits.iter().map(|it| char::from(b'0' + it)).collect();
        let Ok(before) = usize::try_from(self.exponent) else {
            return match self.exponent {
                few if few > -ZEROS_MAX => {
                    let zeros = "0".repeat(usize::try_from(-few).unwrap_or(0));
                    format!("{sign}0.{zeros}{digits}")
                }
                many => format!("{sign}0.{digits}e{many}"),
            };
        };
        if digits.is_empty() {
            return "0".to_owned();
        }
        match digits.split_at_checked(before) {
            Some(("", part)) => format!("{sign}0.{part}"),
            Some((whole, "")) => format!("{sign}{whole}"),
            Some((whole, part)) => format!("{sign}{whole}.{part}"),
            None if self.exponent < ZEROS_MAX => format!("{sign}{digits:0<before$}"),
            None => format!("{sign}0.{digits}e{}", self.exponent),
        }
    }

    /// Rounded to so many digits behind the point, half away from zero, as SQL's decimals are.
    pub(super) fn rounded(mut self, scale: i64) -> Decimal {
        let keep = self.exponent.saturating_add(scale);
        let count = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        if keep >= count {
            return self;
        }
        let up = usize::try_from(keep)
            .ok()
            .and_then(|keep| self.digits.get(keep))
            .is_some_and(|digit| *digit >= 5);
        self.digits.truncate(usize::try_from(keep).unwrap_or(0));
        if up {
            let mut carried = true;
            for digit in self.digits.iter_mut().rev() {
                *digit += 1;
                carried = *digit == 10;
                if !carried {
                    break;
                }
                *digit = 0;
            }
            if carried {
                self.digits.insert(0, 1);
                self.exponent += 1;
            }
        }
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        if self.digits.is_empty() {
            (self.negative, self.exponent) = (false, 0);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(one: &str, other: &str, equal: bool) {
        let (one_read, other_read) = (Decimal::read(one), Decimal::read(other));
        assert!(one_read.is_some() && other_read.is_some());
        assert_eq!(one_read == other_read, equal, "{one} {other}");
    }

    #[test]
    fn numbers_are_equal_by_value_whatever_their_form() {
        check("1.50", "1.5", true);
        check("-0.00", "0", true);
        check("1e-05", "0.00001", true);
        check("1E+3", "1000", true);
        check("100", "1", false);
        check("0.1", "0.10000000000000000001", false);
        check("9007199254740993", "9007199254740992", false);
        check("-1", "1", false);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "NaN", "Infinity", "1.2.3", "1e", "0x10", "1 "] {
            assert_eq!(Decimal::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_has_one_spelling_that_reads_back() {
        for (text, expect) in [
            ("-12.50", "-12.5"),
            ("0.00", "0"),
            ("007", "7"),
            ("1e3", "1000"),
            ("1e-3", "0.001"),
            ("0.5", "0.5"),
            ("1e300", "0.1e301"),
            ("-1e-300", "-0.1e-299"),
            ("9223372036854775807", "9223372036854775807"),
        ] {
            let read = Decimal::read(text).expect("a number");
            assert_eq!(read.spelt(), expect, "{text}");
            assert_eq!(Decimal::read(&read.spelt()), Some(read), "{text}");
        }
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        for (text, scale, expect) in [
            ("1.005", 2, "1.01"),
            ("-1.005", 2, "-1.01"),
            ("1.0049", 2, "1"),
            ("9.995", 2, "10"),
            ("0.4", 0, "0"),
            ("0.5", 0, "1"),
            ("0.05", 0, "0"),
            ("1.5", 9, "1.5"),
            ("1500", -3, "2000"),
        ] {
            let rounded = Decimal::read(text).map(|it| it.rounded(scale));
            assert_eq!(rounded, Decimal::read(expect), "{text} to {scale}");
        }
    }
}
