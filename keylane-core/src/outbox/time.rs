//! When an event was made, in the words of CloudEvents.

/// A database's text of a time as RFC 3339: `2026-11-27 11:00:00.5+00` (PostgreSQL), or what is RFC 3339 already. `None` if it is neither.
pub(super) fn rfc3339(text: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix([' ', 'T', 't'])?;
    let (clock, zone) = rest.split_at_checked(8)?;
    let is_date = fits(date, "dddd-dd-dd");
    if !is_date || !fits(clock, "dd:dd:dd") {
        return None;
    }
    let digits = match zone.strip_prefix('.') {
        Some(fraction) => fraction.bytes().take_while(u8::is_ascii_digit).count() + 1,
        None => 0,
    };
    let (fraction, offset) = zone.split_at_checked(digits)?;
    if fraction.len() == 1 {
        return None;
    }
    let offset = match offset {
        "Z" | "z" | "+00" | "+00:00" => "Z".to_owned(),
        // PostgreSQL leaves minutes out where there are none.
        hours if fits(hours, "sdd") => format!("{hours}:00"),
        whole if fits(whole, "sdd:dd") => whole.to_owned(),
        _ => return None,
    };
    Some(format!("{date}T{clock}{fraction}{offset}"))
}

/// Whether each letter is as the form says: `d` a digit, `s` a sign, others themselves.
fn fits(text: &str, form: &str) -> bool {
    let as_said = |(letter, form): (u8, u8)| match form {
        b'd' => letter.is_ascii_digit(),
        b's' => matches!(letter, b'+' | b'-'),
        other => letter == other,
    };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(as_said)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn both_databases_words_become_rfc_3339_and_nothing_else_does() {
        for (text, expect) in [
            (
                "2026-11-27 11:00:00.123456+00",
                Some("2026-11-27T11:00:00.123456Z"),
            ),
            (
                "2026-11-27 11:00:00+05:30",
                Some("2026-11-27T11:00:00+05:30"),
            ),
            ("2026-11-27 11:00:00-08", Some("2026-11-27T11:00:00-08:00")),
            ("2026-11-27T11:00:00.5Z", Some("2026-11-27T11:00:00.5Z")),
            ("2026-11-27T11:00:00", None),
            ("2026-11-27T11:00:00.Z", None),
            ("infinity", None),
            ("", None),
            ("2026-11-27é11:00:00Z", None),
        ] {
            assert_eq!(rfc3339(text).as_deref(), expect, "{text}");
        }
    }
}
