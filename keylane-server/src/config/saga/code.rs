//! The stable codes of mistakes that only a saga's definition can have. A code is never reused for another meaning; each has a page `docs/errors/<code>.md`.

use keylane_core::saga::Rule;

/// What kind of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SagaCode {
    /// A breach of one of the rules, whose number it has: S6 is KL-SAGA-006.
    Rule(Rule),
    /// A text in `input` that begins with `$` and is no path.
    Path,
    /// A text in `if` that is no condition.
    Condition,
    /// An address that cannot be used.
    Address,
}

impl SagaCode {
    /// All codes, in numeric order.
    pub fn all() -> Vec<SagaCode> {
        let rules = Rule::ALL.into_iter().map(SagaCode::Rule);
        let others = [SagaCode::Path, SagaCode::Condition, SagaCode::Address];
        rules.chain(others).collect()
    }

    /// The code as printed, and the stem of its page.
    pub fn as_str(self) -> &'static str {
        match self {
            SagaCode::Rule(Rule::Name) => "KL-SAGA-001",
            SagaCode::Rule(Rule::StepCount) => "KL-SAGA-002",
            SagaCode::Rule(Rule::NamedTwice) => "KL-SAGA-003",
            SagaCode::Rule(Rule::UnknownStep) => "KL-SAGA-004",
            SagaCode::Rule(Rule::Cycle) => "KL-SAGA-005",
            SagaCode::Rule(Rule::UndoMissing) => "KL-SAGA-006",
            SagaCode::Rule(Rule::UndoNeverUsed) => "KL-SAGA-007",
            SagaCode::Rule(Rule::SecondPivot) => "KL-SAGA-008",
            SagaCode::Rule(Rule::UndoneAfterPivot) => "KL-SAGA-009",
            SagaCode::Rule(Rule::RetriableTooEarly) => "KL-SAGA-010",
            SagaCode::Rule(Rule::ReplyNotThere) => "KL-SAGA-011",
            SagaCode::Rule(Rule::RetriableGivenUp) => "KL-SAGA-012",
            SagaCode::Rule(Rule::NeverGivenUp) => "KL-SAGA-013",
            SagaCode::Rule(Rule::Retry) => "KL-SAGA-014",
            SagaCode::Rule(Rule::Times) => "KL-SAGA-015",
            SagaCode::Path => "KL-SAGA-016",
            SagaCode::Condition => "KL-SAGA-017",
            SagaCode::Address => "KL-SAGA-018",
        }
    }
}
