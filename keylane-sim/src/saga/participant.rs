//! A participant's side of one step of one saga: the rows that the real barrier keeps, and the effects that it is there to bound.

use keylane_core::saga::{
    Asked, Conclusion, Judgement, Op, Outcome, Ran, Rows, Undone, Verdict, conclude, judge,
};
use serde_json::Value;

use super::variants::Barrier;

/// Enough to be seen as too often.
const TOO_OFTEN: u8 = 3;

/// The rows, and how often the effect was had and undone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Participant {
    pub rows: Rows,
    pub acted: u8,
    pub undone: u8,
}

/// What business makes of a command that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Will {
    Succeed,
    Refuse,
    Fail,
}

const VERDICTS: [Verdict; 3] = [Verdict::Done, Verdict::Failed, Verdict::Fenced];
const UNDOS: [Undone; 2] = [Undone::Undone, Undone::Noop];

impl Participant {
    /// All of it in eight bits, but for what was answered.
    pub fn packed(&self) -> u8 {
        let verdict = self.rows.action.as_ref().map_or(0, |(it, _)| *it as u8 + 1);
        let undo = self.rows.undo.as_ref().map_or(0, |(it, _)| *it as u8 + 1);
        verdict | undo << 2 | self.acted << 4 | self.undone << 6
    }

    /// What [`Participant::packed`] made a number of, with null for what was answered.
    pub fn of_packed(packed: u8) -> Participant {
        let part = |shift: u8| packed >> shift & 3;
        let verdict = usize::from(part(0)).checked_sub(1).map(|it| VERDICTS[it]);
        let undo = usize::from(part(2)).checked_sub(1).map(|it| UNDOS[it]);
        Participant {
            rows: Rows {
                action: verdict.map(|it| (it, Value::Null)),
                undo: undo.map(|it| (it, Value::Null)),
            },
            acted: part(4),
            undone: part(6),
        }
    }

    /// Carries a command out in one transaction; what is answered, if anything is.
    pub fn carry_out(
        &mut self,
        barrier: Barrier,
        asked: Asked,
        will: Will,
        now_us: i64,
    ) -> Option<Outcome> {
        if now_us > asked.expires_us {
            return None;
        }
        match barrier {
            Barrier::Real | Barrier::NoFence | Barrier::NoIsNotKept => {}
            Barrier::None => return Some(self.without(asked.op, will)),
            Barrier::ByMessage => return Some(self.by_message(asked.op, will)),
        }
        let ran = match will {
            Will::Succeed => Ran::Ok(Value::Null),
            Will::Refuse => Ran::Rejected("no".into()),
            Will::Fail => Ran::Error("failed".into()),
        };
        let before = self.rows.clone();
        let (conclusion, ran) = match judge(asked, &before, now_us) {
            Judgement::Expired => return None,
            Judgement::RunAction | Judgement::RunUndo(_) => {
                (conclude(asked, &before, ran), Some(asked.op))
            }
            Judgement::Answer(conclusion) => (conclusion, None),
        };
        let (rows, outcome, has_effect) = match conclusion {
            Conclusion::Commit(rows, outcome) => (rows, outcome, true),
            Conclusion::CommitWithoutEffect(rows, outcome) => (rows, outcome, false),
            Conclusion::RollBack(outcome) => return Some(outcome),
        };
        self.rows = rows;
        match ran.filter(|_| has_effect) {
            Some(Op::Compensate) => self.undo(),
            Some(Op::Action | Op::Fence) => self.act(),
            None => {}
        }
        let forgets = match (barrier, &self.rows.action) {
            (Barrier::NoFence, Some((verdict, _))) => *verdict == Verdict::Fenced,
            (Barrier::NoIsNotKept, Some((verdict, _))) => *verdict == Verdict::Failed,
            _ => false,
        };
        if forgets {
            self.rows.action = None;
        }
        Some(outcome)
    }

    fn act(&mut self) {
        self.acted = (self.acted + 1).min(TOO_OFTEN);
    }

    fn undo(&mut self) {
        self.undone = (self.undone + 1).min(TOO_OFTEN);
    }

    fn without(&mut self, op: Op, will: Will) -> Outcome {
        match (op, will) {
            (_, Will::Fail) => Outcome::Unclear("failed".into()),
            (Op::Fence, _) => self.seen(),
            (_, Will::Refuse) => Outcome::Rejected("no".into()),
            (Op::Action, Will::Succeed) => {
                self.act();
                Outcome::Ok(Value::Null)
            }
            (Op::Compensate, Will::Succeed) => {
                self.undo();
                Outcome::Ok(Value::Null)
            }
        }
    }

    fn by_message(&mut self, op: Op, will: Will) -> Outcome {
        let is_known = match op {
            Op::Action => self.rows.action.is_some(),
            Op::Compensate => self.rows.undo.is_some(),
            Op::Fence => return self.seen(),
        };
        match (op, will) {
            _ if is_known => Outcome::Ok(Value::Null),
            (_, Will::Fail) => Outcome::Unclear("failed".into()),
            (Op::Action | Op::Fence, Will::Refuse) => {
                self.rows.action = Some((Verdict::Failed, Value::Null));
                Outcome::Rejected("no".into())
            }
            (Op::Action | Op::Fence, Will::Succeed) => {
                self.rows.action = Some((Verdict::Done, Value::Null));
                self.act();
                Outcome::Ok(Value::Null)
            }
            (Op::Compensate, Will::Succeed | Will::Refuse) => {
                self.rows.undo = Some((Undone::Undone, Value::Null));
                if self.acted > self.undone {
                    self.undo();
                }
                Outcome::Ok(Value::Null)
            }
        }
    }

    /// What a fence is answered by one who keeps none.
    fn seen(&self) -> Outcome {
        match self.acted {
            0 => Outcome::Fenced,
            _ => Outcome::Done(Value::Null),
        }
    }
}
