//! A state in a few numbers, so that millions of them fit, and back again.

use keylane_core::saga::{Command, Op, Outcome, Phase, Plan, Saga, StepRow, StepStatus};
use serde_json::Value;

use super::{NOW_US, Participant, State};

/// The kinds of answers, as they are numbered.
const REPLIES: [(Op, fn() -> Outcome); 8] = [
    (Op::Action, || Outcome::Ok(Value::Null)),
    (Op::Action, || Outcome::Rejected("no".into())),
    (Op::Action, || Outcome::Fenced),
    (Op::Compensate, || Outcome::Ok(Value::Null)),
    (Op::Compensate, || Outcome::Rejected("no".into())),
    (Op::Compensate, || Outcome::Noop),
    (Op::Fence, || Outcome::Done(Value::Null)),
    (Op::Fence, || Outcome::Fenced),
];
const BITS_OF_STEP: usize = Op::ALL.len() + REPLIES.len();

/// All messages ever sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Net(u128);

impl Net {
    pub fn command(&mut self, plan: &Plan, command: &Command) {
        let place = plan.place(&command.step).expect("a command names a step");
        self.0 |= 1 << (place * BITS_OF_STEP + command.op as usize);
    }

    pub fn reply(&mut self, place: usize, op: Op, outcome: &Outcome) {
        let same = |(of, as_numbered): &(Op, fn() -> Outcome)| {
            *of == op && as_numbered().code() == outcome.code()
        };
        // What says nothing is as if it had never come.
        if let Some(number) = REPLIES.iter().position(same) {
            self.0 |= 1 << (place * BITS_OF_STEP + Op::ALL.len() + number);
        }
    }

    pub fn commands(self, steps: usize) -> impl Iterator<Item = (usize, Op)> {
        let is_there = move |place: usize, op: Op| self.has(place * BITS_OF_STEP + op as usize);
        (0..steps).flat_map(move |place| {
            let ops = Op::ALL.into_iter();
            ops.filter(move |op| is_there(place, *op))
                .map(move |op| (place, op))
        })
    }

    pub fn replies(self, steps: usize) -> impl Iterator<Item = (usize, Op, Outcome)> {
        (0..steps).flat_map(move |place| {
            let from = place * BITS_OF_STEP + Op::ALL.len();
            let replies = REPLIES.iter().enumerate();
            replies
                .filter(move |(number, _)| self.has(from + number))
                .map(move |(_, (op, outcome))| (place, *op, outcome()))
        })
    }

    fn has(self, bit: usize) -> bool {
        self.0 & (1 << bit) != 0
    }
}

/// Everything of a state that decides what may come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Packed {
    net: Net,
    saga: u64,
    participants: u64,
}

/// Numbers of a few bits each, put into one and taken out again in the same order.
struct Bits(u64, u32);

impl Bits {
    fn put(&mut self, value: usize, bits: u32) {
        assert!(
            value < 1 << bits && self.1 + bits <= u64::BITS,
            "it does not fit"
        );
        self.0 |= (value as u64) << self.1;
        self.1 += bits;
    }

    fn take(&mut self, bits: u32) -> usize {
        let value = (self.0 >> self.1) & ((1 << bits) - 1);
        self.1 += bits;
        value as usize
    }

    fn take_flag(&mut self) -> bool {
        self.take(1) == 1
    }
}

impl Packed {
    pub fn of(state: &State) -> Packed {
        let mut saga = Bits(0, 0);
        saga.put(state.saga.phase as usize, 2);
        saga.put(usize::from(state.saga.reason.is_some()), 1);
        for row in &state.saga.steps {
            saga.put(row.status as usize, 4);
            for flag in [row.stuck, row.by_hand, row.reply.is_some()] {
                saga.put(usize::from(flag), 1);
            }
        }
        let mut participants = Bits(0, 0);
        for it in &state.participants {
            participants.put(usize::from(it.packed()), u8::BITS);
        }
        Packed {
            net: state.net,
            saga: saga.0,
            participants: participants.0,
        }
    }

    pub fn state(&self, plan: &Plan) -> State {
        let mut bits = Bits(self.saga, 0);
        let phase = Phase::ALL[bits.take(2)];
        let reason = bits.take_flag().then(|| "some".to_owned());
        let count = plan.definition().steps.len();
        let has_ended = matches!(phase, Phase::Completed | Phase::Compensated);
        let steps = (0..count).map(|_| row(&mut bits)).collect();
        let mut bits = Bits(self.participants, 0);
        let participants = (0..count)
            .map(|_| Participant::of_packed(bits.take(u8::BITS) as u8))
            .collect();
        State {
            net: self.net,
            saga: Saga {
                id: "saga".into(),
                key: None,
                definition: plan.definition().name.clone(),
                version: plan.definition().version,
                hash: plan.hash(),
                phase,
                revision: 1,
                data: Value::Null,
                reason,
                started_us: NOW_US,
                updated_us: NOW_US,
                ended_us: has_ended.then_some(NOW_US),
                deadline_us: None,
                steps,
            },
            participants,
        }
    }
}

fn row(bits: &mut Bits) -> StepRow {
    let status = StepStatus::ALL[bits.take(4)];
    let (stuck, by_hand, has_reply) = (bits.take_flag(), bits.take_flag(), bits.take_flag());
    let is_out = status.op().is_some();
    StepRow {
        status,
        attempts: u32::from(status != StepStatus::Pending),
        tries: u32::from(is_out),
        since_us: is_out.then_some(NOW_US),
        next_us: is_out.then_some(i64::MAX),
        stuck,
        by_hand,
        reply: has_reply.then_some(Value::Null),
        error: None,
    }
}
