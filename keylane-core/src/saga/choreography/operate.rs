//! What people may ask of a choreographed saga, and what its services are told then.

use super::{Choreographies, Said, Signal, SignalKind, Tracked};
use crate::saga::event::{Operation, What};
use crate::saga::port::Line;
use crate::saga::state::State;

/// What somebody asks of a choreographed saga.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request<'a> {
    /// What.
    pub operation: &'a Operation,
    /// Who.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
    /// When, microseconds since 1970.
    pub at_us: i64,
}

/// What follows from it: lines of the timeline, and signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The lines.
    pub lines: Vec<Line>,
    /// What goes out; nothing, if it is refused.
    pub signals: Vec<Signal>,
    /// Why it is refused, if it is.
    pub refused: Option<String>,
}

/// What an operation on a saga comes to. `others` are the topics for sagas of no known choreography.
pub fn operate(
    tracked: &Tracked,
    known: &Choreographies,
    others: &[String],
    request: Request<'_>,
) -> Answer {
    let topics = known
        .of(&tracked.track)
        .map_or(others, |it| it.signal_topics());
    let asked = kinds(tracked, known, request.operation).and_then(|kinds| match topics {
        [] => Err("no topic is known to tell its services by: name saga.tracker.signal, or its choreography under saga.choreographies".to_owned()),
        _ => Ok(kinds),
    });
    let step = match request.operation {
        Operation::MarkCompensated { step }
        | Operation::Skip { step }
        | Operation::Complete { step, .. } => Some(step.clone()),
        Operation::Retry { step } => step.clone(),
        Operation::RollBack => None,
    };
    let line = |what: What, why: String| Line {
        at_us: request.at_us,
        what: what.code().to_owned(),
        step: step.clone(),
        attempt: None,
        actor: Some(request.actor.to_owned()),
        reason: Some(why),
    };
    let code = request.operation.code();
    let mut lines = vec![line(What::Asked, format!("{code}: {}", request.reason))];
    let (kinds, refused) = match asked {
        Ok(kinds) => (kinds, None),
        Err(why) => {
            lines.push(line(What::Refused, why.clone()));
            (Vec::new(), Some(why))
        }
    };
    let to = |kind: SignalKind| {
        // What a tracker alone has to hear goes into one topic.
        let most = if kind == SignalKind::Abort {
            topics.len()
        } else {
            1
        };
        topics.iter().take(most).map(move |topic| Signal {
            saga: tracked.id.clone(),
            kind: kind.clone(),
            topic: topic.clone(),
            actor: request.actor.to_owned(),
            reason: request.reason.to_owned(),
            at_us: request.at_us,
        })
    };
    Answer {
        lines,
        signals: kinds.into_iter().flat_map(to).collect(),
        refused,
    }
}

/// What its services are told.
fn kinds(
    tracked: &Tracked,
    known: &Choreographies,
    operation: &Operation,
) -> Result<Vec<SignalKind>, String> {
    let is_unheard = |step| is_unheard_before(tracked, known, step);
    match operation {
        Operation::RollBack => abort(tracked, known.row(&tracked.track).state),
        Operation::Retry { .. } => again(tracked),
        Operation::MarkCompensated { step } => {
            let waits = known.row(&tracked.track).waits;
            if !tracked.track.steps.contains_key(step) && !waits.contains(step) {
                let waits = waits.join(", ");
                return Err(format!("it has no step {step}; it waits for: {waits}"));
            }
            by_hand(tracked, step, is_unheard(step))
        }
        Operation::Complete { step, .. } if is_unheard(step) => known_by_hand(tracked, step),
        Operation::Skip { .. } | Operation::Complete { .. } => Err("nobody sends commands to the steps of a choreographed saga: tell the event that the step would have ended with (POST /v1/events/TOPIC), or compensate the saga".to_owned()),
    }
}

fn abort(tracked: &Tracked, state: State) -> Result<Vec<SignalKind>, String> {
    let is_told = tracked
        .told
        .iter()
        .any(|(it, _)| it.kind == SignalKind::Abort);
    if state == State::Compensated {
        return Err("nothing is left of it already".to_owned());
    }
    if is_told || tracked.track.aborted_us.is_some() {
        return Err("it is aborted already: 'retry' tells its services again".to_owned());
    }
    Ok(vec![SignalKind::Abort])
}

fn again(tracked: &Tracked) -> Result<Vec<SignalKind>, String> {
    let mut kinds: Vec<SignalKind> = Vec::new();
    for (signal, _) in &tracked.told {
        if !kinds.contains(&signal.kind) {
            kinds.push(signal.kind.clone());
        }
    }
    match kinds.is_empty() {
        true => Err("its services were told nothing that could be told again. Events wait for them in their topics: mend the service that does not get on, and it goes on by itself".to_owned()),
        false => Ok(kinds),
    }
}

fn by_hand(tracked: &Tracked, step: &str, is_unheard: bool) -> Result<Vec<SignalKind>, String> {
    let track = &tracked.track;
    let is_told = tracked
        .told
        .iter()
        .any(|(it, _)| it.kind == SignalKind::Abort);
    if track.goes_back_us().is_none() && !is_told {
        return Err("it goes forward: compensate it first".to_owned());
    }
    let known = track.steps.get(step).cloned().unwrap_or_default();
    if known.is_back() && !is_unheard {
        return Err(format!("nothing is left of step {step} already"));
    }
    let said = match known.is(Said::Done) {
        true => Said::Undone,
        false => Said::Fenced,
    };
    let step = step.to_owned();
    Ok(vec![SignalKind::ByHand { step, said }])
}

/// Whether something must have been told before what was heard of a step that was not heard itself.
fn is_unheard_before(tracked: &Tracked, known: &Choreographies, step: &str) -> bool {
    let unheard = known.unheard_before(&tracked.track);
    unheard.iter().any(|id| id == step)
}

/// A step has ended, and somebody knows what set it going: what its service said of it is said again.
fn known_by_hand(tracked: &Tracked, step: &str) -> Result<Vec<SignalKind>, String> {
    let track = tracked.track.steps.get(step);
    let said = track.and_then(|it| it.said.keys().next_back().copied());
    let said = said.ok_or_else(|| format!("nothing was heard of step {step}"))?;
    let step = step.to_owned();
    Ok(vec![SignalKind::ByHand { step, said }])
}
