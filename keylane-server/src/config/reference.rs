//! The reference page, written from the tables of keys.

use std::fmt::Write as _;

use super::file::{self, Config};
use super::keys::{Absent, Key, Takes};
use super::scalar;

impl Config {
    /// The tables of `docs/reference/configuration.md`: one section per block, one row per key.
    pub fn reference_markdown() -> String {
        let mut page = String::new();
        section(&mut page, "", file::KEYS);
        page
    }

    /// The full name of every key, such as `pipelines.NAME.apply.threads`, with its default where it has one.
    pub fn keys() -> Vec<(String, Option<&'static str>)> {
        let mut keys = Vec::new();
        collect(&mut keys, "", file::KEYS);
        keys
    }
}

/// The full name of every key of a table.
pub(super) fn paths(keys: &'static [Key]) -> Vec<String> {
    let mut all = Vec::new();
    collect(&mut all, "", keys);
    all.into_iter().map(|(path, _)| path).collect()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn inner(path: &str, key: &Key) -> Option<(String, &'static [Key])> {
    let path = join(path, key.name);
    match key.takes {
        Takes::Block(keys) => Some((path, keys)),
        Takes::Blocks(keys) => Some((format!("{path}[]"), keys)),
        Takes::Each(name, keys) => Some((join(&path, name), keys)),
        _ => None,
    }
}

fn collect(into: &mut Vec<(String, Option<&'static str>)>, path: &str, keys: &'static [Key]) {
    for key in keys {
        let default = match key.absent {
            Absent::Default(default) => Some(default),
            Absent::Required | Absent::Means(_) => None,
        };
        into.push((join(path, key.name), default));
        if let Some((path, keys)) = inner(path, key) {
            collect(into, &path, keys);
        }
    }
}

/// The tables of keys of a definition, for a guide: one section per block, one row per key, under this title.
pub(super) fn guide(title: &str, keys: &'static [Key]) -> String {
    let mut page = String::new();
    section(&mut page, "", keys);
    page.replace("## The file", &format!("## {title}"))
        .replace("## ", "#### ")
}

/// Writing to a `String` cannot fail, so the results are dropped.
pub(super) fn section(page: &mut String, path: &str, keys: &'static [Key]) {
    if path.is_empty() {
        page.push_str("## The file\n\n");
    } else {
        let _ = writeln!(page, "## `{path}`\n");
    }
    page.push_str("| key | takes | when absent | meaning |\n|---|---|---|---|\n");
    for key in keys {
        let absent = match key.absent {
            Absent::Required => "**required**".to_owned(),
            Absent::Default(default) => format!("`{default}`"),
            Absent::Means(what) => what.to_owned(),
        };
        let takes = cell(&takes_in_words(&key.takes));
        let _ = writeln!(
            page,
            "| `{}` | {takes} | {} | {} |",
            join(path, key.name),
            cell(&absent),
            cell(key.means)
        );
    }
    page.push('\n');
    for key in keys {
        if let Some((path, keys)) = inner(path, key) {
            section(page, &path, keys);
        }
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// What a key takes, for a person: used by the page and by error messages.
pub(super) fn takes_in_words(takes: &Takes) -> String {
    match takes {
        Takes::Count { min, max } if min == max => format!("the number {min}"),
        Takes::Count { min, max } => format!("a whole number from {min} to {max}"),
        Takes::CountOr { min, max, word } => {
            format!("a whole number from {min} to {max}, or `{word}`")
        }
        Takes::PowerOfTwo { min, max } => format!("a power of two from {min} to {max}"),
        Takes::Bytes { min, max } => {
            let (min, max) = (scalar::show_bytes(*min), scalar::show_bytes(*max));
            format!("a size from {min} to {max}")
        }
        Takes::Duration { min_ms, max_ms } => {
            let (min, max) = (
                scalar::show_duration(*min_ms),
                scalar::show_duration(*max_ms),
            );
            format!("a duration from {min} to {max}")
        }
        Takes::Flag => "true or false".to_owned(),
        Takes::Word([only]) => format!("only `{only}` so far"),
        Takes::Word(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(" or ")
        }
        Takes::Text(what) | Takes::Secret(what) => (*what).to_owned(),
        Takes::Texts(what) => format!("a list of {what}"),
        Takes::Named(what) => format!("a block of {what}"),
        Takes::Block(_) => "a block".to_owned(),
        Takes::Blocks(_) => "a list of blocks".to_owned(),
        Takes::Each(name, _) => format!("a block with one block per {name}"),
    }
}
