//! What an adapter finds when it is asked whether everything is right before a start.

/// How bad it is that something is not right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, with a limit or a risk that a person should know.
    Warning,
    /// It will not start, or will be wrong.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's stable name, such as `origin.wal_level`; an adapter leaves out which part it is.
    pub id: String,
    /// Whether it is right.
    pub ok: bool,
    /// How bad it is if not.
    pub severity: Severity,
    /// What was looked at: a setting, a table, the role, the slot.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What mends it, a command where there is one; empty if it is right.
    pub fix: String,
}

impl Finding {
    /// Something that is right.
    pub fn passed(
        id: impl Into<String>,
        subject: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Finding {
            id: id.into(),
            ok: true,
            severity: Severity::Error,
            subject: subject.into(),
            found: found.into(),
            fix: String::new(),
        }
    }

    /// Something that is wrong, and what mends it.
    pub fn failed(
        id: impl Into<String>,
        subject: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Finding::passed(id, subject, found).unless(false, fix)
    }

    /// Not right, and what mends it, unless `ok`.
    pub fn unless(mut self, ok: bool, fix: impl Into<String>) -> Self {
        self.ok = ok;
        self.fix = if ok { String::new() } else { fix.into() };
        self
    }

    /// The same, only a warning.
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same, of this part of the road (`origin`, `log`, `replica`).
    pub fn of(mut self, part: &str) -> Self {
        self.id = format!("{part}.{}", self.id);
        self
    }

    /// Whether it keeps the road from working.
    pub fn is_failure(&self) -> bool {
        !self.ok && self.severity == Severity::Error
    }
}
