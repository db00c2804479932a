//! What breaks a key's order: L4, L5, L6, L7, L8.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Client, Facts, Library, Planned, Sampled, Topic};
use super::report::Judged;
use super::sizing::subject;
use super::{NEEDS_CLIENTS, NEEDS_CLUSTER};
use crate::model::{OrderHash, murmur2};
use crate::topics::Input;
use crate::topics::figures::{amount, percent};
use crate::topics::partitions::hot_key_max_per_s;

const NEEDS_RECORDS: &str = "records to read: there were none, or they may not be read";

/// L4: another number of partitions for a topic that holds keyed records.
pub(super) fn other_partitions(facts: &Facts, judged: &mut Judged) {
    let Some(cluster) = &facts.cluster else {
        return judged.need(NEEDS_CLUSTER);
    };
    let given = facts.inputs.known(Input::Partitions);
    if facts.pipelines.is_empty() && given.is_none() {
        return judged.need("what is planned: a configuration, or --given partitions=…");
    }
    for topic in cluster.topics.iter().filter(|topic| topic.is_data()) {
        let configured = facts
            .pipelines
            .iter()
            .find_map(|pipeline| pipeline.topics.get(&topic.name));
        let wanted = configured.map(|wanted| f64::from(*wanted)).or(given);
        let Some(wanted) = wanted else { continue };
        judged.look();
        let is = f64::from(topic.partitions);
        let is_keyed = topic.sample.iter().any(|record| record.key.is_some());
        let empty = topic.records == 0;
        if wanted != is && !empty && (is_keyed || topic.sample.is_empty()) {
            let evidence = format!(
                "{} partitions, {} are wanted; it holds {} keyed records",
                topic.partitions,
                amount(wanted),
                amount(topic.records as f64)
            );
            let fix = format!(
                "keep {}; for another number: a new topic or prefix, and let readers drain this one first (`keylane topics apply` writes the steps)",
                topic.partitions
            );
            judged.find(subject(topic), evidence, fix);
        }
    }
    // Topics that are to be created break nothing.
    if !facts.pipelines.is_empty() {
        judged.look();
    }
}

/// L5: tables that belong together by their foreign keys, in several topics or by several keys.
pub(super) fn scattered_entities(facts: &Facts, judged: &mut Judged) {
    let mut planned = facts
        .pipelines
        .iter()
        .filter_map(|pipeline| Some((&pipeline.name, pipeline.planned.as_ref()?)))
        .peekable();
    if planned.peek().is_none() {
        return judged
            .need("the tables behind the topics: a configuration with an origin that answers");
    }
    for (name, planned) in planned {
        judged.look();
        for topic in &planned.plan.topics {
            let Some(first) = topic.tables.first() else {
                continue;
            };
            for table in topic.tables.iter().skip(1) {
                let differs = differs(
                    planned,
                    &first.name.to_string(),
                    &table.name.to_string(),
                    &table.order_key,
                );
                let Some(evidence) = differs else { continue };
                let fix = format!(
                    "before their first record: take the block that `keylane topics plan --output yaml` prints for pipeline {name}; after it: the same with a new prefix"
                );
                judged.find(format!("table {}", table.name), evidence, fix);
            }
        }
    }
}

fn differs(
    planned: &Planned,
    first: &str,
    table: &str,
    order_key: &[std::sync::Arc<str>],
) -> Option<String> {
    let (host, _) = planned.configured.get(first)?;
    let (topic, by) = planned.configured.get(table)?;
    let same_key = by
        .iter()
        .map(|it| &**it)
        .eq(order_key.iter().map(|it| &**it));
    let apart = host != topic;
    let wanted = order_key.join(", ");
    match (apart, same_key) {
        (false, true) => None,
        (true, _) => Some(format!(
            "goes into topic {topic} by ({}), and {first}, which it belongs to, into {host}; together by ({wanted}) they would keep one order",
            by.join(", ")
        )),
        (false, false) => Some(format!(
            "shares topic {topic} with {first}, but is ordered by ({}), not by ({wanted})",
            by.join(", ")
        )),
    }
}

/// L6: partitioners that differ, by the records themselves or by the clients' settings.
pub(super) fn mixed_partitioners(facts: &Facts, judged: &mut Judged) {
    let producers: Vec<&Client> = facts.clients.iter().filter(|it| it.produces()).collect();
    if let Some(cluster) = &facts.cluster {
        for topic in cluster.topics.iter().filter(|topic| topic.is_data()) {
            // Keylane puts a record where its order key belongs.
            let keyed: Vec<&Sampled> = topic
                .sample
                .iter()
                .filter(|record| record.key.is_some() && !record.is_keylanes)
                .collect();
            if topic.partitions < 2 || topic.sample.iter().any(|record| record.is_keylanes) {
                judged.look();
                continue;
            }
            if keyed.is_empty() {
                judged.need(NEEDS_RECORDS);
                continue;
            }
            judged.look();
            if let Some(evidence) = placed_twice(topic, &keyed) {
                judged.find(subject(topic), evidence, ONE_PARTITIONER);
            }
        }
    }
    let mut kinds: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for client in &producers {
        match partitioner(client) {
            Some(kind) => kinds.entry(kind).or_default().push(&client.name),
            None => judged.need("client.library=java or librdkafka in a client's properties that do not show which they are for"),
        }
    }
    if !kinds.is_empty() {
        judged.look();
    }
    if kinds.len() > 1 {
        let told = kinds.iter();
        let told = told.map(|(kind, names)| format!("{kind} ({})", names.join(", ")));
        let evidence = told.collect::<Vec<_>>().join(" and ");
        judged.find("clients", evidence, ONE_PARTITIONER);
    }
    if facts.cluster.is_none() && producers.is_empty() {
        judged.need(NEEDS_CLUSTER);
        judged.need(NEEDS_CLIENTS);
    }
}

const ONE_PARTITIONER: &str = "set partitioner=murmur2_random at every librdkafka producer (Java's choice), and drain the topic before its keys are relied on";

/// Whether a key lies in two partitions, or some lie where only CRC32 and others where only murmur2 puts them.
fn placed_twice(topic: &Topic, keyed: &[&Sampled]) -> Option<String> {
    /// Below this many keys chance could look like a pattern.
    const KEYS_MIN: usize = 20;
    let mut places: BTreeMap<&[u8], BTreeSet<u32>> = BTreeMap::new();
    for record in keyed {
        let key = record.key.as_deref().unwrap_or_default();
        places.entry(key).or_default().insert(record.partition);
    }
    let twice = places.values().filter(|places| places.len() > 1).count();
    if twice > 0 {
        return Some(format!(
            "{twice} of {} keys that were read lie in more than one partition",
            places.len()
        ));
    }
    let (mut java, mut crc, mut neither) = (0, 0, 0);
    for (key, places) in &places {
        let is = places.first().copied().unwrap_or(0);
        let by_murmur = OrderHash(murmur2(key)).partition(topic.partitions) == is;
        let by_crc = crc32(key) % topic.partitions == is;
        match (by_murmur, by_crc) {
            (true, true) => {}
            (true, false) => java += 1,
            (false, true) => crc += 1,
            (false, false) => neither += 1,
        }
    }
    let mixed = neither == 0 && java > 0 && crc > 0 && places.len() >= KEYS_MIN;
    mixed.then(|| {
        format!("of {} keys that were read {java} lie where only murmur2 puts them, {crc} where only CRC32 does", places.len())
    })
}

/// CRC-32 as zlib has it, which librdkafka's default partitioner takes.
fn crc32(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let step = |crc: u32, byte: &u8| {
        let mixed = crc ^ u32::from(*byte);
        (0..8).fold(mixed, |it, _| {
            let carried = if it & 1 == 1 { POLYNOMIAL } else { 0 };
            (it >> 1) ^ carried
        })
    };
    !data.iter().fold(u32::MAX, step)
}

/// What a client hashes keys by.
fn partitioner(client: &Client) -> Option<String> {
    if let Some(class) = client.get("partitioner.class") {
        return Some(class.to_owned());
    }
    match (client.get("partitioner"), client.library()?) {
        (Some("murmur2" | "murmur2_random"), _) | (None, Library::Java) => {
            Some("murmur2".to_owned())
        }
        (Some("consistent" | "consistent_random"), _) | (None, Library::Librdkafka) => {
            Some("CRC32".to_owned())
        }
        (Some(other), _) => Some(other.to_owned()),
    }
}

/// L7: records without a key.
pub(super) fn no_keys(facts: &Facts, judged: &mut Judged) {
    let Some(cluster) = &facts.cluster else {
        return judged.need(NEEDS_CLUSTER);
    };
    for topic in cluster.topics.iter().filter(|topic| topic.is_data()) {
        if topic.sample.is_empty() {
            judged.need(NEEDS_RECORDS);
            continue;
        }
        judged.look();
        let without = topic.sample.iter().filter(|it| it.key.is_none()).count();
        if without > 0 {
            let evidence = format!(
                "{} of {} records that were read have no key",
                without,
                topic.sample.len()
            );
            let fix = "send each record with its entity's key; if nothing in this topic needs an order, leave the rule out (--ignore L7)";
            judged.find(subject(topic), evidence, fix);
        }
    }
}

/// L8: h × s × t ≥ 1.
pub(super) fn hot_key(facts: &Facts, judged: &mut Judged) {
    /// Fewer records tell no share.
    const RECORDS_MIN: usize = 200;
    let Some(service_ms) = facts.inputs.known(Input::ServiceMs) else {
        return judged.need("how long one record takes: --given service_ms=…");
    };
    let (share, rate) = (
        facts.inputs.known(Input::HotKey),
        facts.inputs.known(Input::Rate),
    );
    let mut check = |subject: String, share: f64, rate: f64| {
        judged.look();
        if share * service_ms * rate / 1000.0 >= 1.0 {
            let evidence = format!(
                "its hottest key has {} of the records: at {} ms each {}/s get through, {}/s come",
                percent(share),
                amount(service_ms),
                amount(hot_key_max_per_s(share, service_ms)),
                amount(rate)
            );
            let fix = "make one record cheaper, fold the records of one key, or split the key (key#0 … key#n) where its records need no order among each other";
            judged.find(subject, evidence, fix);
        }
    };
    if let (Some(share), Some(rate)) = (share, rate) {
        return check("what was given".to_owned(), share, rate);
    }
    let Some(cluster) = &facts.cluster else {
        return judged.need(NEEDS_CLUSTER);
    };
    let mut unknown = (false, false);
    for topic in cluster.topics.iter().filter(|topic| topic.is_data()) {
        let hottest = hottest_share(topic).filter(|_| topic.sample.len() >= RECORDS_MIN);
        match (share.or(hottest), rate.or(topic.records_per_s)) {
            (Some(share), Some(rate)) => check(subject(topic), share, rate),
            (share, rate) => unknown = (unknown.0 || share.is_none(), unknown.1 || rate.is_none()),
        }
    }
    if unknown.0 {
        judged.need("200 records of each topic (--records), or --given hot_key=…");
    }
    if unknown.1 {
        judged.need("rates: --sample 30s while the cluster is at work, or --given rate=…");
    }
}

fn hottest_share(topic: &Topic) -> Option<f64> {
    let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
    let keys = topic
        .sample
        .iter()
        .filter_map(|record| record.key.as_deref());
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    let most = counts.values().max()?;
    Some(*most as f64 / topic.sample.len() as f64)
}
