//! A participant's rules. The first verdict on (saga, step) stands for ever: done, failed or fenced, kept with its answer in the transaction of the effect itself.
//!
//! Who drives this holds the rows of (saga, step) locked from [`judge`] to the end of the transaction: it inserts the action's row, or reads it under a lock where it is there already, so
//! that of two commands that come at once one sees what the other stored. [`judge`] says what is to run, if anything is; [`conclude`] what is to be stored and answered then.
//!
//! Rows may be deleted only for a saga that ended, and only once no command to it may be carried out any more ([`COMMAND_LIFE_US`](super::COMMAND_LIFE_US) after its end, and what
//! the clocks may differ).

use serde_json::Value;

use super::definition::StepKind;
use super::message::{Op, Outcome};

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It had its effect.
    Done,
    /// Business said no; it had none.
    Failed,
    /// It was undone or fenced before it ran; it had none.
    Fenced,
}

/// What became of an undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Undone {
    /// It undid the effect.
    Undone,
    /// There was none.
    Noop,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 3] = [Verdict::Done, Verdict::Failed, Verdict::Fenced];

    /// Its name in tables.
    pub fn code(self) -> &'static str {
        match self {
            Verdict::Done => "done",
            Verdict::Failed => "failed",
            Verdict::Fenced => "fenced",
        }
    }

    /// The verdict of a name.
    pub fn named(code: &str) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|it| it.code() == code)
    }
}

impl Undone {
    /// Everything that may become of an undo.
    pub const ALL: [Undone; 2] = [Undone::Undone, Undone::Noop];

    /// Its name in tables.
    pub fn code(self) -> &'static str {
        match self {
            Undone::Undone => "done",
            Undone::Noop => "noop",
        }
    }

    /// What a name says of an undo.
    pub fn named(code: &str) -> Option<Undone> {
        Undone::ALL.into_iter().find(|it| it.code() == code)
    }
}

/// The rows of one step of one saga.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The action's verdict and what was answered then.
    pub action: Option<(Verdict, Value)>,
    /// What the undo came to and what was answered then.
    pub undo: Option<(Undone, Value)>,
}

/// A command as far as the barrier looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is asked for.
    pub op: Op,
    /// What may become of the step.
    pub kind: StepKind,
    /// After this it is refused, microseconds since 1970.
    pub expires_us: i64,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// It is too old: nothing runs, nothing is stored, nothing is answered.
    Expired,
    /// The action runs in this transaction.
    RunAction,
    /// The undo runs in this transaction, with what the action answered.
    RunUndo(Value),
    /// Nothing runs.
    Answer(Conclusion),
}

/// How the transaction ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Conclusion {
    /// These rows are stored, committed, and then this is answered.
    Commit(Rows, Outcome),
    /// What ran is taken back up to before it ran; these rows are stored, committed, and then this is answered.
    CommitWithoutEffect(Rows, Outcome),
    /// All is rolled back; then this is answered.
    RollBack(Outcome),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ran {
    /// It had its effect.
    Ok(Value),
    /// Business says no.
    Rejected(String),
    /// It failed: nobody knows whether it could be done.
    Error(String),
}

/// What a command comes to, by the rows that are there.
pub fn judge(asked: Asked, rows: &Rows, now_us: i64) -> Judgement {
    if now_us > asked.expires_us {
        return Judgement::Expired;
    }
    match asked.op {
        Op::Action => match &rows.action {
            None => Judgement::RunAction,
            Some(verdict) => stored(rows, answer_to_action(verdict)),
        },
        Op::Compensate => match (&rows.action, &rows.undo) {
            (_, Some((undone, reply))) => stored(rows, answer_to_undo(*undone, reply)),
            (Some((Verdict::Done, reply)), None) => Judgement::RunUndo(reply.clone()),
            (action, None) => {
                let action = action.clone().or(Some((Verdict::Fenced, Value::Null)));
                let undo = Some((Undone::Noop, Value::Null));
                stored(&Rows { action, undo }, Outcome::Noop)
            }
        },
        Op::Fence => match &rows.action {
            Some((Verdict::Done, reply)) => stored(rows, Outcome::Done(reply.clone())),
            Some((Verdict::Failed | Verdict::Fenced, _)) => stored(rows, Outcome::Fenced),
            None => {
                let action = Some((Verdict::Fenced, Value::Null));
                let undo = rows.undo.clone();
                stored(&Rows { action, undo }, Outcome::Fenced)
            }
        },
    }
}

/// How the transaction of something that ran ends. `rows` are those that it was judged by.
pub fn conclude(asked: Asked, rows: &Rows, ran: Ran) -> Conclusion {
    match (asked.op, ran) {
        (_, Ran::Error(why)) => Conclusion::RollBack(Outcome::Unclear(why)),
        (Op::Compensate, Ran::Ok(reply)) => {
            let undo = Some((Undone::Undone, reply.clone()));
            let action = rows.action.clone();
            Conclusion::Commit(Rows { action, undo }, Outcome::Ok(reply))
        }
        (Op::Action | Op::Fence, Ran::Ok(reply)) => {
            let action = Some((Verdict::Done, reply.clone()));
            let undo = rows.undo.clone();
            Conclusion::Commit(Rows { action, undo }, Outcome::Ok(reply))
        }
        // An undo, or what must succeed in the end, may succeed at the next attempt.
        (Op::Compensate, Ran::Rejected(why)) => Conclusion::RollBack(Outcome::Rejected(why)),
        (Op::Action | Op::Fence, Ran::Rejected(why)) if asked.kind == StepKind::Retriable => {
            Conclusion::RollBack(Outcome::Rejected(why))
        }
        (Op::Action | Op::Fence, Ran::Rejected(why)) => {
            let action = Some((Verdict::Failed, why.clone().into()));
            let undo = rows.undo.clone();
            Conclusion::CommitWithoutEffect(Rows { action, undo }, Outcome::Rejected(why))
        }
    }
}

fn stored(rows: &Rows, outcome: Outcome) -> Judgement {
    Judgement::Answer(Conclusion::Commit(rows.clone(), outcome))
}

fn answer_to_action((verdict, reply): &(Verdict, Value)) -> Outcome {
    match verdict {
        Verdict::Done => Outcome::Ok(reply.clone()),
        Verdict::Failed => Outcome::Rejected(reply.as_str().unwrap_or_default().to_owned()),
        Verdict::Fenced => Outcome::Fenced,
    }
}

fn answer_to_undo(undone: Undone, reply: &Value) -> Outcome {
    match undone {
        Undone::Undone => Outcome::Ok(reply.clone()),
        Undone::Noop => Outcome::Noop,
    }
}

#[cfg(test)]
mod tests;
