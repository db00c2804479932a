//! From a breach of a rule to a place in the file.

use keylane_core::saga::{Choreography, ChoreographyFinding, ChoreographyRule};

use crate::config::code::Code;
use crate::config::issue::Issue;
use crate::config::saga::{fit, item, span, step_path};
use crate::config::source::Source;
use crate::config::tree::Node;

/// The finding as a mistake of the file.
pub(super) fn issue(
    source: &Source<'_>,
    root: &Node,
    choreography: &Choreography,
    finding: &ChoreographyFinding,
) -> Issue {
    let node = finding.step.and_then(|at| item(root, at));
    let field = finding.field;
    let message = match (finding.step, node) {
        (Some(at), Some(node)) => {
            format!("{}.{field}: {}", step_path(at, node), finding.what)
        }
        _ => format!("{field}: {}", finding.what),
    };
    let place = span(source, node.unwrap_or(root), field, finding.part.as_deref());
    let code = Code::Choreography(finding.rule);
    let issue = Issue::new(code, place, fit(&message), fit(&finding.fix));
    match (&finding.part, finding.rule) {
        (Some(part), ChoreographyRule::NobodyTells) => {
            let told = choreography.steps.iter().flat_map(|step| &step.emits);
            let told = told.chain(&choreography.begins).map(String::as_str);
            issue.suggest(part, told)
        }
        (Some(part), ChoreographyRule::BeginsNothing) => {
            let heard = choreography.steps.iter().flat_map(|step| &step.consumes);
            let others = heard.map(String::as_str).filter(|it| it != part);
            issue.suggest(part, others)
        }
        _ => issue,
    }
}
