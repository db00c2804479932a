//! Findings as SARIF 2.1.0 (OASIS), which code hosts and editors show.

use keylane_core::topics::lint::{Finding, Lint, Report};
use serde_json::{Value, json};

use super::findings::severity_name;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// One run. What could not be judged stands among the tool's notifications; `config` is the file that findings about pipelines point at.
pub fn sarif(report: &Report, config: Option<&str>) -> Value {
    let rules = Lint::ALL.map(|rule| {
        let about = rule.about();
        json!({
            "id": about.id,
            "name": pascal(about.title),
            "shortDescription": {"text": about.title},
            "fullDescription": {"text": about.why},
            "defaultConfiguration": {"level": severity_name(about.severity)},
        })
    });
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| result(finding, config))
        .collect();
    let notifications = report.unjudged.iter().map(|it| {
        let text = format!("not judged; would need {}", it.needs.join("; "));
        json!({"level": "note", "message": {"text": text}, "associatedRule": {"id": it.rule.about().id}})
    });
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "keylane topics lint", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "invocations": [{"executionSuccessful": true, "toolExecutionNotifications": notifications.collect::<Vec<_>>()}],
            "results": results,
        }],
    })
}

fn result(finding: &Finding, config: Option<&str>) -> Value {
    let index = Lint::ALL.iter().position(|rule| *rule == finding.rule);
    let text = format!("{}: {}. {}", finding.subject, finding.evidence, finding.fix);
    let mut location = json!({
        "logicalLocations": [{"fullyQualifiedName": finding.subject, "kind": "resource"}],
    });
    // A client is called as its file, a pipeline stands in the configuration.
    let file = match finding.subject.split_once(' ') {
        Some(("client", file)) => Some(file),
        Some(("pipeline" | "table", _)) => config,
        _ => None,
    };
    if let (Some(file), Some(fields)) = (file, location.as_object_mut()) {
        let artifact = json!({"artifactLocation": {"uri": file}});
        fields.insert("physicalLocation".to_owned(), artifact);
    }
    json!({
        "ruleId": finding.rule.about().id,
        "ruleIndex": index,
        "level": severity_name(finding.severity),
        "message": {"text": text},
        "locations": [location],
    })
}

/// `too few partitions` as `TooFewPartitions`.
fn pascal(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .filter_map(|word| {
            let (first, rest) = word.split_at_checked(1)?;
            Some(first.to_ascii_uppercase() + rest)
        })
        .collect()
}
