//! Every order of everything, on small sagas: breadth first over all that can happen, until nothing new does.
//!
//! The network is the set of all messages ever sent: each may be delivered at any moment, any number of times, or never. Steps may be late, and the saga cancelled, at any
//! moment. What moves is the real decision and the real barrier; what is kept of a state is all of it that they look at.

use std::collections::HashMap;

use keylane_core::saga::{
    Asked, Event, Moment, Op, Operation, Plan, Reply, Saga, Start, StepKind, StepStatus, check,
    start,
};

mod cases;
pub use cases::CASES;

mod packed;
use packed::{Net, Packed};

use super::check::{effects, is_found_again, order};
use super::participant::{Participant, Will};
use super::variants::{Rules, rolls_back};
use crate::verdict::{Checker, Failure};

/// When nothing is late.
const NOW_US: i64 = 0;
/// Long enough ago for anything.
const LONG_AGO_US: i64 = i64::MIN / 4;
const MOMENT: Moment = Moment {
    now_us: NOW_US,
    seed: 0,
};

/// A small saga, and what may happen to it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// Its definition.
    pub definition: fn() -> keylane_core::saga::Definition,
    /// Steps may be passed over and completed by hand.
    pub is_operated: bool,
    /// Undos and retriable steps may be refused, too.
    pub all_is_refused: bool,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Different states.
    pub states: usize,
    /// Whether that is all of them.
    pub is_all: bool,
    /// The first state that must not be, and the way to it.
    pub failure: Option<(Failure, Vec<String>)>,
}

/// Goes through all states of a case, `states_max` at most, as a variant does it.
pub fn explore(case: &Case, variant: &str, states_max: usize) -> Seen {
    let plan = check((case.definition)()).expect("a case keeps the rules");
    let mut explorer = Explorer {
        case,
        rules: Rules::of(variant),
        plan: &plan,
        nodes: Vec::new(),
        places: HashMap::new(),
        came_from: 0,
        edges: Vec::new(),
        is_wish: false,
    };
    let id = Start {
        id: "saga".into(),
        key: None,
        data: serde_json::Value::Null,
    };
    let begun = start(&plan, id, MOMENT).expect("an id that fits");
    let mut net = Net::default();
    begun.commands.iter().for_each(|it| net.command(&plan, it));
    let participants = vec![Participant::default(); begun.saga.steps.len()];
    let first = State {
        net,
        saga: begun.saga,
        participants,
    };
    explorer.reach(&first);
    explorer.run(states_max)
}

#[derive(Clone)]
struct State {
    net: Net,
    saga: Saga,
    participants: Vec<Participant>,
}

struct Explorer<'a> {
    case: &'a Case,
    rules: Rules,
    plan: &'a Plan,
    /// In the order in which they were reached, with the place of the one before.
    nodes: Vec<(Packed, usize)>,
    places: HashMap<Packed, usize>,
    came_from: usize,
    /// What leads where without anybody's wish, from place to place.
    edges: Vec<(u32, u32)>,
    is_wish: bool,
}

impl Explorer<'_> {
    fn run(&mut self, states_max: usize) -> Seen {
        let mut next = 0;
        while let Some((packed, _)) = self.nodes.get(next) {
            let state = packed.state(self.plan);
            self.came_from = next;
            let failure = effects(&state.saga, state.participants.iter())
                .and_then(|()| order(self.plan, &state.saga))
                .and_then(|()| is_found_again(&state.saga))
                .and_then(|()| self.follow(&state))
                .err();
            if failure.is_some() || self.nodes.len() >= states_max {
                return Seen {
                    states: self.nodes.len(),
                    is_all: false,
                    failure: failure.map(|failure| (failure, self.way_to(next))),
                };
            }
            next += 1;
        }
        let failure = self.without_end().map(|place| {
            let seen = "no way leads from here to an end";
            (Failure::new(Checker::Progress, seen), self.way_to(place))
        });
        Seen {
            states: self.nodes.len(),
            is_all: true,
            failure,
        }
    }

    /// A state from which no end is reached by itself.
    fn without_end(&self) -> Option<usize> {
        let mut comes_from = vec![Vec::new(); self.nodes.len()];
        for (from, to) in &self.edges {
            comes_from[*to as usize].push(*from as usize);
        }
        let mut ends: Vec<usize> = (0..self.nodes.len())
            .filter(|place| self.nodes[*place].0.state(self.plan).saga.has_ended())
            .collect();
        let mut reaches_end = vec![false; self.nodes.len()];
        while let Some(place) = ends.pop() {
            if !std::mem::replace(&mut reaches_end[place], true) {
                ends.extend(&comes_from[place]);
            }
        }
        reaches_end.iter().position(|it| !it)
    }

    /// Everything that can happen next.
    fn follow(&mut self, state: &State) -> Result<(), Failure> {
        let mut moves = false;
        for (place, op) in state.net.commands(state.saga.steps.len()) {
            for will in [Will::Succeed, Will::Refuse] {
                moves |= self.deliver(state, place, op, will);
            }
        }
        for (place, op, outcome) in state.net.replies(state.saga.steps.len()) {
            let step = self
                .plan
                .step(place)
                .map_or_else(String::new, |it| it.id.clone());
            moves |= self.event(state, Event::Reply(Reply { step, op, outcome }));
        }
        for place in 0..state.saga.steps.len() {
            moves |= self.late(state, place);
            if self.case.is_operated {
                moves |= self.operated(state, place);
            }
        }
        self.wish(state, rolls_back("cancelled"));
        if !moves && !state.saga.has_ended() {
            let stands = "it has not ended, and whatever is delivered changes nothing";
            return Err(Failure::new(Checker::Progress, stands));
        }
        Ok(())
    }

    fn deliver(&mut self, state: &State, place: usize, op: Op, will: Will) -> bool {
        let Some(step) = self.plan.step(place) else {
            return false;
        };
        let is_kept_no = op == Op::Action && step.kind != StepKind::Retriable;
        if will == Will::Refuse && !is_kept_no && !self.case.all_is_refused {
            return false;
        }
        let mut after = state.clone();
        let asked = Asked {
            op,
            kind: step.kind,
            expires_us: NOW_US,
        };
        let answered = after.participants[place].carry_out(self.rules.barrier, asked, will, NOW_US);
        if let Some(outcome) = answered {
            after.net.reply(place, op, &outcome);
        }
        self.reach(&after)
    }

    /// The step's time has come, and no other's.
    fn late(&mut self, state: &State, place: usize) -> bool {
        let mut before = state.clone();
        let may_be_late = |kind| kind != StepKind::Retriable;
        let row = &mut before.saga.steps[place];
        let kind = self.plan.step(place).map(|step| step.kind);
        if row.status != StepStatus::Sent || !kind.is_some_and(may_be_late) {
            return false;
        }
        (row.since_us, row.next_us) = (Some(LONG_AGO_US), Some(NOW_US));
        self.event(&before, Event::Due)
    }

    /// Somebody may want this, or not.
    fn wish(&mut self, state: &State, event: Event) {
        self.is_wish = true;
        self.event(state, event);
        self.is_wish = false;
    }

    /// Somebody may ask for something; whether nobody else could have helped.
    fn operated(&mut self, state: &State, place: usize) -> bool {
        let step = self
            .plan
            .step(place)
            .map_or_else(String::new, |it| it.id.clone());
        let row = &state.saga.steps[place];
        let reply = serde_json::Value::Null;
        let complete = Operation::Complete {
            step: step.clone(),
            reply,
        };
        self.wish(state, asked(Operation::Skip { step: step.clone() }));
        self.wish(state, asked(complete));
        let by_hand = row.by_hand && row.status == StepStatus::Compensating;
        by_hand && self.event(state, asked(Operation::MarkCompensated { step }))
    }

    /// The orchestrator hears of something.
    fn event(&mut self, state: &State, event: Event) -> bool {
        let saga = state.saga.clone();
        let decision = self
            .rules
            .orchestrator
            .decide(self.plan, saga, event, MOMENT);
        let mut after = State {
            net: state.net,
            saga: decision.saga,
            participants: state.participants.clone(),
        };
        decision
            .commands
            .iter()
            .for_each(|it| after.net.command(self.plan, it));
        let mut moves = self.reach(&after);
        if self.rules.publishes_first {
            // It died between the two.
            after.saga = state.saga.clone();
            moves |= self.reach(&after);
        }
        moves
    }

    /// Notes a state; whether it is another one than that which it came from.
    fn reach(&mut self, state: &State) -> bool {
        let packed = Packed::of(state);
        let place = self.nodes.len();
        let known = *self.places.entry(packed).or_insert(place);
        if known == place {
            self.nodes.push((packed, self.came_from));
        }
        if !self.is_wish {
            self.edges.push((self.came_from as u32, known as u32));
        }
        known != self.came_from
    }

    fn way_to(&self, place: usize) -> Vec<String> {
        let mut way = Vec::new();
        let mut at = place;
        loop {
            let (packed, came_from) = self.nodes[at];
            way.push(packed.state(self.plan).told());
            if came_from == at {
                way.reverse();
                return way;
            }
            at = came_from;
        }
    }
}

fn asked(operation: Operation) -> Event {
    let (actor, reason) = (String::new(), String::new());
    Event::Operation {
        operation,
        actor,
        reason,
    }
}

impl State {
    fn told(&self) -> String {
        let step = |(row, it): (&keylane_core::saga::StepRow, &Participant)| {
            format!("{} +{} -{}", row.status.code(), it.acted, it.undone)
        };
        let steps: Vec<String> = self
            .saga
            .steps
            .iter()
            .zip(&self.participants)
            .map(step)
            .collect();
        format!("{}: {}", self.saga.phase.code(), steps.join(", "))
    }
}

#[cfg(test)]
mod tests;
