//! The plan: which tables share which topic, by which key, in how many partitions, kept how long, and why.
//!
//! The three rules. **1** What must keep its order goes into one topic, by one order key. **2** A dependent goes with its parent. **3** A table whose rate drowns the others of its
//! topic gets a topic of its own: whoever wants the others would read it for nothing (Martin Kleppmann, "Should you put several event types in the same Kafka
//! topic?": half of it unwanted does no harm, 99.9 % does).

use std::sync::Arc;

use crate::model::TableName;

use super::figures::{amount, bytes, hours, percent};
use super::group::{Bond, Group, Member, groups};
use super::inputs::{Input, Inputs};
use super::partitions::{
    Bound, Demand, Load, Retention, bounds, hot_key_max_per_s, partitions, retention,
};
use super::schema::Table;

/// Which rule or law speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Rule 1: what must keep its order shares topic and order key.
    KeepOrder,
    /// Rule 2: dependents go with their parent.
    FollowParent,
    /// Rule 3: a topic of its own because of its rate.
    OwnRate,
    /// The number of partitions.
    Partitions,
    /// What brokers bear.
    Limits,
    /// What one key lets through.
    HotKey,
}

impl Rule {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Rule::KeepOrder => "keep_order",
            Rule::FollowParent => "follow_parent",
            Rule::OwnRate => "own_rate",
            Rule::Partitions => "partitions",
            Rule::Limits => "limits",
            Rule::HotKey => "hot_key",
        }
    }
}

/// A rule and what it rests on here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The rule.
    pub rule: Rule,
    /// What was found.
    pub evidence: String,
}

/// A table of a planned topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTable {
    /// The table.
    pub name: TableName,
    /// Its columns that hold the topic's order key; empty for a table without a key.
    pub order_key: Vec<Arc<str>>,
    /// Whether that is its primary key.
    pub by_own_key: bool,
}

/// A planned topic.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTopic {
    /// The table after which it is named: `PREFIX.SCHEMA.TABLE`.
    pub name: TableName,
    /// Its tables; the one after which it is named comes first.
    pub tables: Vec<PlannedTable>,
    /// How many partitions.
    pub partitions: u32,
    /// What throughput alone asks for.
    pub by_throughput: u32,
    /// What it carries.
    pub load: Load,
    /// Why all this.
    pub why: Vec<Why>,
}

/// Something to know before the plan is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about: a table, or `all topics`.
    pub subject: String,
    /// What is the matter.
    pub found: String,
    /// What to do.
    pub fix: String,
}

/// The plan for a set of tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The topics, by name.
    pub topics: Vec<PlannedTopic>,
    /// Bounds on the whole.
    pub bounds: Vec<Bound>,
    /// How long changes are kept.
    pub retention: Retention,
    /// Copies of each partition: not more than there are brokers.
    pub replication_factor: u32,
    /// Copies that must have a change before it counts.
    pub in_sync_min: u32,
    /// What it was made from.
    pub inputs: Inputs,
    /// What to know.
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// Partitions over all topics.
    pub fn partitions(&self) -> u64 {
        self.topics
            .iter()
            .map(|topic| u64::from(topic.partitions))
            .sum()
    }
}

/// Plans topics for these tables.
pub fn plan(tables: &[Table], inputs: &Inputs) -> Plan {
    let tables = scaled(tables, inputs);
    let find = |name: &TableName| tables.iter().find(|table| table.name == *name);
    let mut topics: Vec<PlannedTopic> = groups(&tables)
        .iter()
        .flat_map(|group| topics_of(group, &find, inputs))
        .collect();
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    let changes_per_s = tables.iter().map(Table::changes_per_s).sum();
    fit_into_brokers(&mut topics, inputs);
    let demand = Demand {
        partitions: topics.iter().map(|topic| u64::from(topic.partitions)).sum(),
        changes_per_s,
    };
    let brokers = inputs.sure(Input::Brokers);
    let copies = inputs.sure(Input::ReplicationFactor).min(brokers) as u32;
    let mut plan = Plan {
        bounds: bounds(&demand, inputs),
        retention: retention(&demand, inputs),
        replication_factor: copies,
        in_sync_min: if copies >= 3 { 2 } else { 1 },
        inputs: inputs.clone(),
        topics,
        warnings: Vec::new(),
    };
    plan.warnings = super::warn::warnings(&plan, &tables);
    plan
}

/// The measured rates, scaled to the rate that is asked about; spread evenly where none was measured.
fn scaled(tables: &[Table], inputs: &Inputs) -> Vec<Table> {
    let mut tables = tables.to_vec();
    let Some(wanted) = inputs.known(Input::Rate) else {
        return tables;
    };
    let measured: f64 = tables.iter().map(Table::changes_per_s).sum();
    let even = wanted / tables.len().max(1) as f64;
    for table in &mut tables {
        let bytes_per_change = table.rate.and_then(|rate| rate.bytes_per_change);
        let changes_per_s = match measured > 0.0 {
            true => table.changes_per_s() * wanted / measured,
            false => even,
        };
        table.rate = Some(super::schema::Rate {
            changes_per_s,
            bytes_per_change,
        });
    }
    tables
}

/// A group's topic, and those of its members that are too loud for it.
fn topics_of<'t>(
    group: &Group,
    find: &impl Fn(&TableName) -> Option<&'t Table>,
    inputs: &Inputs,
) -> Vec<PlannedTopic> {
    let rate_of = |member: &Member| find(&member.table).map_or(0.0, Table::changes_per_s);
    let total: f64 = group.members.iter().map(rate_of).sum();
    let share = inputs.sure(Input::ApartShare);
    let is_loud = |member: &&Member| {
        member.follows.is_some() && total > 0.0 && rate_of(member) / total >= share
    };
    let (loud, together): (Vec<&Member>, Vec<&Member>) = group.members.iter().partition(is_loud);
    let mut topics = vec![topic(&together, find, inputs)];
    if let (Some(first), Some(main)) = (loud.first(), topics.first_mut()) {
        let evidence = apart(first, rate_of(first), total, find, inputs);
        main.why.push(Why {
            rule: Rule::OwnRate,
            evidence,
        });
    }
    for member in loud {
        let mut own = topic(&[member], find, inputs);
        own.why.push(Why {
            rule: Rule::OwnRate,
            evidence: apart(member, rate_of(member), total, find, inputs),
        });
        topics.push(own);
    }
    topics
}

/// What a consumer of the others pays if a table stays with them.
fn apart<'t>(
    member: &Member,
    rate: f64,
    total: f64,
    find: &impl Fn(&TableName) -> Option<&'t Table>,
    inputs: &Inputs,
) -> String {
    let record_bytes = find(&member.table).map_or(0.0, |table| bytes_of(table, inputs));
    format!(
        "{} makes {}/s of {}/s: whoever wants the others would pass over {} of what it reads ({}/s, {} a day), {} or more is too much; it has a topic of its own",
        member.table,
        amount(rate),
        amount(total),
        percent(rate / total),
        bytes(rate * record_bytes),
        bytes(rate * record_bytes * 86_400.0),
        percent(inputs.sure(Input::ApartShare))
    )
}

fn bytes_of(table: &Table, inputs: &Inputs) -> f64 {
    let measured = table.rate.and_then(|rate| rate.bytes_per_change);
    measured.unwrap_or_else(|| inputs.sure(Input::RecordBytes))
}

fn topic<'t>(
    members: &[&Member],
    find: &impl Fn(&TableName) -> Option<&'t Table>,
    inputs: &Inputs,
) -> PlannedTopic {
    let tables: Vec<&Table> = members.iter().filter_map(|it| find(&it.table)).collect();
    let load = load(&tables, inputs);
    let mut why: Vec<Why> = members.iter().map(|member| why_here(member)).collect();
    if members.len() > 1 {
        why.extend(together(&tables, &load));
    }
    let keyless = tables.iter().all(|table| table.key.is_empty());
    let sized = partitions(&load, inputs);
    let fixed = inputs.known(Input::Partitions).is_some();
    let (partitions, working) = match keyless && !fixed {
        true => (
            1,
            vec![
                "one order for the whole table: more than one partition would stay empty"
                    .to_owned(),
            ],
        ),
        false => (sized.partitions, sized.working),
    };
    why.extend(working.into_iter().map(|evidence| Why {
        rule: Rule::Partitions,
        evidence,
    }));
    if let Some((most, above)) = hot_key(load.target_per_s(inputs), inputs) {
        let is = if above { "above" } else { "within" };
        let evidence = format!(
            "1 ÷ (h × s) = 1 ÷ ({} × {} ms) = {}/s in all before the hottest key falls behind; the {}/s asked for are {is} that",
            percent(inputs.sure(Input::HotKey)),
            amount(inputs.sure(Input::ServiceMs)),
            amount(most),
            amount(load.target_per_s(inputs))
        );
        why.push(Why {
            rule: Rule::HotKey,
            evidence,
        });
    }
    let planned = |member: &&Member| PlannedTable {
        name: member.table.clone(),
        order_key: member.order_key.clone(),
        by_own_key: find(&member.table).is_some_and(|table| table.key == member.order_key),
    };
    PlannedTopic {
        name: members
            .first()
            .map_or_else(|| TableName::new("", ""), |first| first.table.clone()),
        tables: members.iter().map(planned).collect(),
        partitions,
        by_throughput: sized.by_throughput,
        load,
        why,
    }
}

fn load(tables: &[&Table], inputs: &Inputs) -> Load {
    let measured = tables.iter().any(|table| table.rate.is_some());
    let rate: f64 = tables.iter().map(|table| table.changes_per_s()).sum();
    let volume: f64 = tables
        .iter()
        .map(|table| table.changes_per_s() * bytes_of(table, inputs))
        .sum();
    Load {
        changes_per_s: measured.then_some(rate),
        record_bytes: match rate > 0.0 {
            true => volume / rate,
            false => inputs.sure(Input::RecordBytes),
        },
    }
}

fn why_here(member: &Member) -> Why {
    let key = member.order_key.join(", ");
    let Some(follows) = &member.follows else {
        let evidence = match member.order_key.is_empty() {
            true => format!(
                "{} has no primary key: all its changes keep one order",
                member.table
            ),
            false => format!(
                "{}: all changes of one row in order, by ({key})",
                member.table
            ),
        };
        return Why {
            rule: Rule::KeepOrder,
            evidence,
        };
    };
    let bond = match follows.bond {
        Bond::Identifying => "which is part of its primary key",
        Bond::Cascading => "without which no row may be, and with which it is deleted",
        Bond::Required => "without which no row may be",
    };
    let chosen = match follows.chosen {
        "" => String::new(),
        chosen => format!("; of several parents this one: {chosen}"),
    };
    Why {
        rule: Rule::FollowParent,
        evidence: format!(
            "{} ({}) refers to {}, {bond}: its rows keep their order with it, by ({key}){chosen}",
            member.table,
            follows.columns.join(", "),
            follows.parent
        ),
    }
}

/// What sharing costs whoever wants the quietest of them alone.
fn together(tables: &[&Table], load: &Load) -> Option<Why> {
    let total = load.changes_per_s.filter(|rate| *rate > 0.0)?;
    let quietest = tables
        .iter()
        .min_by(|one, other| one.changes_per_s().total_cmp(&other.changes_per_s()))?;
    let unwanted = 1.0 - quietest.changes_per_s() / total;
    Some(Why {
        rule: Rule::OwnRate,
        evidence: format!(
            "one topic: a consumer of {} alone passes over {} of it ({}/s)",
            quietest.name,
            percent(unwanted),
            bytes(total * unwanted * load.record_bytes)
        ),
    })
}

/// Quiet topics need no partition for each process: where brokers bear no more, they get one, the quietest first.
fn fit_into_brokers(topics: &mut [PlannedTopic], inputs: &Inputs) {
    if inputs.known(Input::Partitions).is_some() {
        return;
    }
    let latency = inputs.sure(Input::Latency) > 0.0;
    let b = inputs.sure(Input::Brokers);
    let r = inputs.sure(Input::ReplicationFactor).min(b);
    let most = super::partitions::replicas_per_broker_max(b, r, latency) * b / r;
    let mut total: f64 = topics.iter().map(|one| f64::from(one.partitions)).sum();
    let mut quiet: Vec<&mut PlannedTopic> = topics
        .iter_mut()
        .filter(|topic| topic.by_throughput == 1 && topic.partitions > 1)
        .collect();
    quiet.sort_by(|one, other| {
        let rate = |topic: &PlannedTopic| topic.load.changes_per_s.unwrap_or_default();
        rate(one).total_cmp(&rate(other))
    });
    for topic in quiet {
        if total <= most {
            return;
        }
        total -= f64::from(topic.partitions - 1);
        topic.partitions = 1;
        topic.why.push(Why {
            rule: Rule::Limits,
            evidence: format!(
                "1 partition after all: the brokers bear {} partitions in all, and this topic is quiet; the processes share it with the other topics",
                amount(most)
            ),
        });
    }
}

/// A difference between two plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// A topic, or `all topics`.
    pub subject: String,
    /// What differs.
    pub field: &'static str,
    /// In the one.
    pub from: String,
    /// In the other.
    pub to: String,
}

/// What a second plan does otherwise than a first.
pub fn differences(before: &Plan, after: &Plan) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut differ = |subject: &str, field: &'static str, from: String, to: String| {
        if from != to {
            all.push(Difference {
                subject: subject.to_owned(),
                field,
                from,
                to,
            });
        }
    };
    let names = |plan: &Plan| -> std::collections::BTreeSet<TableName> {
        plan.topics.iter().map(|topic| topic.name.clone()).collect()
    };
    let of = |plan: &Plan, name: &TableName, told: fn(&PlannedTopic) -> String| {
        let topic = plan.topics.iter().find(|topic| topic.name == *name);
        topic.map_or_else(|| "no topic".to_owned(), told)
    };
    for name in names(before).union(&names(after)) {
        let subject = name.to_string();
        let count: fn(&PlannedTopic) -> String = |topic| topic.partitions.to_string();
        differ(
            &subject,
            "partitions",
            of(before, name, count),
            of(after, name, count),
        );
        let tables: fn(&PlannedTopic) -> String = |topic| {
            let names: Vec<String> = topic.tables.iter().map(|it| it.name.to_string()).collect();
            names.join(", ")
        };
        differ(
            &subject,
            "tables",
            of(before, name, tables),
            of(after, name, tables),
        );
    }
    let every = "all topics";
    let kept = |plan: &Plan| hours(plan.retention.hours);
    differ(every, "retention", kept(before), kept(after));
    let copies = |plan: &Plan| plan.replication_factor.to_string();
    differ(every, "replication_factor", copies(before), copies(after));
    for (one, other) in before.bounds.iter().zip(&after.bounds) {
        differ(every, one.name, one.told.clone(), other.told.clone());
    }
    let warned = |plan: &Plan| {
        let texts = plan.warnings.iter();
        let texts = texts.map(|it| format!("{}: {}", it.subject, it.found));
        texts.collect::<Vec<_>>()
    };
    let (former, latter) = (warned(before), warned(after));
    for gone in former.iter().filter(|text| !latter.contains(text)) {
        differ(every, "warning", gone.clone(), String::new());
    }
    for new in latter.iter().filter(|text| !former.contains(text)) {
        differ(every, "warning", String::new(), new.clone());
    }
    all
}

/// The most that the hottest key lets through, and whether the target is above it.
pub(super) fn hot_key(target_per_s: f64, inputs: &Inputs) -> Option<(f64, bool)> {
    let share = inputs.known(Input::HotKey).filter(|share| *share > 0.0)?;
    let most = hot_key_max_per_s(share, inputs.sure(Input::ServiceMs));
    Some((most, target_per_s > most))
}
