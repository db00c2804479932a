//! A plan as the `topics` block of a pipeline, to be put into `keylane.yaml` as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use keylane_core::model::TableName;
use keylane_core::topics::Plan;

use super::plan_wire::retention_ms;
use crate::config::{TablePattern, Topics};

/// The block, at the depth at which it stands under `pipelines.NAME`. What is configured and no part of a plan stays: `tombstones`, other properties, a longer retention, an order key
/// for a table that follows nobody. Tables whose names a configuration cannot hold are named in a comment and keep their defaults.
pub fn yaml(plan: &Plan, prefix: &str, configured: Option<&Topics>) -> String {
    let most_common = most_common(plan);
    let mut text = String::new();
    for warning in &plan.warnings {
        // What must be done before the road takes the block.
        if let Some(command) = warning.fix.strip_prefix("run: ") {
            let command = command.replace(['\n', '\r'], " ");
            let _ = writeln!(text, "    # first, at the origin: {command};");
        }
    }
    text.push_str("    topics:\n");
    let _ = writeln!(text, "      prefix: {}", value(prefix));
    let _ = writeln!(text, "      partitions: {most_common}");
    let _ = writeln!(
        text,
        "      replication_factor: {}",
        plan.replication_factor
    );
    if configured.is_some_and(|topics| topics.tombstones) {
        text.push_str("      tombstones: true\n");
    }
    properties(&mut text, plan, configured);
    let (mut order_keys, mut topic_of, mut partitions_of) = (Vec::new(), Vec::new(), Vec::new());
    let mut unnamed = Vec::new();
    for topic in &plan.topics {
        let names = topic.tables.iter().map(|table| &table.name);
        let (legal, illegal): (Vec<_>, Vec<_>) = names.partition(|name| is_legal(name));
        unnamed.extend(illegal);
        for table in topic.tables.iter().filter(|it| legal.contains(&&it.name)) {
            if !table.by_own_key && !table.order_key.is_empty() {
                let columns: Vec<String> = table.order_key.iter().map(|it| value(it)).collect();
                order_keys.push((&table.name, format!("[{}]", columns.join(", "))));
            } else if let Some(columns) = own_order_key(configured, &table.name) {
                order_keys.push((&table.name, columns));
            }
            if table.name != topic.name && is_legal(&topic.name) {
                topic_of.push((&table.name, value(&topic.name.to_string())));
            }
        }
        if topic.partitions != most_common && is_legal(&topic.name) {
            partitions_of.push((&topic.name, topic.partitions.to_string()));
        }
    }
    block(&mut text, "order_keys", &order_keys);
    block(&mut text, "topic_of", &topic_of);
    block(&mut text, "partitions_of", &partitions_of);
    for name in unnamed {
        let shown: String = name.to_string().escape_debug().collect();
        let _ = writeln!(text, "      # a configuration cannot name {shown}");
    }
    text
}

/// An order key that a person chose.
fn own_order_key(configured: Option<&Topics>, table: &TableName) -> Option<String> {
    let columns = configured?.order_key_of(Some(&table.schema), &table.name)?;
    let columns: Vec<String> = columns.iter().map(|column| value(column)).collect();
    Some(format!("[{}]   # as configured", columns.join(", ")))
}

fn properties(text: &mut String, plan: &Plan, configured: Option<&Topics>) {
    const RETENTION: &str = "retention.ms";
    const IN_SYNC: &str = "min.insync.replicas";
    text.push_str("      properties:\n");
    let planned = i64::try_from(retention_ms(plan)).unwrap_or(i64::MAX);
    let own = configured.map(|topics| &topics.properties);
    let kept: Option<i64> = own.and_then(|own| own.get(RETENTION)?.parse().ok());
    let (retention, why) = match kept {
        Some(kept) if kept == -1 || kept > planned => (kept, "as configured"),
        _ => (planned, &*plan.retention.working),
    };
    let _ = writeln!(text, "        {RETENTION}: \"{retention}\"        # {why}");
    let _ = writeln!(text, "        {IN_SYNC}: \"{}\"", plan.in_sync_min);
    let others = own.into_iter().flatten();
    for (name, setting) in others.filter(|(name, _)| *name != RETENTION && *name != IN_SYNC) {
        let _ = writeln!(text, "        {}: {}", quoted(name), value(setting));
    }
}

fn block(text: &mut String, name: &str, entries: &[(&TableName, String)]) {
    if entries.is_empty() {
        return;
    }
    let _ = writeln!(text, "      {name}:");
    for (table, value) in entries {
        let _ = writeln!(text, "        {}: {value}", quoted(&table.to_string()));
    }
}

/// The number of partitions that most topics have; of equally common ones the largest.
fn most_common(plan: &Plan) -> u32 {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for topic in &plan.topics {
        *counts.entry(topic.partitions).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map_or(1, |(partitions, _)| partitions)
}

fn is_legal(name: &TableName) -> bool {
    let text = name.to_string();
    !text.contains('*') && TablePattern::parse(&text).is_ok()
}

/// A text as a value: `$` would refer to the environment.
fn value(text: &str) -> String {
    quoted(&text.replace('$', "$$"))
}

/// Plain where YAML reads it as itself, else as JSON writes it, which YAML reads.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain);
    let reserved = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    match word && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use keylane_core::topics::{BeforeImage, Inputs, Table, plan};

    use super::*;
    use crate::config::{Envelope, TableName as ConfigTable};

    fn table(name: &str) -> Table {
        Table {
            name: TableName::new("public", name),
            key: vec!["id".into()],
            references: Vec::new(),
            before: BeforeImage::Whole,
            rows: None,
            rate: None,
        }
    }

    #[test]
    fn what_is_configured_and_no_part_of_a_plan_stays() {
        let notes = ConfigTable {
            schema: None,
            table: "notes".to_owned(),
        };
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let configured = Topics {
            prefix: "shop".to_owned(),
            partitions: 8,
            replication_factor: 1,
            tombstones: true,
            properties: [
                setting("retention.ms", "-1"),
                setting("compression.type", "zstd"),
            ]
            .into(),
            order_keys: [(notes, vec!["customer".to_owned()])].into(),
            topic_of: BTreeMap::new(),
            partitions_of: BTreeMap::new(),
            envelope: Envelope::Debezium,
        };
        let plan = plan(&[table("notes")], &Inputs::default());
        let text = yaml(&plan, "shop", Some(&configured));
        for line in [
            "      tombstones: true\n",
            "        retention.ms: \"-1\"        # as configured\n",
            "        compression.type: zstd\n",
            "        public.notes: [customer]   # as configured\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!yaml(&plan, "shop", None).contains("as configured"));
    }

    #[test]
    fn a_name_that_yaml_would_misread_is_quoted_and_one_that_cannot_be_written_is_told() {
        for (text, expect) in [
            ("orders", "orders"),
            ("public.orders", "public.orders"),
            ("on", "\"on\""),
            ("Odd one.T", "\"Odd one.T\""),
            ("1", "\"1\""),
        ] {
            assert_eq!(quoted(text), expect);
        }
        assert_eq!(value("a$b"), "\"a$$b\"");
        let plan = plan(&[table("it's")], &Inputs::default());
        let text = yaml(&plan, "shop", None);
        assert!(!text.contains("partitions_of"), "{text}");
        assert!(
            text.contains("# a configuration cannot name public.it\\'s"),
            "{text}"
        );
    }
}
