//! Random definitions that keep the rules.

use keylane_core::saga::{Condition, Definition, Participant, Retry, Step, StepKind};

use crate::Chance;

/// The participants.
pub(super) const SERVICES: [&str; 3] = ["seats", "money", "mail"];

/// One that can be driven: steps that can be undone in any order, a pivot or none, steps that succeed in the end in any order.
pub(super) fn definition(chance: &mut Chance) -> Definition {
    let mut definition = Definition::new("story", 1);
    definition.patience_ms = 5_000;
    if chance.percent(30) {
        definition.deadline_ms = Some(chance.between(1_000, 30_000) as u64);
    }
    let undoable = chance.between(0, 4);
    let has_pivot = chance.percent(60);
    let retriable = chance.between(usize::from(undoable == 0 && !has_pivot), 2);
    let mut decided: Vec<String> = Vec::new();
    for number in 0..undoable {
        let id = format!("u{number}");
        let after = some_of(&decided, chance);
        definition
            .steps
            .push(step(id.clone(), StepKind::Compensatable, after, chance));
        decided.push(id);
    }
    if has_pivot {
        let after = decided.clone();
        definition
            .steps
            .push(step("p".into(), StepKind::Pivot, after, chance));
        decided.push("p".into());
    }
    let mut later: Vec<String> = Vec::new();
    for number in 0..retriable {
        let id = format!("r{number}");
        let mut after = decided.clone();
        after.extend(some_of(&later, chance));
        definition
            .steps
            .push(step(id.clone(), StepKind::Retriable, after, chance));
        later.push(id);
    }
    definition
}

fn some_of(ids: &[String], chance: &mut Chance) -> Vec<String> {
    let some = ids.iter().filter(|_| chance.percent(50));
    some.cloned().collect()
}

fn step(id: String, kind: StepKind, after: Vec<String>, chance: &mut Chance) -> Step {
    let service = chance.pick(&SERVICES).copied().unwrap_or_default();
    let participant = Participant::Named(service.to_owned());
    let mut step = match kind {
        StepKind::Compensatable => Step::compensatable(id, participant, "do", "undo"),
        StepKind::Pivot => Step::pivot(id, participant, "do"),
        StepKind::Retriable => Step::retriable(id, participant, "do"),
    };
    step.after = Some(after);
    if chance.percent(20) {
        let condition = if chance.percent(50) {
            "$.flag"
        } else {
            "not $.flag"
        };
        step.condition = Condition::parse(condition).ok();
    }
    step.retry = Retry {
        answer_ms: chance.between(100, 2_000) as u64,
        first_ms: 100,
        cap_ms: 2_000,
        jitter: 0.5,
        ..Retry::default()
    };
    if kind != StepKind::Retriable {
        step.timeout_ms = Some(chance.between(1_000, 10_000) as u64);
        if chance.percent(20) {
            step.retry.attempts_max = Some(chance.between(1, 5) as u32);
        }
    }
    step
}
