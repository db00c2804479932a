//! A plan as scripts read it.

use std::collections::BTreeMap;

use keylane::workers::capture::topic_name;
use keylane_core::topics::{Difference, Plan, PlannedTopic, Said};
use serde_json::{Value, json};

/// The plan of one pipeline.
pub fn plan_wire(plan: &Plan, prefix: &str) -> Value {
    let topic = |topic: &PlannedTopic| topic_wire(topic, prefix);
    let bounds = plan.bounds.iter().map(|bound| {
        json!({"name": bound.name, "kept": bound.kept, "told": bound.told, "working": bound.working, "fix": bound.fix})
    });
    let warnings = plan.warnings.iter().map(
        |warning| json!({"subject": warning.subject, "found": warning.found, "fix": warning.fix}),
    );
    let inputs = plan.inputs.listed().into_iter().map(|(input, value, said)| {
        let described = input.described();
        json!({"name": described.name, "value": value, "said": said_name(said), "means": described.means})
    });
    json!({
        "topics": plan.topics.iter().map(topic).collect::<Vec<_>>(),
        "partitions": plan.partitions(),
        "replication_factor": plan.replication_factor,
        "min_insync_replicas": plan.in_sync_min,
        "cleanup_policy": "delete",
        "retention_ms": retention_ms(plan),
        "retention_why": plan.retention.working,
        "bounds": bounds.collect::<Vec<_>>(),
        "inputs": inputs.collect::<Vec<_>>(),
        "warnings": warnings.collect::<Vec<_>>(),
    })
}

/// How long changes are kept, in milliseconds.
pub(super) fn retention_ms(plan: &Plan) -> u64 {
    const HOUR_MS: f64 = 3_600_000.0;
    (plan.retention.hours * HOUR_MS) as u64
}

fn topic_wire(topic: &PlannedTopic, prefix: &str) -> Value {
    let tables: Vec<String> = topic.tables.iter().map(|it| it.name.to_string()).collect();
    let order_keys: BTreeMap<String, Vec<&str>> = topic
        .tables
        .iter()
        .map(|it| {
            let columns = it.order_key.iter().map(|column| &**column);
            (it.name.to_string(), columns.collect())
        })
        .collect();
    let first = topic.tables.first();
    let order_key: Vec<&str> = first
        .map(|it| it.order_key.iter().map(|column| &**column).collect())
        .unwrap_or_default();
    let why = topic
        .why
        .iter()
        .map(|why| json!({"rule": why.rule.name(), "evidence": why.evidence}));
    json!({
        "name": &*topic_name(prefix, &topic.name),
        "tables": tables,
        "order_key": order_key,
        "order_keys": order_keys,
        "partitions": topic.partitions,
        "changes_per_s": topic.load.changes_per_s,
        "record_bytes": topic.load.record_bytes,
        "why": why.collect::<Vec<_>>(),
    })
}

/// Who said what an input is.
pub(super) fn said_name(said: Said) -> &'static str {
    match said {
        Said::Assumed => "assumed",
        Said::Configured => "configured",
        Said::Measured => "measured",
        Said::Given => "given",
    }
}

/// What a second plan does otherwise.
pub fn differences_wire(given: &str, differences: &[Difference]) -> Value {
    let changes = differences
        .iter()
        .map(|it| json!({"subject": it.subject, "field": it.field, "from": it.from, "to": it.to}));
    json!({"given": given, "changes": changes.collect::<Vec<_>>()})
}
