//! What a definition comes to, for people.

use std::fmt::Write as _;

use keylane_core::saga::{Participant, Plan, Step, StepKind};

use super::turns::{self, Turns};

/// Name, version and hash, the pivot, and the steps turn by turn, there and back. Writing to a `String` cannot fail, so the results are dropped.
pub fn plan_text(file: &str, plan: &Plan) -> String {
    let definition = plan.definition();
    let of = |kind| definition.steps.iter().find(move |step| step.kind == kind);
    let pivot = of(StepKind::Pivot);
    let count = definition.steps.len();
    let mut text = String::new();
    let _ = writeln!(text, "{file}: right");
    let _ = writeln!(
        text,
        "saga {}, version {}, {count} {}, hash {:016x}",
        definition.name,
        definition.version,
        if count == 1 { "step" } else { "steps" },
        plan.hash()
    );
    let decided = match pivot {
        Some(step) => format!("pivot {}: until it is done", step.id),
        None if of(StepKind::Retriable).is_some() => {
            "no pivot: until the first retriable step begins".to_owned()
        }
        None => "no pivot: until it is completed".to_owned(),
    };
    let _ = writeln!(text, "{decided}, the saga can go back");
    let forward = turns::forward(plan);
    text.push_str("\nforward, those of one number side by side\n");
    turns_text(&mut text, &forward, |step| {
        let condition = match &step.condition {
            Some(condition) => format!(", if {condition}"),
            None => String::new(),
        };
        let kind = step.kind.code();
        let way = match step.participant {
            Participant::Kafka { .. } => "kafka ",
            Participant::Http { .. } => "",
            Participant::Named(_) => "participant ",
        };
        format!(
            "{kind:<13}  {} at {way}{}{condition}",
            step.action, step.participant
        )
    });
    let back = turns::back(plan);
    if !back.is_empty() {
        text.push_str("\nback, those that were done\n");
        turns_text(&mut text, &back, |step| {
            step.undo.clone().unwrap_or_default()
        });
    }
    text
}

fn turns_text(text: &mut String, turns: &Turns<'_>, say: impl Fn(&Step) -> String) {
    let ids = turns.iter().flatten().map(|step| step.id.len());
    let width = ids.max().unwrap_or_default();
    let number_width = turns.len().to_string().len();
    for (number, steps) in (1..).zip(turns) {
        for step in steps {
            let _ = writeln!(
                text,
                "  {number:>number_width$}  {:width$}  {}",
                step.id,
                say(step)
            );
        }
    }
}
