//! What a snippet may show of a line when the file is not YAML, so that nothing is known to be a secret or not.
//!
//! Shown are Keylane's own key names, the values of those that never hold a secret, a word that alone opens a block, and
//! YAML's marks. Everything else is masked.

use super::file;
use super::keys::{Key, Takes};

/// The columns of line `number` (from 1, end exclusive) to mask.
pub(super) fn masks(text: &str, number: u32) -> Vec<(u32, u32)> {
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    let Some(line) = index.checked_sub(1).and_then(|at| text.lines().nth(at)) else {
        return Vec::new();
    };
    let hidden_by_indent = inside_secret_block(text, index);
    let words = words(line);
    let opens_block = words.len() == 1 && line.trim_end().ends_with(':');
    let mut value_may_show = false;
    let mut masks = Vec::new();
    for word in words {
        let known = known_keys(word.text);
        let shown = if hidden_by_indent {
            false
        } else if word.is_before_colon && known.is_some() {
            value_may_show = known == Some(Showing::KeyAndValue);
            true
        } else if word.is_before_colon {
            value_may_show = false;
            opens_block
        } else {
            value_may_show || is_mark(word.text)
        };
        if !shown {
            masks.push((word.from, word.to));
        }
    }
    masks
}

/// A run of characters between blanks and YAML's separators.
struct Word<'l> {
    text: &'l str,
    from: u32,
    to: u32,
    is_before_colon: bool,
}

fn words(line: &str) -> Vec<Word<'_>> {
    let is_separator = |c: char| c.is_whitespace() || "[]{},:\"'".contains(c);
    let mut words = Vec::new();
    let mut column = 1_u32;
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        if is_separator(first) {
            column = column.saturating_add(1);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        let end = rest.find(is_separator).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        let chars = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let to = column.saturating_add(chars);
        let quote: &[char] = &['"', '\''];
        let is_before_colon = after.trim_start_matches(quote).starts_with(':');
        words.push(Word {
            text,
            from: column,
            to,
            is_before_colon,
        });
        column = to;
        rest = after;
    }
    words
}

fn is_mark(text: &str) -> bool {
    matches!(text, "-" | "|" | ">" | "*" | "&" | "#" | "?" | "!" | "---")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Showing {
    Key,
    KeyAndValue,
}

/// Whether this is a key's name, and whether every key of this name has values that may be shown.
fn known_keys(name: &str) -> Option<Showing> {
    fn visit(keys: &'static [Key], name: &str, found: &mut Option<Showing>) {
        for key in keys {
            if key.name == name {
                let showing = if key.takes.is_never_secret() && *found != Some(Showing::Key) {
                    Showing::KeyAndValue
                } else {
                    Showing::Key
                };
                *found = Some(showing);
            }
            if let Takes::Block(inner) | Takes::Blocks(inner) | Takes::Each(_, inner) = key.takes {
                visit(inner, name, found);
            }
        }
    }
    let mut found = None;
    visit(file::KEYS, name, &mut found);
    found
}

/// Names under which whole blocks of text are hidden.
const SECRET_WORDS: [&str; 8] = [
    "password", "passwd", "secret", "token", "jaas", "sasl.", "ssl.", "url",
];

/// Whether line `number` continues a value that began under a key with a secret's name on an earlier line.
fn inside_secret_block(text: &str, number: usize) -> bool {
    let mut secret_at: Option<usize> = None;
    for line in text.lines().take(number.saturating_sub(1)) {
        if line.trim().is_empty() {
            continue;
        }
        let indent = indent_of(line);
        if secret_at.is_none_or(|at| indent <= at) {
            let lower = line.to_ascii_lowercase();
            let sounds_secret = SECRET_WORDS.iter().any(|word| lower.contains(word));
            secret_at = sounds_secret.then_some(indent);
        }
    }
    let line = text.lines().nth(number.saturating_sub(1));
    let indent = line.map_or(0, indent_of);
    secret_at.is_some_and(|at| indent > at)
}

fn indent_of(line: &str) -> usize {
    line.chars().take_while(|c| c.is_whitespace()).count()
}
