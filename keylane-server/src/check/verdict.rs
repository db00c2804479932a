//! What was found, as a list for people and as JSON for scripts.

use keylane::preflight::{Finding, Severity};
use serde::Serialize;

/// A check as scripts see it.
#[derive(Serialize)]
struct Wire<'a> {
    id: &'a str,
    ok: bool,
    severity: &'static str,
    subject: &'a str,
    found: &'a str,
    fix: &'a str,
}

/// The list for scripts.
pub fn wire(checks: &[Finding]) -> serde_json::Value {
    let wire = |check: &Finding| {
        serde_json::json!(Wire {
            id: &check.id,
            ok: check.ok,
            severity: match check.severity {
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            subject: &check.subject,
            found: &check.found,
            fix: &check.fix,
        })
    };
    checks.iter().map(wire).collect()
}

/// Whether a check failed that is no mere warning: exit code 3.
pub fn any_failed(checks: &[Finding]) -> bool {
    checks.iter().any(Finding::is_failure)
}

/// The list for people: a tick, a cross or an exclamation mark for each, and what to do under it.
pub fn tick_list(checks: &[Finding], colored: bool) -> String {
    let mut text = String::new();
    for check in checks {
        let (mark, color) = match (check.ok, check.severity) {
            (true, _) => ("✓", "32"),
            (false, Severity::Warning) => ("!", "33"),
            (false, Severity::Error) => ("✗", "31"),
        };
        let mark = match colored {
            true => format!("\u{1b}[{color}m{mark}\u{1b}[0m"),
            false => mark.to_owned(),
        };
        text.push_str(&format!(
            "{mark} {}: {}  [{}]\n",
            check.subject, check.found, check.id
        ));
        if !check.ok {
            for line in check.fix.lines() {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    let failed = checks.iter().filter(|check| check.is_failure()).count();
    let warned = checks.iter().filter(|check| !check.ok).count() - failed;
    let right = checks.iter().filter(|check| check.ok).count();
    text.push_str(&format!(
        "{right} right, {failed} failed, {warned} to consider\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_mends_each_failure() {
        let checks = [
            Finding::passed("a.one", "shop: one", "fine"),
            Finding::failed("a.two", "shop: two", "wrong", "run: x;\nthen: y;"),
            Finding::failed("a.three", "shop: three", "odd", "look").warning(),
        ];
        assert_eq!(
            tick_list(&checks, false),
            "✓ shop: one: fine  [a.one]\n✗ shop: two: wrong  [a.two]\n    run: x;\n    then: y;\n! shop: three: odd  [a.three]\n    look\n\
             1 right, 1 failed, 1 to consider\n"
        );
        assert!(any_failed(&checks));
        assert!(!any_failed(&checks[2..]));
    }
}
