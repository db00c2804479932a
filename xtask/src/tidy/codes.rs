//! Error codes and their pages: each `KL-AREA-NNN` in the source has a page, and each page a code.

use super::tree::SourceFile;
use std::collections::{BTreeMap, BTreeSet};

const PAGES: &str = "docs/errors/";

/// What is wrong, one line each. Nothing is asked as long as there are no pages at all.
pub(crate) fn findings(files: &[SourceFile]) -> Vec<String> {
    let pages: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix(PAGES)?.strip_suffix(".md"))
        .filter(|name| name.starts_with("KL-"))
        .collect();
    if pages.is_empty() {
        return Vec::new();
    }
    let mut used: BTreeMap<&str, &str> = BTreeMap::new();
    for file in files.iter().filter(|file| ships(file)) {
        for code in codes(&file.text) {
            used.entry(code).or_insert(&file.path);
        }
    }
    let unexplained = used.iter().filter(|(code, _)| !pages.contains(*code));
    let unused = pages.iter().filter(|page| !used.contains_key(*page));
    unexplained
        .map(|(code, path)| format!("{path}: {code} has no page {PAGES}{code}.md"))
        .chain(unused.map(|page| format!("{PAGES}{page}.md: no source names {page}")))
        .collect()
}

fn ships(file: &SourceFile) -> bool {
    file.is_rust() && !file.path.contains("tests/") && !file.path.starts_with("xtask/")
}

/// Every `KL-AREA-NNN` in `text`.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("KL-").filter_map(|(place, _)| {
        let rest = text.get(place..)?;
        let end = rest
            .find(|letter: char| {
                !(letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '-')
            })
            .unwrap_or(rest.len());
        let code = rest.get(..end)?;
        let (area, number) = code.strip_prefix("KL-")?.rsplit_once('-')?;
        let whole = number.len() == 3 && number.bytes().all(|digit| digit.is_ascii_digit());
        (whole && !area.is_empty()).then_some(code)
    })
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, findings};

    fn check(files: &[(&str, &str)], expect: &[&str]) {
        let files: Vec<SourceFile> = files
            .iter()
            .map(|(path, text)| SourceFile {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        assert_eq!(findings(&files), expect);
    }

    #[test]
    fn a_code_and_its_page_come_together() {
        let source = ("a/src/lib.rs", r#"x("KL-CAPTURE-004: …") // KL-APPLY-1"#);
        check(&[source], &[]);
        check(&[source, ("docs/errors/KL-CAPTURE-004.md", "")], &[]);
        check(
            &[source, ("docs/errors/KL-APPLY-001.md", "")],
            &[
                "a/src/lib.rs: KL-CAPTURE-004 has no page docs/errors/KL-CAPTURE-004.md",
                "docs/errors/KL-APPLY-001.md: no source names KL-APPLY-001",
            ],
        );
    }
}
