//! What a definition comes to, and what is wrong with one, for scripts.

use keylane_core::saga::{Plan, StepKind};
use serde_json::{Value, json};

use super::turns::{self, Turns};
use crate::config::{ConfigError, Problem};

/// A file that is right.
pub fn plan_wire(file: &str, plan: &Plan) -> Value {
    let definition = plan.definition();
    let mut steps = definition.steps.iter();
    let pivot = steps.find(|step| step.kind == StepKind::Pivot);
    json!({
        "file": file,
        "ok": true,
        "saga": definition.name,
        "version": definition.version,
        "hash": format!("{:016x}", plan.hash()),
        "steps": definition.steps.len(),
        "pivot": pivot.map(|step| &step.id),
        "forward": ids(&turns::forward(plan)),
        "back": ids(&turns::back(plan)),
        "findings": [],
    })
}

fn ids(turns: &Turns<'_>) -> Vec<Vec<String>> {
    let ids = turns
        .iter()
        .map(|steps| steps.iter().map(|step| step.id.clone()).collect());
    ids.collect()
}

/// A file that is wrong, or cannot be read; line and column are null where the whole file is meant.
pub fn mistakes_wire(error: &ConfigError) -> Value {
    let findings: Vec<Value> = error.problems().iter().map(finding).collect();
    json!({ "file": error.file(), "ok": false, "findings": findings })
}

fn finding(problem: &Problem) -> Value {
    let place = |number: u32| (number > 0).then_some(number);
    json!({
        "code": problem.code.as_str(),
        "line": place(problem.line),
        "column": place(problem.column),
        "message": problem.message,
        "did_you_mean": problem.did_you_mean,
        "fix": problem.remedy,
    })
}
