//! What is created, altered and refused, for people and for scripts.

use std::fmt::Write as _;

use keylane_core::topics::Change;
use serde_json::{Value, json};

/// How one change went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was only shown.
    Shown,
    /// It was made.
    Made,
    /// The cluster did not take it.
    Failed(String),
}

/// The changes of one pipeline, with how each went.
pub fn changes_wire(pipeline: &str, changes: &[(Change, Outcome)]) -> Value {
    let change = |(change, outcome): &(Change, Outcome)| {
        let alter = change
            .alter
            .iter()
            .map(|it| json!({"setting": it.setting, "from": it.from, "to": it.to}));
        let refused = change.refused.iter().map(
            |it| json!({"code": it.code, "asked": it.asked, "why": it.why, "instead": it.instead}),
        );
        let wanted = &change.wanted;
        json!({
            "topic": wanted.name,
            "action": action(change),
            "partitions": wanted.partitions,
            "replication_factor": wanted.copies,
            "settings": wanted.settings,
            "alter": alter.collect::<Vec<_>>(),
            "refused": refused.collect::<Vec<_>>(),
            "made": *outcome == Outcome::Made,
            "error": match outcome { Outcome::Failed(error) => Some(error), _ => None },
        })
    };
    json!({"pipeline": pipeline, "topics": changes.iter().map(change).collect::<Vec<_>>()})
}

fn action(change: &Change) -> &'static str {
    match (
        change.create,
        change.alter.is_empty(),
        change.refused.is_empty(),
    ) {
        (true, ..) => "create",
        (false, false, _) => "alter",
        (false, true, false) => "refuse",
        (false, true, true) => "keep",
    }
}

/// What is going to happen, before anything does.
pub fn changes_text(pipeline: &str, changes: &[Change]) -> String {
    let mut text = format!("pipeline {pipeline}\n");
    let mut kept = 0;
    for change in changes {
        let wanted = &change.wanted;
        if change.create {
            let settings: Vec<String> = wanted
                .settings
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let _ = writeln!(
                text,
                "  + {}: {} partitions, {} copies {}",
                wanted.name,
                wanted.partitions,
                wanted.copies,
                settings.join(" ")
            );
        }
        for it in &change.alter {
            let from = if it.from.is_empty() {
                "not told"
            } else {
                &it.from
            };
            let _ = writeln!(
                text,
                "  ~ {}: {} {from} → {}",
                wanted.name, it.setting, it.to
            );
        }
        for it in &change.refused {
            let _ = writeln!(
                text,
                "  ✗ {}: {} is refused: {} [{}]",
                wanted.name, it.asked, it.why, it.code
            );
            for step in &it.instead {
                let _ = writeln!(text, "      {step}");
            }
        }
        kept += usize::from(action(change) == "keep");
    }
    let count = |what: &str| changes.iter().filter(|it| action(it) == what).count();
    let refused = changes.iter().filter(|it| !it.refused.is_empty()).count();
    let _ = writeln!(
        text,
        "  {} to create, {} to alter, {refused} refused, {kept} as they should be",
        count("create"),
        count("alter"),
    );
    text
}
