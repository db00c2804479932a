//! The rules of a definition: what each is called and why it is there.

use std::fmt;

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// S1: a name that does not fit.
    Name,
    /// S2: no steps, or too many.
    StepCount,
    /// S3: one id for two steps.
    NamedTwice,
    /// S4: `after` names no step.
    UnknownStep,
    /// S5: steps that wait for each other.
    Cycle,
    /// S6: a compensatable step without undo.
    UndoMissing,
    /// S7: an undo that never runs.
    UndoNeverUsed,
    /// S8: more than one pivot.
    SecondPivot,
    /// S9: a compensatable step that the pivot does not wait for.
    UndoneAfterPivot,
    /// S10: a retriable step that does not wait for all that may fail.
    RetriableTooEarly,
    /// S11: a path into a reply that is not there.
    ReplyNotThere,
    /// S12: a retriable step that would be given up.
    RetriableGivenUp,
    /// S13: a step that may wait for ever.
    NeverGivenUp,
    /// S14: a retry that does not grow, or does not rest.
    Retry,
    /// S15: a time that is none.
    Times,
}

impl Rule {
    /// Every rule, by number.
    pub const ALL: [Rule; 15] = [
        Rule::Name,
        Rule::StepCount,
        Rule::NamedTwice,
        Rule::UnknownStep,
        Rule::Cycle,
        Rule::UndoMissing,
        Rule::UndoNeverUsed,
        Rule::SecondPivot,
        Rule::UndoneAfterPivot,
        Rule::RetriableTooEarly,
        Rule::ReplyNotThere,
        Rule::RetriableGivenUp,
        Rule::NeverGivenUp,
        Rule::Retry,
        Rule::Times,
    ];

    /// Its name: `S1`.
    pub fn id(self) -> &'static str {
        match self {
            Rule::Name => "S1",
            Rule::StepCount => "S2",
            Rule::NamedTwice => "S3",
            Rule::UnknownStep => "S4",
            Rule::Cycle => "S5",
            Rule::UndoMissing => "S6",
            Rule::UndoNeverUsed => "S7",
            Rule::SecondPivot => "S8",
            Rule::UndoneAfterPivot => "S9",
            Rule::RetriableTooEarly => "S10",
            Rule::ReplyNotThere => "S11",
            Rule::RetriableGivenUp => "S12",
            Rule::NeverGivenUp => "S13",
            Rule::Retry => "S14",
            Rule::Times => "S15",
        }
    }

    /// Why it matters.
    pub fn why(self) -> &'static str {
        match self {
            Rule::Name => {
                "names are keys in every participant's database: one that is cut short there makes two steps one"
            }
            Rule::StepCount => "a saga is decided upon as a whole, and must fit a transaction",
            Rule::NamedTwice => {
                "a participant tells steps apart by their names: the second would be taken for a repeat of the first"
            }
            Rule::UnknownStep => "a step that waits for what is not there never begins",
            Rule::Cycle => "steps that wait for each other never begin",
            Rule::UndoMissing => {
                "a saga that goes back must be able to undo every step that may have run"
            }
            Rule::UndoNeverUsed => "who wrote it believes that the step is undone; it is not",
            Rule::SecondPivot => {
                "between two decisions the saga could neither go back nor be sure to get forward"
            }
            Rule::UndoneAfterPivot => {
                "after the pivot there is only forward: a step that may fail then leaves half a saga"
            }
            Rule::RetriableTooEarly => {
                "a retriable step is never undone: it may only run once nothing can fail any more"
            }
            Rule::ReplyNotThere => "the value would be null, now or sometimes",
            Rule::RetriableGivenUp => {
                "a step after the decision that is given up leaves half a saga"
            }
            Rule::NeverGivenUp => {
                "a participant that is gone for ever would hold the saga, and what it reserved, for ever"
            }
            Rule::Retry => "pauses that shrink, or are none, press a participant that is down",
            Rule::Times => "a time of nothing ends everything before it began",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
