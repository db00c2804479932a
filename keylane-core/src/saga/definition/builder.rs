//! A definition written in Rust: the same data as one that was parsed.

use super::{Definition, Participant, Retry, Step, StepKind};
use crate::saga::condition::Condition;
use crate::saga::template::Template;

impl Definition {
    /// A saga without steps and deadline.
    pub fn new(name: impl Into<String>, version: u32) -> Definition {
        Definition {
            name: name.into(),
            version,
            deadline_ms: None,
            patience_ms: Definition::PATIENCE_MS,
            steps: Vec::new(),
        }
    }

    /// Adds a step. Unless it says what it comes after, it comes after the one that was added before.
    #[must_use]
    pub fn step(mut self, step: Step) -> Definition {
        self.steps.push(step);
        self
    }

    /// How long after its start a saga that is not committed yet is rolled back.
    #[must_use]
    pub fn deadline_ms(mut self, deadline_ms: u64) -> Definition {
        self.deadline_ms = Some(deadline_ms);
        self
    }
}

impl Step {
    /// A step that `undo` undoes.
    pub fn compensatable(
        id: impl Into<String>,
        participant: Participant,
        action: impl Into<String>,
        undo: impl Into<String>,
    ) -> Step {
        let undo = Some(undo.into());
        Step {
            undo,
            ..Step::new(
                id.into(),
                StepKind::Compensatable,
                participant,
                action.into(),
            )
        }
    }

    /// The step that decides.
    pub fn pivot(
        id: impl Into<String>,
        participant: Participant,
        action: impl Into<String>,
    ) -> Step {
        Step::new(id.into(), StepKind::Pivot, participant, action.into())
    }

    /// A step that succeeds in the end.
    pub fn retriable(
        id: impl Into<String>,
        participant: Participant,
        action: impl Into<String>,
    ) -> Step {
        Step::new(id.into(), StepKind::Retriable, participant, action.into())
    }

    fn new(id: String, kind: StepKind, participant: Participant, action: String) -> Step {
        Step {
            id,
            kind,
            participant,
            action,
            undo: None,
            after: None,
            input: Template::data(),
            condition: None,
            retry: Retry::default(),
            timeout_ms: None,
        }
    }

    /// The steps that must have ended before it; none: it begins at once.
    #[must_use]
    pub fn after<const N: usize>(mut self, steps: [&str; N]) -> Step {
        self.after = Some(steps.map(str::to_owned).to_vec());
        self
    }

    /// What its commands carry.
    #[must_use]
    pub fn input(mut self, input: Template) -> Step {
        self.input = input;
        self
    }

    /// It is passed over where this does not hold.
    #[must_use]
    pub fn only_if(mut self, condition: Condition) -> Step {
        self.condition = Some(condition);
        self
    }

    /// How its commands are repeated.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Step {
        self.retry = retry;
        self
    }

    /// How long after its first command an action without a verdict is given up.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u64) -> Step {
        self.timeout_ms = Some(timeout_ms);
        self
    }
}
