//! Sagas as people see them. Writing to a `String` cannot fail, so the results are dropped.

use std::fmt::Write as _;

use keylane_core::saga::{Line, Listed, Plan, Saga, Shown};

use super::view;
use crate::status::rfc3339;

/// A line for each.
pub fn list_text(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no sagas\n".to_owned();
    }
    let mut text = String::new();
    let width = |of: fn(&Listed) -> usize| listed.iter().map(of).max().unwrap_or(0);
    let id = width(|it| it.id.len()).max(2);
    let definition = width(|it| definition_of(it).len()).max(10);
    let _ = writeln!(
        text,
        "{:id$}  {:definition$}  {:13}  {:12}  {:20}  {:24}  why",
        "id", "definition", "style", "state", "step", "updated"
    );
    for it in listed {
        let step = match &it.step {
            Some(step) if it.attempts > 1 => format!("{step} ({} times)", it.attempts),
            Some(step) => step.clone(),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "{:id$}  {:definition$}  {:13}  {:12}  {step:20}  {:24}  {}",
            it.id,
            definition_of(it),
            it.style.code(),
            it.state.code(),
            rfc3339(it.updated_us),
            it.why.as_deref().unwrap_or_default()
        );
    }
    text
}

/// The definition, or that none is known.
fn definition_of(listed: &Listed) -> &str {
    listed.definition.as_deref().unwrap_or("-")
}

/// All of one.
pub fn show_text(shown: &Shown, plan: &Plan) -> String {
    let saga = &shown.saga;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {} version {}, {}",
        saga.id,
        saga.definition,
        saga.version,
        saga.state().code()
    );
    if let Some(key) = &saga.key {
        let _ = writeln!(text, "key {key}");
    }
    let _ = writeln!(
        text,
        "started {}, updated {}",
        rfc3339(saga.started_us),
        rfc3339(saga.updated_us)
    );
    if let Some(reason) = &saga.reason {
        let _ = writeln!(text, "it goes back because: {reason}");
    }
    steps_text(&mut text, saga, plan);
    let next = view::next(saga, plan);
    if !next.is_empty() {
        text.push_str("\nnext\n");
        for line in next {
            let _ = writeln!(text, "  {line}");
        }
    }
    timeline_text(&mut text, &shown.timeline, shown.left_out);
    text
}

fn steps_text(text: &mut String, saga: &Saga, plan: &Plan) {
    text.push_str("\nsteps\n");
    let width = plan
        .definition()
        .steps
        .iter()
        .map(|step| step.id.len())
        .max();
    let width = width.unwrap_or(0);
    for (step, row) in plan.definition().steps.iter().zip(&saga.steps) {
        let stuck = if row.stuck { ", needs help" } else { "" };
        let by_hand = if row.by_hand { ", by hand" } else { "" };
        let attempts = match row.attempts {
            0 => String::new(),
            1 => ", 1 attempt".to_owned(),
            many => format!(", {many} attempts"),
        };
        let error = row
            .error
            .as_ref()
            .map_or(String::new(), |error| format!(": {error}"));
        let _ = writeln!(
            text,
            "  {:width$}  {}{attempts}{by_hand}{stuck}{error}",
            step.id,
            row.status.code()
        );
    }
}

pub(super) fn timeline_text(text: &mut String, timeline: &[Line], left_out: u64) {
    text.push_str("\ntimeline\n");
    if left_out > 0 {
        let _ = writeln!(text, "  ({left_out} lines in between are left out)");
    }
    for line in timeline {
        let step = line
            .step
            .as_ref()
            .map_or(String::new(), |step| format!(" {step}"));
        let attempt = line
            .attempt
            .filter(|it| *it > 1)
            .map_or(String::new(), |it| format!(" #{it}"));
        let actor = line
            .actor
            .as_ref()
            .map_or(String::new(), |actor| format!(" by {actor}"));
        let reason = line
            .reason
            .as_ref()
            .map_or(String::new(), |reason| format!(": {reason}"));
        let _ = writeln!(
            text,
            "  {} {}{step}{attempt}{actor}{reason}",
            rfc3339(line.at_us),
            line.what
        );
    }
}
