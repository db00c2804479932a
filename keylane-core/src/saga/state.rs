//! Where a saga stands: one row of its own and one for each step. What is not in them is not known, so that a crash loses nothing.

use serde_json::Value;

use super::definition::StepKind;
use super::message::Op;
use super::plan::Plan;
use super::template::Scope;

/// A saga's row and its steps' rows. Written under compare-and-set on `revision`.
#[derive(Clone, Debug, PartialEq)]
pub struct Saga {
    /// Its id, part of the id of each of its commands.
    pub id: String,
    /// The business key that it was started with.
    pub key: Option<String>,
    /// The name of its definition.
    pub definition: String,
    /// The version of its definition.
    pub version: u32,
    /// The hash of its definition.
    pub hash: u64,
    /// Which way it goes.
    pub phase: Phase,
    /// Counts the decisions that changed it, from 1.
    pub revision: u64,
    /// What it was started with. It never changes.
    pub data: Value,
    /// Why it goes back, or went.
    pub reason: Option<String>,
    /// When it was started, microseconds since 1970.
    pub started_us: i64,
    /// When it changed last.
    pub updated_us: i64,
    /// When it ended.
    pub ended_us: Option<i64>,
    /// When it is rolled back if it is not committed by then; `None` once that was looked at.
    pub deadline_us: Option<i64>,
    /// The steps, in the order of the definition.
    pub steps: Vec<StepRow>,
}

/// Which way a saga goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Forward.
    Running,
    /// Back.
    Compensating,
    /// It ended: every step is done that is not passed over.
    Completed,
    /// It ended: nothing of it is left.
    Compensated,
}

/// What users are told of a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It goes forward.
    Running,
    /// It goes back.
    Compensating,
    /// It goes neither way without help; it is tried on.
    Stuck,
    /// It ended with all effects.
    Completed,
    /// It ended with none.
    Compensated,
}

/// A step's row.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRow {
    /// Where it stands.
    pub status: StepStatus,
    /// Commands that were sent, ever.
    pub attempts: u32,
    /// Commands that were sent since its participant last gave a sign of life.
    pub tries: u32,
    /// Since when its present command is out.
    pub since_us: Option<i64>,
    /// When something must be done about it.
    pub next_us: Option<i64>,
    /// It needs help. It is tried on.
    pub stuck: bool,
    /// Somebody did it without its participant: only somebody can undo it.
    pub by_hand: bool,
    /// What its action answered.
    pub reply: Option<Value>,
    /// What went wrong last.
    pub error: Option<String>,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StepStatus {
    /// It has not begun.
    Pending,
    /// It is passed over.
    Skipped,
    /// Its action is out, without a verdict.
    Sent,
    /// Its action had its effect.
    Ok,
    /// Its action has no effect and never will.
    Failed,
    /// A fence is out: if it holds, the step has failed.
    Fencing,
    /// A fence is out: if it holds, the step is passed over.
    Skipping,
    /// A fence is out: if it holds, the step was done by hand.
    Completing,
    /// Its undo is out.
    Compensating,
    /// It was undone.
    Compensated,
    /// There was nothing to undo, and never will be.
    Noop,
}

/// What a saga is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Its id.
    pub id: String,
    /// A business key.
    pub key: Option<String>,
    /// Its data.
    pub data: Value,
}

impl Saga {
    /// What users are told.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Completed => State::Completed,
            Phase::Compensated => State::Compensated,
            Phase::Running | Phase::Compensating if self.steps.iter().any(|it| it.stuck) => {
                State::Stuck
            }
            Phase::Running => State::Running,
            Phase::Compensating => State::Compensating,
        }
    }

    /// Whether it ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Completed | Phase::Compensated)
    }

    /// When something must be done if nothing is heard before; `None` exactly for a saga that ended.
    pub fn next_us(&self) -> Option<i64> {
        let steps = self.steps.iter().filter_map(|step| step.next_us);
        steps.chain(self.deadline_us).min()
    }

    /// Whether there is no way back: the decision has fallen, or something that cannot be undone may have happened.
    pub fn is_committed(&self, plan: &Plan) -> bool {
        let steps = plan.definition().steps.iter().zip(&self.steps);
        steps.into_iter().any(|(step, row)| match step.kind {
            StepKind::Compensatable => false,
            StepKind::Pivot => row.status == StepStatus::Ok,
            StepKind::Retriable => row.status == StepStatus::Ok || row.status.op().is_some(),
        })
    }

    /// What paths lead into.
    pub fn scope<'a>(&'a self, plan: &'a Plan) -> impl Scope + 'a {
        Rows { saga: self, plan }
    }
}

struct Rows<'a> {
    saga: &'a Saga,
    plan: &'a Plan,
}

impl Scope for Rows<'_> {
    fn data(&self) -> &Value {
        &self.saga.data
    }

    fn reply(&self, step: &str) -> Option<&Value> {
        self.saga.steps.get(self.plan.place(step)?)?.reply.as_ref()
    }
}

impl StepRow {
    /// Of a step that has not begun.
    pub fn pending() -> StepRow {
        StepRow {
            status: StepStatus::Pending,
            attempts: 0,
            tries: 0,
            since_us: None,
            next_us: None,
            stuck: false,
            by_hand: false,
            reply: None,
            error: None,
        }
    }
}

impl StepStatus {
    /// Every status.
    pub const ALL: [StepStatus; 11] = [
        StepStatus::Pending,
        StepStatus::Skipped,
        StepStatus::Sent,
        StepStatus::Ok,
        StepStatus::Failed,
        StepStatus::Fencing,
        StepStatus::Skipping,
        StepStatus::Completing,
        StepStatus::Compensating,
        StepStatus::Compensated,
        StepStatus::Noop,
    ];

    /// Its name in tables and messages.
    pub fn code(self) -> &'static str {
        match self {
            StepStatus::Pending => "pending",
            StepStatus::Skipped => "skipped",
            StepStatus::Sent => "sent",
            StepStatus::Ok => "ok",
            StepStatus::Failed => "failed",
            StepStatus::Fencing => "fencing",
            StepStatus::Skipping => "skipping",
            StepStatus::Completing => "completing",
            StepStatus::Compensating => "compensating",
            StepStatus::Compensated => "compensated",
            StepStatus::Noop => "noop",
        }
    }

    /// The status of a name.
    pub fn named(code: &str) -> Option<StepStatus> {
        StepStatus::ALL.into_iter().find(|it| it.code() == code)
    }

    /// The operation whose answer is waited for.
    pub fn op(self) -> Option<Op> {
        match self {
            StepStatus::Sent => Some(Op::Action),
            StepStatus::Fencing | StepStatus::Skipping | StepStatus::Completing => Some(Op::Fence),
            StepStatus::Compensating => Some(Op::Compensate),
            StepStatus::Pending
            | StepStatus::Skipped
            | StepStatus::Ok
            | StepStatus::Failed
            | StepStatus::Compensated
            | StepStatus::Noop => None,
        }
    }

    /// Whether those that wait for it may begin.
    pub(super) fn lets_pass(self) -> bool {
        matches!(self, StepStatus::Ok | StepStatus::Skipped)
    }
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 4] = [
        Phase::Running,
        Phase::Compensating,
        Phase::Completed,
        Phase::Compensated,
    ];

    /// Its name in tables.
    pub fn code(self) -> &'static str {
        match self {
            Phase::Running => "running",
            Phase::Compensating => "compensating",
            Phase::Completed => "completed",
            Phase::Compensated => "compensated",
        }
    }

    /// The phase of a name.
    pub fn named(code: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|it| it.code() == code)
    }
}

impl State {
    /// Every state.
    pub const ALL: [State; 5] = [
        State::Running,
        State::Compensating,
        State::Stuck,
        State::Completed,
        State::Compensated,
    ];

    /// Its name in commands and messages.
    pub fn code(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Compensating => "compensating",
            State::Stuck => "stuck",
            State::Completed => "completed",
            State::Compensated => "compensated",
        }
    }

    /// The state of a name.
    pub fn named(code: &str) -> Option<State> {
        State::ALL.into_iter().find(|it| it.code() == code)
    }
}
