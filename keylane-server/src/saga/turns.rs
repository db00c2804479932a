//! In which turns the steps of a plan go, and are undone: those of one turn go side by side.

use keylane_core::saga::{Plan, Step, StepKind};

/// The steps of each turn, in the order in which they are written.
pub(super) type Turns<'p> = Vec<Vec<&'p Step>>;

/// Forward: each step as soon as those that it waits for have ended.
pub(super) fn forward(plan: &Plan) -> Turns<'_> {
    let mut turn_of = vec![0_usize; plan.definition().steps.len()];
    for place in plan.order() {
        let earlier = plan.before(*place).iter().filter_map(|it| turn_of.get(*it));
        let turn = earlier.max().map_or(0, |turn| turn + 1);
        if let Some(it) = turn_of.get_mut(*place) {
            *it = turn;
        }
    }
    group(plan, &turn_of, |_| true)
}

/// Back: what waits for a step is undone before it. Only compensatable steps are undone.
pub(super) fn back(plan: &Plan) -> Turns<'_> {
    let is_undone = |place: usize| {
        plan.step(place)
            .is_some_and(|step| step.kind == StepKind::Compensatable)
    };
    let mut turn_of = vec![0_usize; plan.definition().steps.len()];
    for place in plan.order().iter().rev() {
        let later = plan.behind(*place).iter().filter(|it| is_undone(**it));
        let turns = later.filter_map(|it| turn_of.get(*it));
        let turn = turns.max().map_or(0, |turn| turn + 1);
        if let Some(it) = turn_of.get_mut(*place) {
            *it = turn;
        }
    }
    group(plan, &turn_of, is_undone)
}

fn group<'p>(plan: &'p Plan, turn_of: &[usize], is_in: impl Fn(usize) -> bool) -> Turns<'p> {
    let mut turns: Turns<'p> = Vec::new();
    for (place, (step, turn)) in plan.definition().steps.iter().zip(turn_of).enumerate() {
        if !is_in(place) {
            continue;
        }
        if turns.len() <= *turn {
            turns.resize(turn + 1, Vec::new());
        }
        if let Some(steps) = turns.get_mut(*turn) {
            steps.push(step);
        }
    }
    turns
}
