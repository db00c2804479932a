//! Every order of everything on a choreographed saga of four services, A → {B, C}, B → D, of which B, C and D may fail side by side and which may be aborted at any moment.
//!
//! What reacts is the real [`reaction`] over the real barrier; events are a set that only grows, each delivered at any moment to whoever it is for, any number of times.

use std::collections::{BTreeSet, HashMap};

use keylane_core::saga::{
    Asked, Choreography, ChoreographyStep, Heard, Op, Outcome, Part, Said, State, StepKind,
    reaction, told,
};

use super::participant::{Participant, Will};
use super::variants::Barrier;
use crate::verdict::{Checker, Failure};

/// The steps, each with what sets it going: `start`, or that the step of this name is done.
const STEPS: [(&str, &str); 4] = [("a", "start"), ("b", "a"), ("c", "a"), ("d", "b")];
/// The first step cannot say no.
const FIRST: usize = 0;
const EXPIRES_US: i64 = 0;

/// An event: the start, an abort, or what is said of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Event {
    Start,
    Abort,
    Of(usize, Said),
}

/// What a variant makes of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// By the barrier.
    Barrier(Barrier),
    /// Each event once, by its id, and no barrier.
    ByEvent,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    events: BTreeSet<Event>,
    participants: [u8; STEPS.len()],
    /// Which events each service has taken in; only where that is what it goes by.
    taken: [BTreeSet<Event>; STEPS.len()],
}

/// A state in which nothing moves any more: its events, and whether it was to be undone.
pub(super) struct Rest {
    events: Vec<Heard>,
    is_undone: bool,
}

/// Goes through all states: those in which nothing moves any more, and all.
fn explore(variant: Variant) -> Result<(Vec<Rest>, Vec<Node>), Failure> {
    let first = Node {
        events: BTreeSet::from([Event::Start]),
        participants: [Participant::default().packed(); STEPS.len()],
        taken: Default::default(),
    };
    let mut nodes = vec![first.clone()];
    let mut known = HashMap::from([(first, 0)]);
    let mut rests = Vec::new();
    let mut next = 0;
    while let Some(node) = nodes.get(next).cloned() {
        next += 1;
        effects(&node)?;
        let mut moves = false;
        for (service, event) in deliveries(&node) {
            for will in [Will::Succeed, Will::Refuse] {
                let after = deliver(&node, service, event, will, variant);
                moves |= after != node;
                reach(after, &mut nodes, &mut known);
            }
        }
        if !moves {
            rests.push(rest(&node)?);
        }
        let mut aborted = node;
        aborted.events.insert(Event::Abort);
        reach(aborted, &mut nodes, &mut known);
    }
    Ok((rests, nodes))
}

fn reach(node: Node, nodes: &mut Vec<Node>, known: &mut HashMap<Node, usize>) {
    let place = nodes.len();
    if *known.entry(node.clone()).or_insert(place) == place {
        nodes.push(node);
    }
}

fn deliveries(node: &Node) -> Vec<(usize, Event)> {
    let to_all = |event: &Event| {
        (0..STEPS.len())
            .map(|service| (service, *event))
            .collect::<Vec<_>>()
    };
    node.events.iter().flat_map(to_all).collect()
}

fn deliver(node: &Node, service: usize, event: Event, will: Will, variant: Variant) -> Node {
    let mut after = node.clone();
    let (id, trigger) = STEPS[service];
    let consumes = [done_type(trigger)];
    let part = Part {
        step: id,
        consumes: &consumes,
        can_be_undone: true,
    };
    let Some(op) = reaction(part, &heard(event)) else {
        return after;
    };
    let will = if op == Op::Action && service != FIRST {
        will
    } else {
        Will::Succeed
    };
    let mut participant = Participant::of_packed(node.participants[service]);
    let before = participant.clone();
    let outcome = match variant {
        Variant::Barrier(barrier) => {
            let asked = Asked {
                op,
                kind: StepKind::Compensatable,
                expires_us: EXPIRES_US,
            };
            participant.carry_out(barrier, asked, will, EXPIRES_US)
        }
        Variant::ByEvent if !after.taken[service].insert(event) => return after,
        Variant::ByEvent => Some(without_barrier(&mut participant, op, will)),
    };
    after.participants[service] = participant.packed();
    // Told in the transaction that changes the rows; who forgets tells all the same.
    let changed = participant != before || variant != Variant::Barrier(Barrier::Real);
    let said = outcome.and_then(|it| told(op, &it)).filter(|_| changed);
    after
        .events
        .extend(said.map(|said| Event::Of(service, said)));
    after
}

/// What one does who knows each event by its id, and whether its effect is there.
fn without_barrier(participant: &mut Participant, op: Op, will: Will) -> Outcome {
    match (op, will, participant.acted) {
        (Op::Action, Will::Succeed, _) => {
            participant.acted = (participant.acted + 1).min(3);
            Outcome::Ok(serde_json::Value::Null)
        }
        (Op::Action, ..) => Outcome::Rejected("no".into()),
        (_, _, 0) => Outcome::Noop,
        _ => {
            participant.undone = (participant.undone + 1).min(3);
            Outcome::Ok(serde_json::Value::Null)
        }
    }
}

fn done_type(id: &str) -> String {
    match id {
        "start" => id.to_owned(),
        _ => format!("{id}.done"),
    }
}

/// The event as it is on a topic. Times are such that they depend on the event alone.
fn heard(event: Event) -> Heard {
    let (type_name, step, at_us) = match event {
        Event::Start => ("start".to_owned(), None, 0),
        Event::Abort => ("abort".to_owned(), None, 1),
        Event::Of(service, said) => {
            let id = STEPS[service].0.to_owned();
            let at_us = 2 + 10 * service as i64 + said as i64;
            (format!("{id}.{}", said.code()), Some((id, said)), at_us)
        }
    };
    let service = step.as_ref().map_or_else(String::new, |(id, _)| id.clone());
    Heard {
        type_name,
        step,
        service,
        aborts: event == Event::Abort,
        at_us,
        ..Heard::default()
    }
}

fn participants(node: &Node) -> impl Iterator<Item = (&'static str, Participant)> {
    let ids = STEPS.iter().map(|(id, _)| *id);
    ids.zip(node.participants.map(Participant::of_packed))
}

fn effects(node: &Node) -> Result<(), Failure> {
    for (id, it) in participants(node) {
        if it.acted > 1 || it.undone > it.acted {
            let seen = format!(
                "{id} was done {} times and undone {} times",
                it.acted, it.undone
            );
            return Err(Failure::new(Checker::NoDoubleEffect, seen));
        }
    }
    Ok(())
}

/// Nothing moves any more: all is done, or all is undone.
fn rest(node: &Node) -> Result<Rest, Failure> {
    let goes_back = |event: &Event| matches!(event, Event::Abort | Event::Of(_, Said::Failed));
    let is_undone = node.events.iter().any(goes_back);
    for (id, it) in participants(node) {
        let is_right = match is_undone {
            true => it.acted == it.undone,
            false => (it.acted, it.undone) == (1, 0),
        };
        if !is_right {
            let seen = format!(
                "undone: {is_undone}, but {id} was done {} times and undone {} times",
                it.acted, it.undone
            );
            return Err(Failure::new(Checker::AllOrNothing, seen));
        }
    }
    Ok(Rest {
        events: node.events.iter().map(|it| heard(*it)).collect(),
        is_undone,
    })
}

impl Rest {
    /// What a tracker must tell of it.
    fn state(&self) -> State {
        if self.is_undone {
            State::Compensated
        } else {
            State::Completed
        }
    }
}

/// The same four services, as they are registered.
fn registered() -> Choreography {
    let step = |(id, trigger): &(&str, &str)| ChoreographyStep {
        id: (*id).to_owned(),
        consumes: vec![done_type(trigger)],
        emits: vec![done_type(id)],
    };
    Choreography {
        name: "four".into(),
        begins: vec!["start".into()],
        steps: STEPS.iter().map(step).collect(),
        ..Choreography::default()
    }
}

#[cfg(test)]
mod tests;
