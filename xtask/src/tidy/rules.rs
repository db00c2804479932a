//! The rules, each a function from files to findings.

use super::blank::code_only;
use super::codes;
use super::functions::functions;
use super::tree::{self, SourceFile};
use crate::report::{Outcome, TaskResult};
use std::path::Path;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const README_LINES_MAX: usize = 80;
const ROOMLESS: [&str; 7] = [
    "utils", "util", "common", "helpers", "helper", "types", "misc",
];

/// Prints every breach, then whether there was one.
pub(crate) fn run(root: &Path) -> TaskResult {
    let files = tree::read(root)?;
    let mut findings: Vec<String> = files.iter().flat_map(of_file).collect();
    findings.extend(codes::findings(&files));
    findings.extend(files.iter().flat_map(|file| dead_links(root, file)));
    for finding in &findings {
        eprintln!("{finding}");
    }
    eprintln!("{} files, {} findings", files.len(), findings.len());
    Ok(Outcome::from(findings.is_empty()))
}

fn of_file(file: &SourceFile) -> Vec<String> {
    let mut findings = betrayals(file);
    if file.is_rust() {
        let code = code_only(&file.text);
        findings.extend(size(file, FILE_LINES_MAX));
        findings.extend(opening(file));
        findings.extend(module_names(file, &code));
        findings.extend(attributes(file, &code));
        findings.extend(long_functions(file, &code));
        findings.extend(logic_in_index(file, &code));
    }
    if file.path == "README.md" {
        findings.extend(size(file, README_LINES_MAX));
    }
    findings
}

fn size(file: &SourceFile, lines_max: usize) -> Option<String> {
    let lines = file.lines();
    (lines > lines_max).then(|| format!("{}: {lines} lines, at most {lines_max}", file.path))
}

fn opening(file: &SourceFile) -> Option<String> {
    let opens = file.text.starts_with("//!");
    (!opens).then(|| format!("{}:1: does not open with //! what it promises", file.path))
}

fn module_names(file: &SourceFile, code: &str) -> Vec<String> {
    let stem = file.path.trim_end_matches(".rs");
    let by_path = stem.split('/').filter(|part| ROOMLESS.contains(part));
    let inline = ROOMLESS
        .iter()
        .filter(|name| code.contains(&format!("mod {name} {{")))
        .copied();
    by_path
        .chain(inline)
        .map(|name| format!("{}: {name} names no room; say what is in it", file.path))
        .collect()
}

fn attributes(file: &SourceFile, code: &str) -> Vec<String> {
    let rules = [
        ("#[ignore", "a test is run or removed"),
        ("#[allow(", "use #[expect(lint, reason = …)]"),
        ("#![allow(", "use #![expect(lint, reason = …)]"),
    ];
    let lines = code.lines().zip(1_usize..);
    lines
        .flat_map(|(line, number)| {
            rules
                .iter()
                .filter(move |(word, _)| line.contains(word))
                .map(move |(word, remedy)| format!("{}:{number}: {word}: {remedy}", file.path))
        })
        .collect()
}

fn long_functions(file: &SourceFile, code: &str) -> Vec<String> {
    functions(code)
        .into_iter()
        .filter(|function| function.lines > FUNCTION_LINES_MAX)
        .map(|function| {
            format!(
                "{}:{}: fn {} has {} lines, at most {FUNCTION_LINES_MAX}",
                file.path, function.line, function.name, function.lines
            )
        })
        .collect()
}

/// `mod.rs` and `lib.rs` are a room's door: docs and re-exports.
fn logic_in_index(file: &SourceFile, code: &str) -> Option<String> {
    let index = file.path.ends_with("/mod.rs") || file.path.ends_with("src/lib.rs");
    let first = functions(code).into_iter().next().filter(|_| index)?;
    Some(format!(
        "{}:{}: fn {}: only docs and re-exports stand here",
        file.path, first.line, first.name
    ))
}

/// Paths of somebody's machine and numbers of somebody's list mean nothing to a reader.
fn betrayals(file: &SourceFile) -> Vec<String> {
    // Spelled in halves, so that this file passes.
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("issue", " #"),
    ];
    let lines = file.text.lines().zip(1_usize..);
    lines
        .flat_map(|(line, number)| {
            words
                .iter()
                .filter(move |word| line.contains(*word))
                .map(move |word| format!("{}:{number}: {word} means nothing here", file.path))
        })
        .collect()
}

/// Links of documents to files that are not there.
fn dead_links(root: &Path, file: &SourceFile) -> Vec<String> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let folder = root.join(&file.path);
    let folder = folder.parent().unwrap_or(root);
    let targets = file.text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ', '\n']).next()?;
        let target = target.split('#').next()?;
        let outside = target.is_empty() || target.contains(':');
        (!outside).then_some(target)
    });
    targets
        .filter(|target| !folder.join(target).exists())
        .map(|target| format!("{}: the link to {target} leads nowhere", file.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{SourceFile, of_file};

    fn check(path: &str, text: &str, expect: &[&str]) {
        let file = SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        assert_eq!(of_file(&file), expect);
    }

    #[test]
    fn each_rule_finds_its_breach() {
        check("a/src/b.rs", "//! B.\nfn b() {}\n", &[]);
        check(
            "a/src/b.rs",
            "fn b() {}",
            &["a/src/b.rs:1: does not open with //! what it promises"],
        );
        check(
            "a/src/utils/b.rs",
            "//! B.",
            &["a/src/utils/b.rs: utils names no room; say what is in it"],
        );
        check(
            "a/src/b.rs",
            "//! B.\n#[allow(dead_code)]\n// #[ignore]\n",
            &["a/src/b.rs:2: #[allow(: use #[expect(lint, reason = …)]"],
        );
        check(
            "a/src/mod.rs",
            "//! B.\nfn b() {}",
            &["a/src/mod.rs:2: fn b: only docs and re-exports stand here"],
        );
    }

    #[test]
    fn sizes_have_a_bound() {
        let long_function = format!("//! B.\nfn b() {{\n{}}}\n", "x();\n".repeat(69));
        check(
            "a/src/b.rs",
            &long_function,
            &["a/src/b.rs:2: fn b has 71 lines, at most 70"],
        );
        let long_file = format!("//! B.\n{}", "use a;\n".repeat(500));
        check(
            "a/src/b.rs",
            &long_file,
            &["a/src/b.rs: 501 lines, at most 500"],
        );
        check(
            "README.md",
            &"x\n".repeat(81),
            &["README.md: 81 lines, at most 80"],
        );
    }
}
