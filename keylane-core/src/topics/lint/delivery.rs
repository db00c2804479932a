//! What is lost, doubled or seen too early: L11, L12, L13, L14.

use super::facts::{Client, Facts, Library};
use super::report::Judged;
use super::sizing::subject;
use super::{NEEDS_CLIENTS, NEEDS_CLUSTER};
use crate::topics::Input;
use crate::topics::figures::hours;

const HOUR_MS: f64 = 3_600_000.0;

fn consumers(facts: &Facts) -> impl Iterator<Item = &Client> {
    facts.clients.iter().filter(|client| client.consumes())
}

/// Kafka's default everywhere unless the text says false.
fn is_off(client: &Client, name: &str) -> bool {
    let value = client.get(name);
    value.is_some_and(|it| it.trim().eq_ignore_ascii_case("false"))
}

/// L11: offsets are committed by the clock.
pub(super) fn early_commit(facts: &Facts, judged: &mut Judged) {
    for _ in &facts.pipelines {
        // An applier's progress is written with its rows.
        judged.look();
    }
    let mut any = false;
    for client in consumers(facts) {
        any = true;
        judged.look();
        let stores_itself = client.library() == Some(Library::Librdkafka)
            && is_off(client, "enable.auto.offset.store");
        if is_off(client, "enable.auto.commit") || stores_itself {
            continue;
        }
        let written = client.get("enable.auto.commit");
        let evidence = match written {
            Some(value) => format!("enable.auto.commit={value}"),
            None => "enable.auto.commit is not set: its default is true".to_owned(),
        };
        let fix = "enable.auto.commit=false and commit what is done; with librdkafka enable.auto.offset.store=false and storing what is done will do";
        judged.find(format!("client {}", client.name), evidence, fix);
    }
    if !any && facts.pipelines.is_empty() {
        judged.need(NEEDS_CLIENTS);
    }
}

/// L12: latest where progress is kept, or retention shorter than an absence.
pub(super) fn gone_after_absence(facts: &Facts, judged: &mut Judged) {
    for client in consumers(facts).filter(|client| client.get("group.id").is_some()) {
        judged.look();
        let reset = client.get("auto.offset.reset").unwrap_or("latest").trim();
        if matches!(reset, "latest" | "largest" | "end") {
            let evidence = match client.get("auto.offset.reset") {
                Some(reset) => format!("auto.offset.reset={reset} with a group that keeps offsets"),
                None => "auto.offset.reset is not set: its default is latest".to_owned(),
            };
            let fix = "auto.offset.reset=none (or earliest, where doing things again does no harm)";
            judged.find(format!("client {}", client.name), evidence, fix);
        }
    }
    let away = facts.inputs.sure(Input::AwayHours);
    for pipeline in &facts.pipelines {
        judged.look();
        let planned = pipeline.planned.as_ref();
        let needed = planned.map_or(away, |it| it.plan.retention.hours.max(away));
        if let Some(kept) = pipeline.retention_hours.filter(|kept| *kept < needed) {
            let evidence = format!(
                "keeps changes {}, an absence and catching up take {}",
                hours(kept),
                hours(needed)
            );
            let fix = match pipeline.over_kafka {
                true => format!(
                    "topics.properties: {{ retention.ms: \"{:.0}\" }}",
                    needed * HOUR_MS
                ),
                false => format!("log.embedded.retention: {needed:.0}h"),
            };
            judged.find(format!("pipeline {}", pipeline.name), evidence, fix);
        }
    }
    let Some(cluster) = &facts.cluster else {
        if facts.pipelines.is_empty() {
            judged.need(NEEDS_CLUSTER);
        }
        return;
    };
    for topic in cluster.topics.iter().filter(|topic| topic.is_data()) {
        let deletes = topic.settings.get("cleanup.policy");
        let deletes = deletes.is_some_and(|policy| policy.contains("delete"));
        let Some(kept_ms) = topic.number("retention.ms") else {
            judged.need("topics' settings: the right to DescribeConfigs");
            continue;
        };
        judged.look();
        let kept = kept_ms as f64 / HOUR_MS;
        if deletes && kept_ms >= 0 && kept < away {
            let evidence = format!(
                "keeps records {}, an absence may last {}",
                hours(kept),
                hours(away)
            );
            let fix = format!(
                "retention.ms={:.0} (`keylane topics apply`, or kafka-configs --alter)",
                away * HOUR_MS
            );
            judged.find(subject(topic), evidence, fix);
        }
    }
}

/// L13: read_uncommitted where there are transactions.
pub(super) fn uncommitted_reads(facts: &Facts, judged: &mut Judged) {
    let writer = facts
        .clients
        .iter()
        .find(|client| client.get("transactional.id").is_some());
    let in_cluster = facts.cluster.as_ref().map(|cluster| cluster.transactions);
    let transactions = match (writer, in_cluster) {
        (Some(writer), _) => Some(format!("client {} writes transactions", writer.name)),
        (None, Some(true)) => Some("the cluster has had transactional producers".to_owned()),
        (None, _) => None,
    };
    for _ in facts.pipelines.iter().filter(|it| it.over_kafka) {
        // librdkafka's default is read_committed, and Keylane writes no transactions.
        judged.look();
    }
    let mut any = false;
    for client in consumers(facts) {
        any = true;
        let level = client.get("isolation.level").map(str::trim);
        let uncommitted = match (level, client.library()) {
            (Some(level), _) => level == "read_uncommitted",
            (None, Some(Library::Java)) => true,
            (None, Some(Library::Librdkafka)) => false,
            (None, None) => {
                judged.need("client.library=java or librdkafka in a client's properties that do not show which they are for");
                continue;
            }
        };
        match (&transactions, in_cluster.is_some() || writer.is_some()) {
            (Some(who), _) if uncommitted => {
                let evidence = match level {
                    Some(level) => format!("isolation.level={level}, and {who}"),
                    None => format!(
                        "isolation.level is not set: Java's default is read_uncommitted; {who}"
                    ),
                };
                judged.find(
                    format!("client {}", client.name),
                    evidence,
                    "isolation.level=read_committed",
                );
            }
            (None, false) if uncommitted => judged.need(
                "whether anybody writes transactions: a cluster, or the producers' properties",
            ),
            _ => judged.look(),
        }
    }
    if !any && facts.pipelines.is_empty() {
        judged.need(NEEDS_CLIENTS);
    }
}

/// L14: a compacted topic whose readers count.
pub(super) fn counted_though_compacted(facts: &Facts, judged: &mut Judged) {
    for pipeline in &facts.pipelines {
        judged.look();
        let policy = pipeline.settings.get("cleanup.policy");
        if let Some(policy) = policy.filter(|policy| policy.contains("compact")) {
            let evidence = format!("topics.properties: cleanup.policy={policy}");
            let fix = "remove cleanup.policy: a replica that is behind needs every change of a key";
            judged.find(format!("pipeline {}", pipeline.name), evidence, fix);
        }
    }
    let Some(cluster) = &facts.cluster else {
        if facts.pipelines.is_empty() {
            judged.need(NEEDS_CLUSTER);
        }
        return;
    };
    let counts = facts.inputs.known(Input::Counts);
    for topic in cluster.topics.iter().filter(|topic| topic.is_data()) {
        let Some(compacted) = topic.is_compacted() else {
            judged.need("topics' settings: the right to DescribeConfigs");
            continue;
        };
        let is_ours = facts
            .pipelines
            .iter()
            .any(|pipeline| pipeline.topics.contains_key(&topic.name));
        match (compacted, is_ours, counts) {
            (true, true, _) => judged.find(
                subject(topic),
                "it is compacted, and a pipeline's changes go through it",
                format!("run: kafka-configs --alter --topic {} --add-config cleanup.policy=delete", topic.name),
            ),
            (true, false, Some(counts)) if counts > 0.0 => judged.find(
                subject(topic),
                "it is compacted, and its readers count",
                "count what a topic with cleanup.policy=delete tells, or keep each key's last value at the reader and count the difference",
            ),
            (true, false, None) => judged.need("whether readers of compacted topics count: --given counts=1 or counts=0"),
            _ => judged.look(),
        }
    }
}
