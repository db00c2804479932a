//! The sound variant and the short cuts. Each is a switch in the world around the real decisions, never in them.

use keylane_core::saga::{
    Decision, Event, Moment, Op, Operation, Outcome, Phase, Plan, Reply, Saga, StepKind, StepRow,
    StepStatus, check, decide,
};
use serde_json::Value;

use super::world;
use crate::suite::{Simulation, mutant, sound};

/// The simulation.
pub const SIMULATION: Simulation = Simulation {
    name: "saga",
    variants: &[
        sound("sound"),
        mutant("no_barrier"),
        mutant("by_message_id"),
        mutant("no_fence"),
        mutant("no_is_not_kept"),
        mutant("timed_out_not_undone"),
        mutant("in_flight_not_undone"),
        mutant("replies_unmatched"),
        mutant("pivot_goes_back"),
        mutant("pivot_goes_forward"),
        mutant("undone_at_once"),
        mutant("publish_before_commit"),
        mutant("no_compare_and_set"),
    ],
    size: 40,
    run: world::run,
};

/// What the orchestrator makes of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orchestrator {
    /// As it is.
    Real,
    /// A step without a verdict in time counts as not done.
    TimedOutNotUndone,
    /// Steps that are out when another one fails count as not done.
    InFlightNotUndone,
    /// An answer is taken for the answer to whatever is out.
    RepliesUnmatched,
    /// A pivot without a verdict in time counts as not done.
    PivotGoesBack,
    /// A pivot without a verdict in time counts as done.
    PivotGoesForward,
    /// Steps are undone in no order.
    UndoneAtOnce,
}

/// What participants make of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barrier {
    /// As it is.
    Real,
    /// Every command is carried out.
    None,
    /// Every message is carried out once, by its id.
    ByMessage,
    /// An undo or a fence that finds nothing leaves nothing.
    NoFence,
    /// A no is answered and not kept.
    NoIsNotKept,
}

/// What a variant makes of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub orchestrator: Orchestrator,
    pub barrier: Barrier,
    /// Commands go out before their rows are written.
    pub publishes_first: bool,
    /// Rows are written whatever they have become meanwhile.
    pub overwrites: bool,
}

impl Rules {
    pub(super) fn of(variant: &str) -> Rules {
        let orchestrator = match variant {
            "timed_out_not_undone" => Orchestrator::TimedOutNotUndone,
            "in_flight_not_undone" => Orchestrator::InFlightNotUndone,
            "replies_unmatched" => Orchestrator::RepliesUnmatched,
            "pivot_goes_back" => Orchestrator::PivotGoesBack,
            "pivot_goes_forward" => Orchestrator::PivotGoesForward,
            "undone_at_once" => Orchestrator::UndoneAtOnce,
            _ => Orchestrator::Real,
        };
        let barrier = match variant {
            "no_barrier" => Barrier::None,
            "by_message_id" => Barrier::ByMessage,
            "no_fence" => Barrier::NoFence,
            "no_is_not_kept" => Barrier::NoIsNotKept,
            _ => Barrier::Real,
        };
        Rules {
            orchestrator,
            barrier,
            publishes_first: variant == "publish_before_commit",
            overwrites: variant == "no_compare_and_set",
        }
    }
}

impl Orchestrator {
    /// [`decide`], as this orchestrator does it.
    pub(super) fn decide(self, plan: &Plan, saga: Saga, event: Event, at: Moment) -> Decision {
        match (self, event) {
            (Orchestrator::RepliesUnmatched, Event::Reply(reply)) => {
                let event = Event::Reply(for_what_is_out(plan, &saga, reply));
                decide(plan, saga, event, at)
            }
            (Orchestrator::TimedOutNotUndone, Event::Due) => {
                given_up(plan, saga, at, StepKind::Compensatable, StepStatus::Noop)
            }
            (Orchestrator::PivotGoesBack, Event::Due) => {
                given_up(plan, saga, at, StepKind::Pivot, StepStatus::Failed)
            }
            (Orchestrator::PivotGoesForward, Event::Due) => goes_forward(plan, saga, at),
            (Orchestrator::UndoneAtOnce, event) => undone_at_once(plan, saga, event, at),
            (Orchestrator::InFlightNotUndone, event) => forgets_in_flight(plan, saga, event, at),
            (_, event) => decide(plan, saga, event, at),
        }
    }
}

fn for_what_is_out(plan: &Plan, saga: &Saga, reply: Reply) -> Reply {
    let out = saga.steps.iter().position(|row| row.status.op().is_some());
    let out = out.and_then(|at| Some((plan.step(at)?.id.clone(), saga.steps[at].status.op()?)));
    match out {
        None => reply,
        Some((step, op)) => Reply {
            step,
            op,
            outcome: reply.outcome,
        },
    }
}

/// The step of this kind whose action is out and is given up now.
fn late(plan: &Plan, saga: &Saga, at: Moment, kind: StepKind) -> Option<usize> {
    (0..saga.steps.len()).find(|place| {
        let row = &saga.steps[*place];
        let step = plan.step(*place);
        row.status == StepStatus::Sent
            && row.next_us.is_some_and(|next_us| next_us <= at.now_us)
            && step.is_some_and(|step| {
                let us = step.timeout_ms.unwrap_or(u64::MAX).saturating_mul(1000);
                let since_us = row.since_us.unwrap_or(at.now_us);
                step.kind == kind && since_us.saturating_add_unsigned(us) <= at.now_us
            })
    })
}

fn given_up(
    plan: &Plan,
    mut saga: Saga,
    at: Moment,
    kind: StepKind,
    becomes: StepStatus,
) -> Decision {
    let Some(place) = late(plan, &saga, at, kind) else {
        return decide(plan, saga, Event::Due, at);
    };
    forget(&mut saga.steps[place], becomes);
    decide(plan, saga, rolls_back("given up"), at)
}

fn goes_forward(plan: &Plan, saga: Saga, at: Moment) -> Decision {
    let Some(place) = late(plan, &saga, at, StepKind::Pivot) else {
        return decide(plan, saga, Event::Due, at);
    };
    let event = Event::Reply(Reply {
        step: plan
            .step(place)
            .map_or_else(String::new, |it| it.id.clone()),
        op: Op::Action,
        outcome: Outcome::Ok(Value::Null),
    });
    decide(plan, saga, event, at)
}

fn forgets_in_flight(plan: &Plan, mut saga: Saga, event: Event, at: Moment) -> Decision {
    let turned = |it: &Decision| it.saga.phase == Phase::Compensating;
    let decision = decide(plan, saga.clone(), event.clone(), at);
    if saga.phase != Phase::Running || !turned(&decision) {
        return decision;
    }
    let said = match &event {
        Event::Reply(reply) => plan.place(&reply.step),
        _ => None,
    };
    for (place, row) in saga.steps.iter_mut().enumerate() {
        if row.status == StepStatus::Sent && Some(place) != said {
            forget(row, StepStatus::Noop);
        }
    }
    let event = match event {
        Event::Reply(_) => event,
        _ => rolls_back("given up"),
    };
    decide(plan, saga, event, at)
}

fn undone_at_once(plan: &Plan, mut saga: Saga, event: Event, at: Moment) -> Decision {
    let decision = decide(plan, saga.clone(), event.clone(), at);
    let mut definition = plan.definition().clone();
    for step in &mut definition.steps {
        step.after = Some(Vec::new());
    }
    match check(definition) {
        Ok(without_order) if decision.saga.phase == Phase::Compensating => {
            saga.hash = without_order.hash();
            let mut decision = decide(&without_order, saga, event, at);
            decision.saga.hash = plan.hash();
            decision
        }
        _ => decision,
    }
}

fn forget(row: &mut StepRow, becomes: StepStatus) {
    row.status = becomes;
    (row.since_us, row.next_us) = (None, None);
}

/// Somebody cancels.
pub(super) fn rolls_back(reason: &str) -> Event {
    Event::Operation {
        operation: Operation::RollBack,
        actor: "somebody".into(),
        reason: reason.into(),
    }
}
