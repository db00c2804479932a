//! From a file to a plan, or to all that is wrong with it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keylane_core::saga::{Plan, check};

use super::{definition, findings};
use crate::config::code::Code;
use crate::config::error::ConfigError;
use crate::config::file::{Expected, PROBLEMS_MAX, read_text};
use crate::config::issue::Issue;
use crate::config::reader::Reader;
use crate::config::source::{Source, Span};
use crate::config::tree::{self, Node, Tree, Value};

const EXPECTED: Expected = Expected {
    missing: "name a file that holds the definition of a saga",
    too_large: "check that this is the definition of a saga: it has 2,000 steps at most",
    what: "the definition of a saga",
};

/// Which kind of saga a file defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    Orchestration,
    Choreography,
}

/// Reads and checks a definition.
///
/// # Errors
/// Everything that is wrong with it, ready to print.
pub fn load_saga(path: &Path) -> Result<Plan, ConfigError> {
    load(path, parse_saga)
}

/// Checks a definition's text; `file` is what messages call it.
///
/// # Errors
/// Everything that is wrong with it, ready to print.
pub fn parse_saga(text: &str, file: &str) -> Result<Plan, ConfigError> {
    parse(text, file, |reader, root| {
        match is_kind(reader, root, Kind::Orchestration) {
            true => plan(reader, root),
            false => None,
        }
    })
}

/// Reads a file and makes something of its text.
pub(in crate::config) fn load<T>(
    path: &Path,
    parse: impl FnOnce(&str, &str) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    let file = path.display().to_string();
    match read_text(path, &EXPECTED) {
        Ok(text) => parse(&text, &file),
        Err(issue) => Err(ConfigError {
            file,
            problems: vec![issue.into_problem(None, None)],
        }),
    }
}

/// Makes something of a text, or tells everything that `read` reports.
pub(in crate::config) fn parse<T>(
    text: &str,
    file: &str,
    read: impl FnOnce(&Reader<'_>, &Node) -> Option<T>,
) -> Result<T, ConfigError> {
    let source = Source { text };
    let error = |problems| ConfigError {
        file: file.to_owned(),
        problems,
    };
    let mut issues = Vec::new();
    let tree = tree::parse(text, &mut issues).map_err(|issue| {
        // Where no value is known for what it is, only the look of a line tells whether it may be shown.
        let masked = (!holds_login(text)).then_some(&[][..]);
        error(vec![issue.into_problem(Some(&source), masked)])
    })?;
    let reader = Reader {
        source,
        dir: PathBuf::new(),
        lookup: None,
        issues: RefCell::new(issues),
        shown: RefCell::new(Vec::new()),
    };
    let root = tree.root.as_ref().filter(|root| !root.is_null());
    let read = root.and_then(|root| read(&reader, root));
    let mut issues = reader.issues.into_inner();
    if let Some(read) = read.filter(|_| issues.is_empty()) {
        return Ok(read);
    }
    if issues.is_empty() {
        issues.push(Issue::whole_file(
            Code::FileRefused,
            "the file holds no definition",
            "write one: 'saga: NAME', 'version: 1' and 'steps:' with at least one step",
        ));
    }
    issues.sort_by_key(|issue| issue.span);
    issues.truncate(PROBLEMS_MAX);
    let masked = masked(text, &tree);
    let problem = |issue: Issue| issue.into_problem(Some(&reader.source), Some(&masked));
    Err(error(issues.into_iter().map(problem).collect()))
}

/// The kind of saga that a file defines, if it says so.
pub(in crate::config) fn kind(root: &Node) -> Option<Kind> {
    match (root.entry("saga"), root.entry("choreography")) {
        (Some(_), _) => Some(Kind::Orchestration),
        (None, Some(_)) => Some(Kind::Choreography),
        (None, None) => None,
    }
}

/// Whether a file is of a kind, as far as it says so; if not, that is reported.
pub(in crate::config) fn is_kind(reader: &Reader<'_>, root: &Node, wanted: Kind) -> bool {
    let (name, what, list) = match kind(root) {
        None => return true,
        Some(kind) if kind == wanted => return true,
        Some(Kind::Orchestration) => ("saga", "a saga that is driven", "saga.definitions"),
        Some(Kind::Choreography) => (
            "choreography",
            "a saga that nobody drives",
            "saga.choreographies",
        ),
    };
    let span = root.entry(name).map_or(root.span, |entry| entry.key_span);
    let message = format!("{name}: this file defines {what}");
    let remedy = format!("name it under {list}");
    reader.report(Issue::new(Code::Conflict, span, message, remedy));
    false
}

/// The plan, if there is one; every mistake is reported.
pub(in crate::config) fn plan(reader: &Reader<'_>, root: &Node) -> Option<Plan> {
    let draft = definition::read(reader, root).ok()?;
    match check(draft.definition.clone()) {
        Ok(plan) => Some(plan),
        Err(found) => {
            let own = found.iter().filter(|it| findings::is_meant(it, &draft));
            for finding in own {
                reader.report(findings::issue(&reader.source, root, finding));
            }
            None
        }
    }
}

/// Whether a text looks as if it had an address with a user or a password in it.
pub(super) fn holds_login(text: &str) -> bool {
    text.contains("://") && text.contains('@')
}

/// What snippets hide: values that look as if they had a password in them, and what shares a line with one.
fn masked(text: &str, tree: &Tree) -> Vec<Span> {
    let mut masked = BTreeSet::new();
    if !holds_login(text) {
        return Vec::new();
    }
    if let Some(root) = &tree.root {
        logins(root, &mut masked);
    }
    let suspect: BTreeSet<u32> = (1_u32..)
        .zip(text.lines())
        .filter_map(|(number, line)| holds_login(line).then_some(number))
        .collect();
    let on_suspect = |span: &&Span| {
        suspect
            .range(span.start.line..=span.end.line)
            .next()
            .is_some()
    };
    masked.extend(tree.values.iter().filter(on_suspect));
    masked.into_iter().collect()
}

fn logins(node: &Node, into: &mut BTreeSet<Span>) {
    match &node.value {
        Value::Scalar(scalar) if holds_login(&scalar.text) => {
            into.insert(node.span);
        }
        Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(|item| logins(item, into)),
        Value::Map(entries) => entries.iter().for_each(|entry| logins(&entry.node, into)),
    }
}
