//! One check, and the list of them for people.

use serde::Serialize;

/// How bad it is if a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It works, with a limit or a risk that a person should know.
    Warning,
    /// It will not start, or will be wrong.
    Error,
}

/// One thing that must be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A stable name, such as `origin.wal_level`.
    pub id: String,
    /// Whether it is right.
    pub ok: bool,
    /// How bad it is if it is not.
    pub severity: Severity,
    /// What was looked at, such as `shop: table public.orders`.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What mends it; empty if it is right.
    pub fix: String,
}

impl Check {
    /// Something that is right.
    pub fn passed(
        id: impl Into<String>,
        subject: impl Into<String>,
        found: impl Into<String>,
    ) -> Check {
        Check {
            id: id.into(),
            ok: true,
            severity: Severity::Error,
            subject: subject.into(),
            found: found.into(),
            fix: String::new(),
        }
    }

    /// Something that is wrong.
    pub fn failed(
        id: impl Into<String>,
        subject: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Check {
        Check {
            ok: false,
            fix: fix.into(),
            ..Check::passed(id, subject, found)
        }
    }

    /// The same, only a warning.
    pub fn warning(mut self) -> Check {
        self.severity = Severity::Warning;
        self
    }

    /// Whether it keeps `run` from working.
    pub fn is_failure(&self) -> bool {
        !self.ok && self.severity == Severity::Error
    }
}

/// Whether a check failed that is no mere warning: exit code 3.
pub fn any_failed(checks: &[Check]) -> bool {
    checks.iter().any(Check::is_failure)
}

/// The list for people: a tick, a cross or an exclamation mark for each, and what to do under it.
pub fn tick_list(checks: &[Check], colored: bool) -> String {
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
            Check::passed("a.one", "shop: one", "fine"),
            Check::failed("a.two", "shop: two", "wrong", "run: x;\nthen: y;"),
            Check::failed("a.three", "shop: three", "odd", "look").warning(),
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
