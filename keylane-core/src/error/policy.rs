//! The failure policy: kind → retry, park or stop.

/// What went wrong while applying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApplyErrorKind {
    /// The replica cannot be reached, or shut the connection.
    Unreachable,
    /// The database chose this transaction to give way (deadlock, serialization, lock time-out).
    Conflict,
    /// A unique, foreign-key or exclusion constraint was hit: perhaps because something earlier in another lane is not applied yet.
    Constraint,
    /// The value does not fit the replica's column (too long, wrong form, not-null, check constraint, out of range): the replica's own.
    Misfit,
    /// The replica lacks the table or the column.
    MissingObject,
    /// An update or delete hit no row, where the configuration says that it must hit one.
    MissingRow,
    /// Rights or credentials are wrong.
    Denied,
    /// Another owner raised the fence: this process no longer owns the lanes.
    Fenced,
    /// No room on the device, or the database is read-only.
    NoRoom,
    /// The record itself cannot be read (malformed envelope, unknown format).
    Corrupt,
    /// Anything else.
    Other,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Again after a capped, jittered pause, for ever: nothing else can go on either.
    RetryForever,
    /// Again at once, then after growing pauses; after the configured number of attempts as `Park` or `Stop`.
    Retry,
    /// Wait until everything before it is applied, again unfolded; if it still fails, park it with its key's later changes.
    AwaitOrder,
    /// Park it with its key's later changes (or stop, if configured so).
    Park,
    /// Give the lanes up, and take them again if still named their owner.
    Yield,
    /// Stop the pipeline with a clear word.
    Stop,
}

impl ApplyErrorKind {
    /// The table.
    pub fn remedy(self) -> Remedy {
        match self {
            ApplyErrorKind::Unreachable => Remedy::RetryForever,
            ApplyErrorKind::Conflict => Remedy::Retry,
            ApplyErrorKind::Constraint => Remedy::AwaitOrder,
            ApplyErrorKind::Misfit => Remedy::Park,
            ApplyErrorKind::MissingObject => Remedy::Park,
            ApplyErrorKind::MissingRow => Remedy::Stop,
            ApplyErrorKind::Denied => Remedy::Stop,
            ApplyErrorKind::Fenced => Remedy::Yield,
            ApplyErrorKind::NoRoom => Remedy::RetryForever,
            ApplyErrorKind::Corrupt => Remedy::Park,
            ApplyErrorKind::Other => Remedy::Stop,
        }
    }

    /// The stable code, with a page of its own in `docs/errors`.
    pub fn code(self) -> &'static str {
        match self {
            ApplyErrorKind::Unreachable => "KL-APPLY-001",
            ApplyErrorKind::Conflict => "KL-APPLY-002",
            ApplyErrorKind::Constraint => "KL-APPLY-003",
            ApplyErrorKind::Misfit => "KL-APPLY-004",
            ApplyErrorKind::MissingObject => "KL-APPLY-005",
            ApplyErrorKind::MissingRow => "KL-APPLY-012",
            ApplyErrorKind::Denied => "KL-APPLY-006",
            ApplyErrorKind::Fenced => "KL-APPLY-007",
            ApplyErrorKind::NoRoom => "KL-APPLY-008",
            ApplyErrorKind::Corrupt => "KL-APPLY-009",
            ApplyErrorKind::Other => "KL-APPLY-010",
        }
    }
}
