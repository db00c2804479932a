//! From a breach of a rule to a place in the file: the step, the field, and the part of the field that is meant.

use keylane_core::saga::{Finding, Rule};

use super::code::SagaCode;
use super::definition::Draft;
use super::participant::WAYS;
use super::step::{self, UNKNOWN};
use crate::config::code::Code;
use crate::config::issue::Issue;
use crate::config::source::{Source, Span};
use crate::config::tree::{Node, Value};

/// Whether a finding is the file's own, and does not come of what stands where something could not be read.
pub(super) fn is_meant(finding: &Finding, draft: &Draft) -> bool {
    let Some(unread) = finding.place.step.and_then(|at| draft.unread.get(at)) else {
        return true;
    };
    let read = |fields: &[&str]| fields.iter().all(|field| !unread.contains(field));
    let all_have = |field: &str| draft.unread.iter().all(|it| !it.contains(field));
    match finding.rule {
        Rule::Name | Rule::Retry | Rule::Times | Rule::NamedTwice | Rule::StepCount => {
            read(&[finding.place.field])
        }
        Rule::UnknownStep => read(&["after"]) && all_have("id"),
        Rule::UndoMissing => read(&["kind", "undo", UNKNOWN]),
        Rule::UndoNeverUsed => read(&["kind", "undo"]),
        Rule::RetriableGivenUp => read(&["kind", "timeout_ms", "retry"]),
        Rule::NeverGivenUp => read(&["kind", "timeout_ms", "retry", UNKNOWN]),
        Rule::Cycle => ["id", "after", UNKNOWN].into_iter().all(all_have),
        Rule::SecondPivot
        | Rule::UndoneAfterPivot
        | Rule::RetriableTooEarly
        | Rule::ReplyNotThere => ["id", "kind", "after", UNKNOWN].into_iter().all(all_have),
    }
}

/// The finding as a mistake of the file.
pub(super) fn issue(source: &Source<'_>, root: &Node, finding: &Finding) -> Issue {
    let node = finding.place.step.and_then(|at| item(root, at));
    let field = finding.place.field;
    let message = match (finding.place.step, node) {
        (Some(at), Some(node)) => format!("{}.{field}: {}", step::path(at, node), finding.what),
        _ => format!("{field}: {}", finding.what),
    };
    let holder = node.unwrap_or(root);
    let span = span(source, holder, field, finding.part.as_deref());
    let code = Code::Saga(SagaCode::Rule(finding.rule));
    Issue::new(code, span, fit(&message), fit(&finding.fix))
}

pub(in crate::config) fn item(root: &Node, at: usize) -> Option<&Node> {
    match &root.entry("steps")?.node.value {
        Value::List(items) => items.get(at),
        Value::Scalar(_) | Value::Map(_) => None,
    }
}

/// Where a field stands; where it is not written, the step's name.
pub(in crate::config) fn span(
    source: &Source<'_>,
    holder: &Node,
    field: &str,
    part: Option<&str>,
) -> Span {
    let written = |name: &str| holder.entry(name).filter(|entry| !entry.node.is_null());
    let entry = match field {
        "participant" => WAYS.into_iter().find_map(written),
        _ => by_either_name(holder, field),
    };
    match entry {
        Some(entry) => part
            .and_then(|part| within(source, &entry.node, part))
            .unwrap_or(entry.node.span),
        None => written("id").map_or(holder.span, |entry| entry.node.span),
    }
}

/// A key by its canonical name, or by the one that takes a unit.
fn by_either_name<'n>(node: &'n Node, name: &str) -> Option<&'n crate::config::tree::Entry> {
    let with_unit = name.strip_suffix("_ms").unwrap_or(name);
    let mut entries = [name, with_unit]
        .into_iter()
        .filter_map(|it| node.entry(it));
    entries.find(|entry| !entry.node.is_null())
}

/// Where a part stands within a field.
fn within(source: &Source<'_>, node: &Node, part: &str) -> Option<Span> {
    match &node.value {
        Value::Scalar(scalar) if scalar.text == part => Some(node.span),
        Value::Scalar(scalar) if scalar.text.contains(part) => {
            Some(source.locate(node.span, part)).filter(|span| *span != node.span)
        }
        Value::Scalar(_) => None,
        Value::List(items) => items.iter().find_map(|item| within(source, item, part)),
        Value::Map(entries) => by_either_name(node, part)
            .map(|entry| entry.node.span)
            .or_else(|| {
                let mut nodes = entries.iter().map(|entry| &entry.node);
                nodes.find_map(|node| within(source, node, part))
            }),
    }
}

/// A sentence that may quote the file, made fit to print: bounded, without control characters.
pub(in crate::config) fn fit(text: &str) -> String {
    const CHARACTERS_MAX: usize = 400;
    let mut fit: String = text
        .chars()
        .take(CHARACTERS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        fit.push('…');
    }
    fit
}
