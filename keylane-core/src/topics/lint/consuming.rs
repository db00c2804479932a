//! Groups and their members: L9, L10, L19, L21, L22.

use super::facts::{Client, Facts, Library};
use super::report::Judged;
use super::{NEEDS_CLIENTS, NEEDS_CLUSTER};
use crate::topics::Input;
use crate::topics::figures::{amount, bytes, hours};

fn consumers(facts: &Facts) -> impl Iterator<Item = &Client> {
    facts.clients.iter().filter(|client| client.consumes())
}

fn of_client(client: &Client) -> String {
    format!("client {}", client.name)
}

fn uses_new_protocol(client: &Client) -> bool {
    let protocol = client.get("group.protocol");
    protocol.is_some_and(|it| it.eq_ignore_ascii_case("consumer"))
}

/// L9: an eager assignor, or the classic protocol where brokers offer the new one.
pub(super) fn eager_group(facts: &Facts, judged: &mut Judged) {
    let offers = facts
        .cluster
        .as_ref()
        .and_then(|cluster| cluster.offers_consumer_protocol);
    let better = match offers {
        Some(true) => "group.protocol=consumer: these brokers offer it (librdkafka from 2.12)",
        _ => {
            "partition.assignment.strategy=cooperative-sticky; with Kafka 4.0 group.protocol=consumer"
        }
    };
    for client in consumers(facts).filter(|client| client.get("group.id").is_some()) {
        judged.look();
        let strategy = client.get("partition.assignment.strategy").unwrap_or("");
        let cooperative =
            strategy.to_ascii_lowercase().contains("cooperative") && !strategy.contains(',');
        if uses_new_protocol(client) || (cooperative && offers != Some(true)) {
            continue;
        }
        let evidence = match (cooperative, strategy) {
            (true, _) => "the classic protocol, though the brokers offer their own".to_owned(),
            (false, "") => "no partition.assignment.strategy: the default is eager".to_owned(),
            (false, some) => format!("partition.assignment.strategy={some} is eager"),
        };
        judged.find(of_client(client), evidence, better);
    }
    for pipeline in facts.pipelines.iter().filter(|it| it.over_kafka) {
        judged.look();
        if !pipeline.consumer_protocol && offers == Some(true) {
            let evidence = "its appliers agree among themselves (classic, cooperative), though the brokers offer to assign";
            let fix = "apply.group.protocol: consumer";
            judged.find(format!("pipeline {}", pipeline.name), evidence, fix);
        }
    }
    if let Some(cluster) = &facts.cluster {
        for group in &cluster.groups {
            judged.look();
            let eager = group.assignor.as_deref();
            let eager = eager.filter(|it| matches!(*it, "range" | "roundrobin" | "sticky"));
            if let Some(assignor) = eager.filter(|_| group.members > 0) {
                let evidence =
                    format!("{} members by the eager assignor {assignor}", group.members);
                judged.find(format!("group {}", group.name), evidence, better);
            }
        }
        if cluster.groups.is_empty() {
            judged.need("a group that reads these topics, while its members are there");
        }
    } else if facts.pipelines.is_empty() && facts.clients.is_empty() {
        judged.need(NEEDS_CLUSTER);
        judged.need(NEEDS_CLIENTS);
    }
}

/// L10: the work of one poll lasts longer than max.poll.interval.ms.
pub(super) fn long_drain(facts: &Facts, judged: &mut Judged) {
    const INTERVAL_MS: f64 = 300_000.0;
    const POLL_RECORDS: f64 = 500.0;
    for _ in &facts.pipelines {
        // An applier gives up what is not done within 20 s, and polls all the while.
        judged.look();
    }
    let mut any = false;
    for client in consumers(facts) {
        any = true;
        let java = client.library() == Some(Library::Java);
        let own = client.number("max.poll.records");
        let own = own.or(java.then_some(POLL_RECORDS));
        let Some(pending) = facts.inputs.known(Input::Pending).or(own) else {
            judged.need("how many records of a partition may wait: --given pending=…");
            continue;
        };
        let Some(service_ms) = facts.inputs.known(Input::ServiceMs) else {
            judged.need("how long one record takes: --given service_ms=…");
            continue;
        };
        judged.look();
        let side_by_side = facts.inputs.known(Input::Threads).unwrap_or(1.0);
        let interval = client.number("max.poll.interval.ms").unwrap_or(INTERVAL_MS);
        let drain = pending * service_ms / side_by_side;
        if drain >= interval {
            let evidence = format!(
                "{} records × {} ms ÷ {} side by side = {} ms; max.poll.interval.ms is {}",
                amount(pending),
                amount(service_ms),
                amount(side_by_side),
                amount(drain),
                amount(interval)
            );
            let fix = "hand over fewer records at once (max.poll.records), work on them side by side, or raise max.poll.interval.ms above the drain";
            judged.find(of_client(client), evidence, fix);
        }
    }
    if !any && facts.pipelines.is_empty() {
        judged.need(NEEDS_CLIENTS);
    }
}

/// L19: a static member whose session is over before it is back.
pub(super) fn slow_static_members(facts: &Facts, judged: &mut Judged) {
    const SESSION_MS: f64 = 45_000.0;
    let restart_ms = facts.inputs.sure(Input::RestartS) * 1000.0;
    let mut any = false;
    let mut check = |subject: String, session_ms: f64, fix: &str| {
        if session_ms < restart_ms {
            let evidence = format!(
                "its session lasts {} ms, a restart {} ms",
                amount(session_ms),
                amount(restart_ms)
            );
            judged.find(subject, evidence, fix);
        } else {
            judged.look();
        }
    };
    for pipeline in &facts.pipelines {
        any = true;
        match pipeline.is_static && !pipeline.consumer_protocol {
            true => check(
                format!("pipeline {}", pipeline.name),
                pipeline.session_timeout_ms as f64,
                "raise apply.group.session_timeout above the time of a restart (--given restart_s=…)",
            ),
            false => check(String::new(), f64::INFINITY, ""),
        }
    }
    for client in consumers(facts) {
        any = true;
        let is_static = client.get("group.instance.id").is_some() && !uses_new_protocol(client);
        let session = client.number("session.timeout.ms").unwrap_or(SESSION_MS);
        match is_static {
            true => check(
                of_client(client),
                session,
                "raise session.timeout.ms above the time of a restart (--given restart_s=…)",
            ),
            false => check(String::new(), f64::INFINITY, ""),
        }
    }
    if !any {
        judged.need(NEEDS_CLIENTS);
    }
}

/// L21: one fetch of a partition holds many times the records that are worked on side by side.
pub(super) fn clumped_fetches(facts: &Facts, judged: &mut Judged) {
    const FETCH_BYTES: f64 = 1024.0 * 1024.0;
    /// One partition's records then fill a buffer of twice what is in work, several times over.
    const FAR: f64 = 10.0;
    for _ in &facts.pipelines {
        // Each partition has a fair share of an applier's buffer.
        judged.look();
    }
    let topics = facts.cluster.iter().flat_map(|cluster| &cluster.topics);
    let sizes = topics.filter(|topic| topic.is_data());
    let smallest = sizes.filter_map(|topic| topic.record_bytes());
    let smallest = smallest.reduce(f64::min);
    let mut any = false;
    for client in consumers(facts) {
        any = true;
        let Some(size) = facts.inputs.known(Input::RecordBytes).or(smallest) else {
            judged.need("how large a record is: a topic with records, or --given record_bytes=…");
            continue;
        };
        let Some(side_by_side) = facts.inputs.known(Input::Threads) else {
            judged.need("how many records a process works on side by side: --given threads=…");
            continue;
        };
        judged.look();
        let fetch = client.number("max.partition.fetch.bytes");
        let fetch = fetch.or(client.number("fetch.message.max.bytes"));
        let fetch = fetch.unwrap_or(FETCH_BYTES);
        let records = fetch / size.max(1.0);
        if side_by_side > 1.0 && records > FAR * side_by_side {
            let evidence = format!(
                "one fetch of a partition brings {} ÷ {} = {} records, {} are worked on side by side",
                bytes(fetch),
                bytes(size),
                amount(records),
                amount(side_by_side)
            );
            let fix = "lower max.partition.fetch.bytes (16384 gave two to six times the throughput of key-parallel consumers at 10 to 100 ms a record), or buffer each partition by itself";
            judged.find(of_client(client), evidence, fix);
        }
    }
    if !any && facts.pipelines.is_empty() {
        judged.need(NEEDS_CLIENTS);
    }
}

/// L22: a group with members at work, and no offset kept.
pub(super) fn no_progress(facts: &Facts, judged: &mut Judged) {
    let Some(cluster) = &facts.cluster else {
        return judged.need(NEEDS_CLUSTER);
    };
    if cluster.groups.is_empty() {
        return judged.need("a group that reads these topics, while its members are there");
    }
    let holds = |name: &String| {
        let mut topics = cluster.topics.iter();
        topics.any(|topic| topic.name == *name && topic.records > 0)
    };
    for group in &cluster.groups {
        judged.look();
        if group.members > 0 && group.committed == 0 && group.topics.iter().any(holds) {
            let evidence = format!(
                "{} members read {}, and the group keeps no offset of any partition",
                group.members,
                group.topics.join(", ")
            );
            let fix = format!(
                "commit what is done (see the consumer's settings; a builder without an offset manager commits nothing), within the {} that a rebuild may cost",
                hours(facts.inputs.sure(Input::AwayHours))
            );
            judged.find(format!("group {}", group.name), evidence, fix);
        }
    }
}
