//! What to know before a plan is taken.

use crate::model::TableName;

use super::figures::{amount, percent};
use super::inputs::{Input, Inputs};
use super::partitions::hot_key_max_per_s;
use super::plan::{Plan, PlannedTopic, Warning, hot_key};
use super::schema::Table;

/// The whole.
const EVERY: &str = "all topics";

/// The warnings of a plan over these tables.
pub(super) fn warnings(plan: &Plan, tables: &[Table]) -> Vec<Warning> {
    let mut all = Vec::new();
    for topic in &plan.topics {
        all.extend(of_topic(topic, tables, &plan.inputs));
    }
    all.extend(of_whole(plan, tables));
    all
}

fn warning(subject: impl ToString, found: String, fix: impl Into<String>) -> Warning {
    Warning {
        subject: subject.to_string(),
        found,
        fix: fix.into(),
    }
}

fn of_topic(topic: &PlannedTopic, tables: &[Table], inputs: &Inputs) -> Vec<Warning> {
    let mut all = Vec::new();
    let target = topic.load.target_per_s(inputs);
    for planned in &topic.tables {
        let Some(table) = tables.iter().find(|table| table.name == planned.name) else {
            continue;
        };
        if table.key.is_empty() {
            let most = hot_key_max_per_s(1.0, inputs.sure(Input::ServiceMs));
            let found = format!(
                "has no primary key: all its changes go one after another, {}/s at most",
                amount(most)
            );
            all.push(warning(&table.name, found, "give it a primary key"));
        }
        if !planned.by_own_key && !table.before.tells(&planned.order_key) {
            let found = format!(
                "an update or delete does not tell ({}), by which its changes are to be ordered",
                planned.order_key.join(", ")
            );
            let fix = format!(
                "run: ALTER TABLE {} REPLICA IDENTITY FULL",
                quoted(&table.name)
            );
            all.push(warning(&table.name, found, fix));
        }
    }
    if let Some((most, true)) = hot_key(target, inputs) {
        let found = format!(
            "its hottest key ({} of the changes) lets {}/s through, whatever the threads and partitions; {}/s are asked for",
            percent(inputs.sure(Input::HotKey)),
            amount(most),
            amount(target)
        );
        let fix = "make one change cheaper, fold changes of one key (apply.fold), or split the key";
        all.push(warning(&topic.name, found, fix));
    }
    if topic.partitions < topic.by_throughput {
        let found = format!(
            "{} partitions take less than is asked for: throughput needs {}",
            topic.partitions, topic.by_throughput
        );
        all.push(warning(
            &topic.name,
            found,
            "more partitions, before the first record",
        ));
    }
    all
}

fn of_whole(plan: &Plan, tables: &[Table]) -> Vec<Warning> {
    let mut all = Vec::new();
    let unmeasured = tables.iter().filter(|table| table.rate.is_none()).count();
    if unmeasured > 0 {
        let found = format!(
            "no rate is known of {unmeasured} of {} tables",
            tables.len()
        );
        let fix = "name the origin while it is at work (--origin, --sample), or give --rates FILE or --what-if rate=…";
        all.push(warning(EVERY, found, fix));
    }
    for bound in plan.bounds.iter().filter(|bound| !bound.kept) {
        all.push(warning(EVERY, bound.working.clone(), bound.fix));
    }
    if !plan.retention.catches_up {
        let found = format!(
            "a consumer that was away never catches up: {}",
            plan.retention.working
        );
        let fix = "raise apply.threads or add processes, before anything else";
        all.push(warning(EVERY, found, fix));
    }
    let (copies, wanted) = (
        plan.replication_factor,
        plan.inputs.sure(Input::ReplicationFactor),
    );
    if f64::from(copies) < wanted {
        let found = format!(
            "{} copies are wanted, and there are no more brokers than {copies}",
            amount(wanted)
        );
        all.push(warning(EVERY, found, "add brokers"));
    }
    let instances = plan.inputs.sure(Input::Instances);
    if (plan.partitions() as f64) < instances && !plan.topics.is_empty() {
        let found = format!(
            "{} partitions for {} processes: some would have nothing to do",
            plan.partitions(),
            amount(instances)
        );
        all.push(warning(EVERY, found, "more partitions, or fewer processes"));
    }
    all
}

/// A table's name as SQL takes it, whatever it holds.
fn quoted(name: &TableName) -> String {
    let part = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    format!("{}.{}", part(&name.schema), part(&name.name))
}
