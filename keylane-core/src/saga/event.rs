//! What may happen to a saga, and what is noted about it.

use serde_json::Value;

use super::definition::Participant;
use super::message::{Op, Reply};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A participant answered.
    Reply(Reply),
    /// The time that the saga asked for has come; all that is due is done.
    Due,
    /// A participant answers again after it did not: what it was sent is sent at once.
    Back(Participant),
    /// Somebody asked for something.
    Operation {
        /// What.
        operation: Operation,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
}

/// What somebody may ask for.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Send again now what is out, of one step or of all.
    Retry {
        /// The step; `None`: all.
        step: Option<String>,
    },
    /// Roll back: cancel, fail a step and compensate are this. A pivot that is out is fenced first; refused once there is no way back.
    RollBack,
    /// Go on without this step. If it is out, it is fenced first; if it turns out to be done, it counts as done.
    Skip {
        /// The step.
        step: String,
    },
    /// The step was done by hand. If it is out, it is fenced first; if it turns out to be done by its participant, that counts.
    Complete {
        /// The step.
        step: String,
        /// What it would have answered.
        reply: Value,
    },
    /// The step was undone by hand. No undo that is under way is stopped by this: whoever says so sees to it that there is none.
    MarkCompensated {
        /// The step.
        step: String,
    },
}

impl Operation {
    /// Its name in the log.
    pub fn code(&self) -> &'static str {
        match self {
            Operation::Retry { .. } => "retry",
            Operation::RollBack => "roll_back",
            Operation::Skip { .. } => "skip",
            Operation::Complete { .. } => "complete",
            Operation::MarkCompensated { .. } => "mark_compensated",
        }
    }
}

/// A line of a saga's timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// What happened.
    pub what: What,
    /// To which step.
    pub step: Option<String>,
    /// The how many-th command to that step was the last then.
    pub attempt: Option<u32>,
    /// Who asked for it, if somebody did.
    pub actor: Option<String>,
    /// Why, or what was said.
    pub reason: Option<String>,
}

/// What a line of the timeline tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The saga was started.
    Started,
    /// A command was sent.
    Sent(Op),
    /// A command was sent again.
    Resent(Op),
    /// A step is done.
    Done,
    /// A step is not done and never will be.
    Failed,
    /// A step is passed over.
    Skipped,
    /// A step was undone.
    Undone,
    /// A step had nothing to undo.
    NothingToUndo,
    /// An attempt failed, or was answered by nothing that says anything.
    Unclear,
    /// A participant says that it is working on it.
    Working,
    /// No verdict came in time.
    TimedOut,
    /// The saga's deadline has passed.
    DeadlinePassed,
    /// The saga goes back.
    GoesBack,
    /// A step needs help.
    Stuck,
    /// Somebody asked for something.
    Asked,
    /// What was asked for cannot be had.
    Refused,
    /// What came changes nothing: late, repeated or meant for another.
    Ignored,
    /// The saga ended with all effects.
    Completed,
    /// The saga ended with none.
    Compensated,
}

impl What {
    /// Its name in the log.
    pub fn code(self) -> &'static str {
        match self {
            What::Started => "started",
            What::Sent(Op::Action) => "action_sent",
            What::Sent(Op::Compensate) => "compensate_sent",
            What::Sent(Op::Fence) => "fence_sent",
            What::Resent(Op::Action) => "action_resent",
            What::Resent(Op::Compensate) => "compensate_resent",
            What::Resent(Op::Fence) => "fence_resent",
            What::Done => "done",
            What::Failed => "failed",
            What::Skipped => "skipped",
            What::Undone => "undone",
            What::NothingToUndo => "nothing_to_undo",
            What::Unclear => "unclear",
            What::Working => "working",
            What::TimedOut => "timed_out",
            What::DeadlinePassed => "deadline_passed",
            What::GoesBack => "goes_back",
            What::Stuck => "stuck",
            What::Asked => "asked",
            What::Refused => "refused",
            What::Ignored => "ignored",
            What::Completed => "completed",
            What::Compensated => "compensated",
        }
    }
}
