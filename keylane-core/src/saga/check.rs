//! The static rules: a definition that could not be undone, or would never end, is refused before anything runs. All breaches are told, not only the first.

use super::definition::{Definition, Step, StepKind};
use super::plan::{Graph, Plan};

mod rule;
pub use rule::Rule;

mod figures;

/// Of the steps that one waits for in a circle, so many are named.
const CIRCLING_TOLD_MAX: usize = 5;

/// Where in a definition. A parser keeps the line of each, so that a finding can name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The step, by its place from 0; `None`: the definition itself.
    pub step: Option<usize>,
    /// The field, by its name in [`Definition::to_json`].
    pub field: &'static str,
}

/// A breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Where.
    pub place: Place,
    /// The step's name, where it is one's.
    pub step: Option<String>,
    /// Which part of the field: a step of `after`, a path of `input` or `if`, a figure of `retry`; `None`: the field as a whole.
    pub part: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// Turns a definition into what can be driven.
///
/// # Errors
/// Every breach of every rule, in the order of the steps, then of the rules.
pub fn check(definition: Definition) -> Result<Plan, Vec<Finding>> {
    let graph = Graph::of(&definition);
    let mut checker = Checker {
        definition: &definition,
        graph: &graph,
        findings: Vec::new(),
    };
    checker.figures();
    let is_small = definition.steps.len() <= super::limits::STEPS_MAX;
    // What lies in a cycle has no before and behind, and too many steps are not looked at one by one.
    if is_small && checker.names() && checker.cycle() {
        let all_before = graph.all_before();
        checker.kinds(&all_before);
        checker.paths(&all_before);
    }
    let mut findings = checker.findings;
    if findings.is_empty() {
        return Ok(Plan::of(definition, graph));
    }
    findings.sort_by_key(|it| (it.place.step, it.rule));
    Err(findings)
}

struct Checker<'a> {
    definition: &'a Definition,
    graph: &'a Graph,
    findings: Vec<Finding>,
}

impl<'a> Checker<'a> {
    fn steps(&self) -> impl Iterator<Item = (usize, &'a Step)> + use<'a> {
        self.definition.steps.iter().enumerate()
    }

    fn find(
        &mut self,
        rule: Rule,
        step: Option<usize>,
        field: &'static str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let named = step.and_then(|place| self.definition.steps.get(place));
        self.findings.push(Finding {
            rule,
            place: Place { step, field },
            step: named.map(|step| step.id.clone()),
            part: None,
            what: what.into(),
            fix: fix.into(),
        });
    }

    /// Says which part of its field the last finding means.
    fn part(&mut self, part: impl Into<String>) {
        if let Some(finding) = self.findings.last_mut() {
            finding.part = Some(part.into());
        }
    }

    /// Whether every name means one thing.
    fn names(&mut self) -> bool {
        let found = self.findings.len();
        let mut known = std::collections::BTreeMap::new();
        for (place, step) in self.steps() {
            if let Some(first) = known.insert(&step.id, place) {
                self.find(
                    Rule::NamedTwice,
                    Some(place),
                    "id",
                    format!("step {} is there already, as number {}", step.id, first + 1),
                    "give it another id",
                );
            }
        }
        for (place, step) in self.steps() {
            for id in step.after.iter().flatten() {
                if !known.contains_key(id) {
                    self.find(
                        Rule::UnknownStep,
                        Some(place),
                        "after",
                        format!("there is no step {id}"),
                        "name a step of this saga, or leave after out to follow the step above",
                    );
                    self.part(id);
                }
            }
        }
        self.findings.len() == found
    }

    /// Whether every step can begin.
    fn cycle(&mut self) -> bool {
        let ordered: std::collections::BTreeSet<usize> = self.graph.order.iter().copied().collect();
        let circling: Vec<usize> = (0..self.definition.steps.len())
            .filter(|place| !ordered.contains(place))
            .collect();
        for place in &circling {
            let before = self.graph.before.get(*place).into_iter().flatten();
            let waits_for: Vec<&str> = before
                .filter(|earlier| !ordered.contains(earlier))
                .filter_map(|earlier| self.definition.steps.get(*earlier))
                .map(|step| step.id.as_str())
                .take(CIRCLING_TOLD_MAX)
                .collect();
            self.find(
                Rule::Cycle,
                Some(*place),
                "after",
                format!(
                    "it never begins: it waits for {}, which waits for it or for such a circle",
                    waits_for.join(", ")
                ),
                "take one of the steps out of after",
            );
        }
        circling.is_empty()
    }

    /// Compensatable, then at most one pivot, then retriable, along every path and across them.
    fn kinds(&mut self, all_before: &[Vec<bool>]) {
        let is_before = |earlier: usize, place: usize| {
            all_before
                .get(place)
                .and_then(|it| it.get(earlier))
                .is_some_and(|it| *it)
        };
        let pivot = self.steps().find(|(_, step)| step.kind == StepKind::Pivot);
        for (place, step) in self.steps() {
            match (step.kind, pivot) {
                (StepKind::Pivot, Some((first, named))) if first != place => self.find(
                    Rule::SecondPivot,
                    Some(place),
                    "kind",
                    format!("{} is the pivot already: a saga is decided once", named.id),
                    "make it compensatable before the pivot, or retriable after it",
                ),
                (StepKind::Compensatable, Some((pivot, named))) if !is_before(place, pivot) => self
                    .find(
                        Rule::UndoneAfterPivot,
                        Some(place),
                        "kind",
                        format!("pivot {} does not wait for it: it could fail when the saga may no longer go back", named.id),
                        format!("let {} come after it, or make it retriable", named.id),
                    ),
                (StepKind::Retriable, _) => {
                    let open: Vec<&str> = self
                        .steps()
                        .filter(|(other, it)| {
                            it.kind != StepKind::Retriable && !is_before(*other, place)
                        })
                        .map(|(_, it)| it.id.as_str())
                        .collect();
                    if let Some(first) = open.first() {
                        self.find(
                            Rule::RetriableTooEarly,
                            Some(place),
                            "after",
                            format!("it cannot be undone, and {first} may still fail when it runs ({} such)", open.len()),
                            format!("let it come after {first}, or make it compensatable"),
                        );
                    }
                }
                _ => {}
            }
        }
    }

    /// Paths lead into replies that are there.
    fn paths(&mut self, all_before: &[Vec<bool>]) {
        let known: std::collections::BTreeMap<&str, usize> =
            self.steps().map(|(at, it)| (it.id.as_str(), at)).collect();
        for (place, step) in self.steps() {
            let input = step.input.paths().into_iter().map(|path| ("input", path));
            let condition = step.condition.iter().flat_map(|it| it.paths());
            let paths: Vec<_> = input.chain(condition.map(|path| ("if", path))).collect();
            for (field, path) in paths {
                let Some(id) = path.step() else {
                    continue;
                };
                let earlier = known.get(id).copied();
                let before = all_before.get(place);
                let is_before = |at: usize| before.and_then(|it| it.get(at)).is_some_and(|it| *it);
                let (what, fix) = match earlier {
                    None => (
                        format!("{path}: there is no step {id}"),
                        "name an earlier step, or begin with $. for the saga's data".to_owned(),
                    ),
                    Some(at) if !is_before(at) => (
                        format!("{path}: step {id} has not ended when this one begins"),
                        format!("let it come after {id}"),
                    ),
                    Some(_) => continue,
                };
                self.find(Rule::ReplyNotThere, Some(place), field, what, fix);
                self.part(path.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests;
