//! What a choreography comes to, as text and JSON. Writing to a `String` cannot fail, so the results are dropped.

use std::fmt::Write as _;

use keylane_core::saga::Choreography;
use serde_json::{Value, json};

/// Its topics, and what sets which step going.
pub fn choreography_text(file: &str, choreography: &Choreography) -> String {
    let count = choreography.steps.len();
    let mut text = String::new();
    let _ = writeln!(text, "{file}: right");
    let _ = writeln!(
        text,
        "choreography {}, {count} {}, begun by {}",
        choreography.name,
        if count == 1 { "step" } else { "steps" },
        choreography.begins.join(" or ")
    );
    let _ = writeln!(text, "heard in {}", choreography.topics.join(", "));
    let _ = writeln!(
        text,
        "aborts go into {}",
        choreography.signal_topics().join(", ")
    );
    text.push_str("\nsteps, each set going by any of the events before it\n");
    let width = |of: fn(&keylane_core::saga::ChoreographyStep) -> usize| {
        choreography.steps.iter().map(of).max().unwrap_or(0)
    };
    let consumes = width(|step| step.consumes.join(" or ").len());
    let id = width(|step| step.id.len());
    for step in &choreography.steps {
        let _ = writeln!(
            text,
            "  {:consumes$} → {:id$} → {}",
            step.consumes.join(" or "),
            step.id,
            step.emits.join(" or ")
        );
    }
    text
}

/// A file that is right.
pub fn choreography_wire(file: &str, choreography: &Choreography) -> Value {
    let steps = choreography.steps.iter();
    let steps = steps.map(|it| json!({"id": it.id, "consumes": it.consumes, "emits": it.emits}));
    json!({
        "file": file,
        "ok": true,
        "choreography": choreography.name,
        "topics": choreography.topics,
        "signal": choreography.signal_topics(),
        "begins": choreography.begins,
        "steps": steps.collect::<Vec<_>>(),
        "patience": {
            "step_ms": choreography.patience.step_ms,
            "undo_ms": choreography.patience.undo_ms,
        },
        "findings": [],
    })
}
