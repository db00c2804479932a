//! What a run found: nothing, or which checker failed and why.

use std::fmt;

/// The checkers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Checker {
    /// Per key, effects at the replica have strictly ascending positions.
    Order,
    /// Every change had its effect.
    NoLoss,
    /// No change had its effect twice.
    NoDoubleEffect,
    /// The replica's rows equal the origin's.
    Convergence,
    /// No position stands twice among a partition's accepted records.
    NoDuplicatePositionInAcceptedLog,
    /// Every state that a reader of the replica sees is one that the origin had.
    Torn,
    /// A saga that ended has all its effects or none.
    AllOrNothing,
    /// No command is on the way that no row knows of.
    NoUnknownCommand,
    /// Nothing is parked that the origin could do.
    NothingParked,
    /// The run comes to its end.
    Progress,
    /// A promise of the code under test about its own state.
    Contract,
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Checker::Order => "order",
            Checker::NoLoss => "no_loss",
            Checker::NoDoubleEffect => "no_double_effect",
            Checker::Convergence => "convergence",
            Checker::NoDuplicatePositionInAcceptedLog => "no_duplicate_position_in_accepted_log",
            Checker::Torn => "torn",
            Checker::AllOrNothing => "all_or_nothing",
            Checker::NoUnknownCommand => "no_unknown_command",
            Checker::NothingParked => "nothing_parked",
            Checker::Progress => "progress",
            Checker::Contract => "contract",
        })
    }
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which checker.
    pub checker: Checker,
    /// What it saw.
    pub detail: String,
}

impl Failure {
    /// A failure of a checker.
    pub fn new(checker: Checker, detail: impl Into<String>) -> Self {
        Failure {
            checker,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.detail)
    }
}

/// How often something happened out of how many times it could have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// It happened.
    pub hits: u64,
    /// It could have.
    pub of: u64,
}

impl Share {
    /// Adds another count.
    pub fn add(&mut self, other: Share) {
        self.hits += other.hits;
        self.of += other.of;
    }
}

/// What a run that held tells beside that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// A free worker found nothing that may go, though records were there.
    pub waits: Share,
    /// Faults that were injected.
    pub faults: u64,
}

impl Findings {
    /// Adds another run's.
    pub fn add(&mut self, other: Findings) {
        self.waits.add(other.waits);
        self.faults += other.faults;
    }
}
