//! Numbers of partitions, replicas and topics: L1, L2, L3, L18, L20.

use super::facts::{Facts, Pipeline, Topic};
use super::report::Judged;
use super::{CLUSTER, NEEDS_CLUSTER};
use crate::topics::figures::{amount, bytes};
use crate::topics::partitions::{leaderless_ms, replicas_per_broker_max};
use crate::topics::{Input, Inputs};

const NEEDS_RATE: &str = "rates: --sample 30s while the cluster is at work, or --given rate=…";
const NEEDS_INSTANCES: &str = "how many processes share the work: --given instances=…";
/// From this many on, quiet topics are thousands.
const QUIET_MAX: usize = 1000;

/// What a topic's records ask for in a second, as measured or given; given is meant of each topic.
fn rate(topic: &Topic, inputs: &Inputs) -> Option<f64> {
    inputs.known(Input::Rate).or(topic.records_per_s)
}

fn record_bytes(topic: &Topic, inputs: &Inputs) -> f64 {
    let told = inputs.known(Input::RecordBytes).or(topic.record_bytes());
    told.unwrap_or_else(|| inputs.sure(Input::RecordBytes))
}

/// L1: fewer partitions than max(t/p, t/c), or than processes. Where a pipeline's own threads read, t/c does not count.
pub(super) fn too_few_partitions(facts: &Facts, judged: &mut Judged) {
    for pipeline in &facts.pipelines {
        of_pipeline(pipeline, &facts.inputs, judged);
    }
    let Some(cluster) = &facts.cluster else {
        if facts.pipelines.is_empty() {
            judged.need(NEEDS_CLUSTER);
        }
        return;
    };
    let instances = facts.inputs.known(Input::Instances);
    for topic in cluster.topics.iter().filter(|topic| topic.is_data()) {
        let rate = rate(topic, &facts.inputs);
        if rate.is_none() {
            judged.need(NEEDS_RATE);
        }
        if rate.is_some() || instances.is_some() {
            judged.look();
        }
        let is_ours = facts
            .pipelines
            .iter()
            .any(|pipeline| pipeline.topics.contains_key(&topic.name));
        let target = rate.unwrap_or(0.0) * facts.inputs.known(Input::Headroom).unwrap_or(1.0);
        let (size, p) = (
            record_bytes(topic, &facts.inputs),
            facts.inputs.sure(Input::PartitionBytesPerS),
        );
        let by_writing = (target * size / p).ceil();
        let by_reading = match facts.inputs.known(Input::ServiceMs) {
            Some(service_ms) if !is_ours => (target * service_ms / 1000.0).ceil(),
            _ => 0.0,
        };
        let by_instances = instances.filter(|_| !is_ours).unwrap_or(0.0);
        let needed = by_writing.max(by_reading).max(by_instances);
        if f64::from(topic.partitions) < needed {
            let evidence = format!(
                "{} partitions; t/p: {}/s × {} ÷ {}/s = {}, t/c: {}, processes: {}",
                topic.partitions,
                amount(target),
                bytes(size),
                bytes(p),
                amount(by_writing),
                amount(by_reading),
                amount(by_instances)
            );
            judged.find(subject(topic), evidence, more(needed));
        }
    }
    if instances.is_none() && facts.pipelines.is_empty() {
        judged.need(NEEDS_INSTANCES);
    }
}

fn more(needed: f64) -> String {
    format!(
        "a new topic (or prefix) with {} partitions or more, drained into: more partitions in place would move keys; or consume by key, so that threads are not tied to partitions",
        amount(needed)
    )
}

fn of_pipeline(pipeline: &Pipeline, inputs: &Inputs, judged: &mut Judged) {
    let Some(planned) = &pipeline.planned else {
        judged.need("the pipeline's origin, to know its rates");
        return;
    };
    judged.look();
    let topics = planned.plan.topics.iter();
    for topic in topics.filter(|topic| topic.load.changes_per_s.is_some()) {
        let goes = planned.configured.get(&topic.name.to_string());
        let Some((name, _)) = goes else { continue };
        let is = pipeline.topics.get(name).copied().unwrap_or(u32::MAX);
        if is < topic.by_throughput {
            let evidence = format!(
                "{is} partitions are configured, throughput needs {}",
                topic.by_throughput
            );
            let fix = "before its first record: topics.partitions_of; after it: a new prefix";
            judged.find(format!("topic {name}"), evidence, fix);
        }
    }
    let total: u64 = pipeline.topics.values().map(|it| u64::from(*it)).sum();
    if let Some(instances) = inputs.known(Input::Instances)
        && (total as f64) < instances
    {
        let evidence = format!("{total} partitions for {} processes", amount(instances));
        let fix = "more partitions, or fewer processes";
        judged.find(format!("pipeline {}", pipeline.name), evidence, fix);
    }
}

/// L2: more replicas on a broker than 100 × b × r (latency) or 4,000.
pub(super) fn too_many_replicas(facts: &Facts, judged: &mut Judged) {
    let Some(cluster) = &facts.cluster else {
        return judged.need(NEEDS_CLUSTER);
    };
    judged.look();
    let (b, r) = (cluster.replicas.len() as f64, f64::from(cluster.copies_max));
    let latency = facts.inputs.sure(Input::Latency) > 0.0;
    let most = replicas_per_broker_max(b, r, latency);
    for (broker, held) in &cluster.replicas {
        if *held as f64 > most {
            let evidence = format!(
                "{held} replicas; at most {} for {} brokers with {} copies",
                amount(most),
                amount(b),
                amount(r)
            );
            let fix = "merge quiet topics, give topics fewer partitions, or add brokers; --given latency=0 if only throughput counts";
            judged.find(format!("broker {broker}"), evidence, fix);
        }
    }
}

/// L3: leaders × 5 ms above what an outage may last.
pub(super) fn long_crash(facts: &Facts, judged: &mut Judged) {
    let Some(cluster) = &facts.cluster else {
        return judged.need(NEEDS_CLUSTER);
    };
    judged.look();
    let most = facts.inputs.sure(Input::OutageMs);
    for (broker, leads) in &cluster.leaders {
        let takes = leaderless_ms(*leads as f64);
        if takes > most {
            let evidence = format!(
                "leads {leads} partitions × 5 ms = {} ms without a leader after its crash (a figure of ZooKeeper's time; KRaft is quicker); at most {} ms",
                amount(takes),
                amount(most)
            );
            let fix = "fewer partitions, more brokers, or leaders spread evenly (kafka-leader-election --election-type preferred)";
            judged.find(format!("broker {broker}"), evidence, fix);
        }
    }
}

/// L18: thousands of topics of less than a record a second.
pub(super) fn quiet_topics(facts: &Facts, judged: &mut Judged) {
    let Some(cluster) = &facts.cluster else {
        return judged.need(NEEDS_CLUSTER);
    };
    let topics = cluster.topics.iter().filter(|topic| topic.is_data());
    if topics.clone().count() < QUIET_MAX {
        return judged.look();
    }
    if cluster.sampled_s <= 0.0 {
        return judged.need("rates: --sample 30s while the cluster is at work");
    }
    judged.look();
    let is_quiet = |topic: &&Topic| topic.records_per_s.is_some_and(|rate| rate < 1.0);
    let quiet = topics.filter(is_quiet).count();
    if quiet >= QUIET_MAX {
        let evidence = format!(
            "{quiet} topics took less than a record a second over {} s",
            amount(cluster.sampled_s)
        );
        let fix = "put events that belong together into one topic (topics.topic_of in a pipeline; `keylane topics plan` says which)";
        judged.find(CLUSTER, evidence, fix);
    }
}

/// L20: far more partitions than threads, and little to do.
pub(super) fn idle_partitions(facts: &Facts, judged: &mut Judged) {
    const FAR: f64 = 4.0;
    let Some(cluster) = &facts.cluster else {
        return judged.need(NEEDS_CLUSTER);
    };
    let Some(instances) = facts.inputs.known(Input::Instances) else {
        return judged.need(NEEDS_INSTANCES);
    };
    for topic in cluster.topics.iter().filter(|topic| topic.is_data()) {
        let owner = facts
            .pipelines
            .iter()
            .find(|pipeline| pipeline.topics.contains_key(&topic.name));
        let threads = owner.map(|pipeline| f64::from(pipeline.threads_max));
        let Some(each) = facts.inputs.known(Input::Cores).or(threads) else {
            judged.need("how many cores a process has: --given cores=…");
            continue;
        };
        let Some(rate) = rate(topic, &facts.inputs) else {
            judged.need(NEEDS_RATE);
            continue;
        };
        judged.look();
        let work = instances * each;
        let by_writing = rate * record_bytes(topic, &facts.inputs)
            / facts.inputs.sure(Input::PartitionBytesPerS);
        let partitions = f64::from(topic.partitions);
        if partitions > FAR * work && by_writing.ceil() <= work {
            let evidence = format!(
                "{} partitions for {} processes × {} cores, {}/s",
                topic.partitions,
                amount(instances),
                amount(each),
                amount(rate)
            );
            let fix = format!(
                "{} partitions suffice; a topic cannot lose any, so this is for the next one",
                amount(by_writing.ceil().max(instances))
            );
            judged.find(subject(topic), evidence, fix);
        }
    }
    if cluster.topics.iter().all(|topic| !topic.is_data()) {
        judged.look();
    }
}

pub(super) fn subject(topic: &Topic) -> String {
    format!("topic {}", topic.name)
}
