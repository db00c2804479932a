//! Texts as Slack takes them: escaped, cut, and without marks of their own.

/// Escapes `&`, `<` and `>`, by which Slack begins links, mentions and commands. Line breaks and other control characters become blanks.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// As code, so that no `_` or `*` in a name changes the writing. A backtick would end it.
pub(super) fn code(text: &str, chars_max: usize) -> String {
    let plain = text.replace('`', "\u{2bc}");
    format!("`{}`", cut(&escaped(&plain), chars_max.saturating_sub(2)))
}

/// An escaped text in at most so many characters. A cut is marked, and never in the middle of an escape.
pub(super) fn cut(escaped: &str, chars_max: usize) -> String {
    if escaped.chars().count() <= chars_max {
        return escaped.to_owned();
    }
    let room = chars_max.saturating_sub(1);
    let end = escaped
        .char_indices()
        .nth(room)
        .map_or(escaped.len(), |(place, _)| place);
    let mut head = escaped.get(..end).unwrap_or_default();
    if let Some(place) = head.rfind('&')
        && head.get(place..).is_some_and(|tail| !tail.contains(';'))
    {
        head = head.get(..place).unwrap_or_default();
    }
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slack_reads_as_its_own_is_escaped() {
        assert_eq!(escaped("a<!channel> & b"), "a&lt;!channel&gt; &amp; b");
        assert_eq!(escaped("a\nb\u{0}c"), "a b c");
        assert_eq!(code("a_b`c*", 99), "`a_b\u{2bc}c*`");
    }

    #[test]
    fn a_cut_is_marked_and_leaves_no_half_of_an_escape() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd…");
        assert_eq!(cut("ab&amp;cd", 6), "ab…");
        assert_eq!(cut("ab&amp;cd", 8), "ab&amp;…");
        assert_eq!(cut("éééé", 3), "éé…");
        assert_eq!(code(&"x".repeat(99), 10).chars().count(), 10);
    }
}
