//! A plan as people read it.

use std::fmt::Write as _;

use keylane::workers::capture::topic_name;
use keylane_core::topics::{Difference, Input, Plan, PlannedTopic, amount, hours};

use super::columns::columns;
use super::plan_wire::said_name;

/// The plan of one pipeline: the topics, why each is as it is, the bounds on the whole, what it was made from, what to know.
pub fn plan_text(plan: &Plan, prefix: &str) -> String {
    let row = |topic: &PlannedTopic| {
        let tables: Vec<String> = topic
            .tables
            .iter()
            .map(|it| format!("{} ({})", it.name, it.order_key.join(", ")))
            .collect();
        let rate = topic.load.changes_per_s;
        vec![
            topic_name(prefix, &topic.name).to_string(),
            topic.partitions.to_string(),
            rate.map_or_else(|| "?".to_owned(), |rate| format!("{}/s", amount(rate))),
            tables.join(", "),
        ]
    };
    let rows: Vec<Vec<String>> = plan.topics.iter().map(row).collect();
    let head = ["TOPIC", "PARTITIONS", "RATE", "TABLES (ORDER KEY)"];
    let mut text = columns(&head, &rows);
    let _ = writeln!(
        text,
        "\n{} partitions, {} copies of each, min.insync.replicas {}, cleanup.policy delete, kept {}",
        plan.partitions(),
        plan.replication_factor,
        plan.in_sync_min,
        hours(plan.retention.hours)
    );
    text.push_str("\nWhy\n");
    for topic in &plan.topics {
        let _ = writeln!(text, "  {}", topic_name(prefix, &topic.name));
        for why in &topic.why {
            let _ = writeln!(text, "    {}: {}", why.rule.name(), why.evidence);
        }
    }
    text.push_str("\nBounds on the whole\n");
    for bound in &plan.bounds {
        let mark = if bound.kept { "✓" } else { "✗" };
        let _ = writeln!(
            text,
            "  {mark} {}: {} ({})",
            bound.name, bound.told, bound.working
        );
    }
    if plan.inputs.known(Input::HotKey).is_none() {
        text.push_str(
            "  · hot key: not looked at, since no key's share is known (--what-if hot_key=0.05)\n",
        );
    }
    let _ = writeln!(text, "  · retention: {}", plan.retention.working);
    text.push_str(
        "  · compaction: none; a compacted topic forgets changes between a key's first and last, which whoever counts or audits needs\n",
    );
    text.push_str(&inputs_text(plan));
    text.push_str(&warnings_text(plan));
    text
}

/// What it was made from.
fn inputs_text(plan: &Plan) -> String {
    let inputs = plan.inputs.listed().into_iter();
    let inputs: Vec<Vec<String>> = inputs
        .map(|(input, value, said)| {
            let described = input.described();
            vec![
                format!("  {}", described.name),
                amount(value),
                said_name(said).to_owned(),
                described.means.to_owned(),
            ]
        })
        .collect();
    let table = columns(&["", "", "", ""], &inputs);
    let rows = table.split_once('\n').map_or("", |(_, rows)| rows);
    format!("\nInputs (change one with --what-if NAME=VALUE)\n{rows}")
}

/// What to know.
fn warnings_text(plan: &Plan) -> String {
    let mut text = String::new();
    if !plan.warnings.is_empty() {
        text.push_str("\nTo know\n");
    }
    for warning in &plan.warnings {
        let _ = writeln!(
            text,
            "  ! {}: {}\n      {}",
            warning.subject, warning.found, warning.fix
        );
    }
    text
}

/// What a second plan does otherwise.
pub fn differences_text(given: &str, differences: &[Difference]) -> String {
    let mut text = format!("\nWhat if {given}\n");
    if differences.is_empty() {
        text.push_str("  nothing changes\n");
    }
    for it in differences {
        let line = match (it.from.is_empty(), it.to.is_empty()) {
            (true, _) => format!("new {}: {}", it.field, it.to),
            (_, true) => format!("no more {}: {}", it.field, it.from),
            _ => format!("{}: {} → {}", it.field, it.from, it.to),
        };
        let _ = writeln!(text, "  {}: {line}", it.subject);
    }
    let keyed = differences.iter().any(|it| it.field == "partitions");
    if keyed {
        text.push_str(
            "  A topic that has records keeps its partitions: another number moves keys. See `keylane topics apply` for the way with a new prefix.\n",
        );
    }
    text
}
