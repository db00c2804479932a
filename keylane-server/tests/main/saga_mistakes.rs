//! Every mistake of a definition as it is told, and the pages of its codes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use keylane_server::config::{Code, ConfigError, SagaCode, load_saga};

use crate::config::check_golden;
use crate::saga_definitions::{golden_dir, repository};

fn mistakes() -> Vec<PathBuf> {
    yaml_files(&golden_dir())
}

/// The definitions of a folder, in order.
pub(crate) fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the golden directory")
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_mistake_of_a_definition_is_told_as_recorded_and_shows_no_secret() {
    let load = |path: &Path| load_saga(path).map(drop);
    let codes = check_mistakes(&mistakes(), load);
    let all = SagaCode::all().into_iter().map(Code::Saga);
    let missing: Vec<_> = all.filter(|code| !codes.contains(code)).collect();
    assert!(missing.is_empty(), "without a golden mistake: {missing:?}");
}

/// Every mistake of these files is told as it is recorded beside each; the codes of all.
pub(crate) fn check_mistakes(
    files: &[PathBuf],
    load: impl Fn(&Path) -> Result<(), ConfigError>,
) -> BTreeSet<Code> {
    let mut faults = Vec::new();
    let mut codes = BTreeSet::new();
    for path in files {
        let Err(error) = load(path) else {
            faults.push(format!("{} is right", path.display()));
            continue;
        };
        codes.extend(error.problems().iter().map(|problem| problem.code));
        let folder = path.parent().expect("a folder");
        let shown = error.to_string();
        let shown = shown.replace(&format!("{}/", folder.display()), "");
        if shown.contains("hunter2") {
            faults.push(format!("{} prints a secret:\n{shown}", path.display()));
        }
        faults.extend(check_golden(&path.with_extension("out"), &shown).err());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    codes
}

#[test]
fn every_code_has_a_page_with_a_mistake_as_it_is_told() {
    let codes: Vec<&str> = SagaCode::all().into_iter().map(SagaCode::as_str).collect();
    check_pages(&codes, &mistakes());
}

/// Each code has a page, with a mistake that is told so of one of these files.
pub(crate) fn check_pages(codes: &[&str], files: &[PathBuf]) {
    let told: String = files
        .iter()
        .map(|path| fs::read_to_string(path.with_extension("out")).expect("a golden file"))
        .collect();
    for code in codes {
        let path = repository().join(format!("docs/errors/{code}.md"));
        let page = fs::read_to_string(&path).unwrap_or_default();
        assert!(page.starts_with(&format!("# {code}: ")), "{code}: no title");
        for part in ["## What happened", "## Why", "## What to do", "## Example"] {
            assert!(page.contains(part), "{code} has no '{part}'");
        }
        let of_code = format!("error[{code}]: ");
        let examples = page.lines().filter_map(|line| line.split_once(&of_code));
        let examples: Vec<&str> = examples.map(|(_, message)| message).collect();
        assert!(!examples.is_empty(), "{code} has no example");
        for message in examples {
            assert!(told.contains(message), "{code}: nothing tells '{message}'");
        }
    }
}
