//! The states that are told, and how bad each is.

/// How a subject does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// All is well: the table is equal, the figure within its bound.
    Ok,
    /// Rows differ, and nothing has mended them.
    Diverged,
    /// Rows differed, and all of them are repaired.
    Repaired,
    /// Rows differ whose repair failed.
    RepairFailed,
    /// The comparison has no verdict: what was to settle it did not come through the road.
    Stalled,
    /// The comparison itself failed.
    Failed,
    /// The replica is too far behind.
    Lagging,
    /// The origin's disk is full soon.
    Filling,
    /// Keys are parked.
    Parked,
    /// Half of the road does not go on.
    Stuck,
}

/// How bad it is; a later one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It came right.
    Ok,
    /// To be known; nothing needs to be done.
    Notice,
    /// Somebody should look at it.
    Warning,
    /// Somebody must look at it.
    Critical,
}

impl State {
    /// All states.
    pub const ALL: [State; 10] = [
        State::Ok,
        State::Diverged,
        State::Repaired,
        State::RepairFailed,
        State::Stalled,
        State::Failed,
        State::Lagging,
        State::Filling,
        State::Parked,
        State::Stuck,
    ];

    /// The word that scripts see.
    pub fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Diverged => "diverged",
            State::Repaired => "repaired",
            State::RepairFailed => "repair_failed",
            State::Stalled => "stalled",
            State::Failed => "failed",
            State::Lagging => "lagging",
            State::Filling => "filling",
            State::Parked => "parked",
            State::Stuck => "stuck",
        }
    }

    /// The state of this word. `None` if this version knows none.
    pub fn read(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            State::Ok => Severity::Ok,
            State::Repaired => Severity::Notice,
            State::Diverged | State::Lagging | State::Parked => Severity::Warning,
            State::RepairFailed
            | State::Stalled
            | State::Failed
            | State::Filling
            | State::Stuck => Severity::Critical,
        }
    }
}

impl Severity {
    /// The word that scripts see.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Notice => "notice",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }

    /// The severity of this word. `None` if this version knows none.
    pub fn read(word: &str) -> Option<Severity> {
        let all = [
            Severity::Ok,
            Severity::Notice,
            Severity::Warning,
            Severity::Critical,
        ];
        all.into_iter().find(|severity| severity.word() == word)
    }
}
