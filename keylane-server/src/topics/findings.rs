//! Findings for people and for scripts.

use std::fmt::Write as _;

use keylane_core::topics::lint::{Lint, Report, Severity, Unjudged};
use serde_json::{Value, json};

/// A severity's name in JSON.
pub(super) fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn ids(rules: &[Lint]) -> Vec<&'static str> {
    rules.iter().map(|rule| rule.about().id).collect()
}

/// The findings as scripts read them, with what could not be judged and what was left out.
pub fn findings_wire(report: &Report, ignored: &[Lint]) -> Value {
    let findings = report.findings.iter().map(|finding| {
        json!({
            "rule": finding.rule.about().id,
            "severity": severity_name(finding.severity),
            "subject": finding.subject,
            "evidence": finding.evidence,
            "why": finding.rule.about().why,
            "fix": finding.fix,
        })
    });
    let unjudged = report.unjudged.iter().map(|it| {
        json!({"rule": it.rule.about().id, "title": it.rule.about().title, "needs": it.needs, "in_part": it.in_part})
    });
    json!({
        "findings": findings.collect::<Vec<_>>(),
        "not_judged": unjudged.collect::<Vec<_>>(),
        "kept": ids(&report.kept),
        "ignored": ids(ignored),
    })
}

/// The findings as people read them.
pub fn findings_text(report: &Report, ignored: &[Lint], colored: bool) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let about = finding.rule.about();
        let (mark, color) = match finding.severity {
            Severity::Error => ("✗", "31"),
            Severity::Warning => ("!", "33"),
            Severity::Note => ("·", "36"),
        };
        let mark = match colored {
            true => format!("\u{1b}[{color}m{mark}\u{1b}[0m"),
            false => mark.to_owned(),
        };
        let _ = writeln!(
            text,
            "{mark} {} {}: {}\n    {}\n    why: {}\n    fix: {}",
            about.id, finding.subject, about.title, finding.evidence, about.why, finding.fix
        );
    }
    if !report.unjudged.is_empty() {
        text.push_str("not judged\n");
    }
    for Unjudged {
        rule,
        needs,
        in_part,
    } in &report.unjudged
    {
        let part = if *in_part { " (of some)" } else { "" };
        let about = rule.about();
        let _ = writeln!(
            text,
            "  {} {}{part}; would need {}",
            about.id,
            about.title,
            needs.join("; ")
        );
    }
    if !ignored.is_empty() {
        let _ = writeln!(text, "left out: {}", ids(ignored).join(", "));
    }
    let _ = writeln!(
        text,
        "{} findings, {} rules kept ({}), {} not judged",
        report.findings.len(),
        report.kept.len(),
        ids(&report.kept).join(" "),
        report.unjudged.len()
    );
    text
}
