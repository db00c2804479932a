//! A plan as a Mermaid flow chart: topics around their tables, and who follows whom.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use keylane::workers::capture::topic_name;
use keylane_core::model::TableName;
use keylane_core::topics::{Plan, amount};

/// The chart.
pub fn mermaid(plan: &Plan, prefix: &str) -> String {
    let tables = plan.topics.iter().flat_map(|topic| &topic.tables);
    let ids: BTreeMap<&TableName, usize> = tables
        .enumerate()
        .map(|(id, table)| (&table.name, id))
        .collect();
    let id = |name: &TableName| ids.get(name).copied().unwrap_or_default();
    let mut text = String::from("flowchart LR\n");
    for (number, topic) in plan.topics.iter().enumerate() {
        let rate = topic.load.changes_per_s;
        let rate = rate.map_or_else(String::new, |rate| format!(", {}/s", amount(rate)));
        let title = format!(
            "{} · {} partitions{rate}",
            topic_name(prefix, &topic.name),
            topic.partitions
        );
        let _ = writeln!(text, "  subgraph topic{number}[\"{}\"]", label(&title));
        for table in &topic.tables {
            let shown = format!("{} by ({})", table.name, table.order_key.join(", "));
            let _ = writeln!(text, "    t{}[\"{}\"]", id(&table.name), label(&shown));
        }
        text.push_str("  end\n");
        for table in topic.tables.iter().filter(|table| table.name != topic.name) {
            let _ = writeln!(text, "  t{} --> t{}", id(&topic.name), id(&table.name));
        }
    }
    text
}

/// Mermaid takes HTML's names for what would end a label.
fn label(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
