//! A cluster as the rules of `keylane_core::topics` look at it: asked, never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::publish::LogError;
use keylane_core::topics::lint::{Cluster, Group, Sampled, Topic};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::failure::{failed, failed_with};
use super::native::describe_topic;
use super::record::raw_record;
use super::settings::KafkaSettings;
use super::topics::{blocking, cause, open_admin};
use super::watch::Watch;

/// Topics whose settings are asked for at once.
const SETTINGS_AT_ONCE: usize = 200;
/// Partitions whose ends are asked for, over all topics; beyond, no rates are measured and no records are read.
const ENDS_MAX: usize = 5_000;
/// Groups that are looked at.
const GROUPS_MAX: usize = 200;
/// How long reading records may take, over all topics.
const SAMPLE_MAX: Duration = Duration::from_secs(15);

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Look {
    /// How long rates are measured; zero: not at all.
    pub sample: Duration,
    /// Records that are read of each partition.
    pub records: u32,
}

type Ends = BTreeMap<(String, i32), (i64, i64)>;

/// How many brokers there are.
///
/// # Errors
/// If none answers in time.
pub async fn brokers(settings: &KafkaSettings) -> Result<u32, LogError> {
    settings.check()?;
    let (admin, timeout) = (Arc::new(open_admin(settings)?), settings.answer_timeout);
    let metadata = metadata(&admin, timeout).await?;
    Ok(u32::try_from(metadata.brokers().len()).unwrap_or(u32::MAX))
}

/// The cluster, and of its topics those that are wanted.
///
/// # Errors
/// If it cannot be reached, or does not let this user in. What it does not tell about single topics is left out.
pub async fn cluster(
    settings: &KafkaSettings,
    wanted: &(dyn Fn(&str) -> bool + Sync),
    look: &Look,
) -> Result<Cluster, LogError> {
    settings.check()?;
    let (admin, timeout) = (Arc::new(open_admin(settings)?), settings.answer_timeout);
    let metadata = metadata(&admin, timeout).await?;
    let mut cluster = counted(&metadata);
    cluster.topics = topics(&metadata, wanted);
    cluster.transactions = metadata
        .topics()
        .iter()
        .any(|topic| topic.name() == "__transaction_state");
    cluster.offers_consumer_protocol = offers_consumer_protocol(&admin, &metadata, timeout).await;
    describe_settings(&admin, &mut cluster.topics, timeout).await;
    let partitions: Vec<(String, i32)> = cluster
        .topics
        .iter()
        .flat_map(|topic| {
            let numbers = 0..i32::try_from(topic.partitions).unwrap_or(0);
            numbers.map(|number| (topic.name.clone(), number))
        })
        .collect();
    if partitions.len() <= ENDS_MAX {
        let began = Instant::now();
        let first = ends(&admin, &partitions, timeout).await?;
        let mut last = first.clone();
        if !look.sample.is_zero() {
            tokio::time::sleep(look.sample).await;
            last = ends(&admin, &partitions, timeout).await?;
            cluster.sampled_s = began.elapsed().as_secs_f64();
        }
        rate(&mut cluster, &first, &last);
        let samples = read(settings, last, look.records).await;
        for topic in &mut cluster.topics {
            topic.sample = samples.get(&topic.name).cloned().unwrap_or_default();
        }
    }
    cluster.groups = groups(settings, &admin, &partitions, timeout).await;
    Ok(cluster)
}

async fn metadata(
    admin: &Arc<AdminClient<Watch>>,
    timeout: Duration,
) -> Result<Metadata, LogError> {
    let admin = admin.clone();
    blocking(move || {
        let client = admin.inner();
        let what = "asking Kafka for its topics";
        // Asked first: unlike the next question, it ends soon if the client is not let in. Who may not describe this one may see others.
        match describe_topic(client, "__consumer_offsets", timeout) {
            Ok(_) | Err(Code::TopicAuthorizationFailed) => {}
            Err(code) => return Err(failed_with(what, code, &cause(client))),
        }
        let fetched = client.fetch_metadata(None, timeout);
        fetched.map_err(|error| failed(what, &error, &cause(client)))
    })
    .await?
}

fn counted(metadata: &Metadata) -> Cluster {
    let mut cluster = Cluster::default();
    for broker in metadata.brokers() {
        cluster.replicas.insert(broker.id(), 0);
        cluster.leaders.insert(broker.id(), 0);
    }
    for partition in metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
    {
        *cluster.leaders.entry(partition.leader()).or_default() += 1;
        let copies = u32::try_from(partition.replicas().len()).unwrap_or(u32::MAX);
        cluster.copies_max = cluster.copies_max.max(copies);
        for broker in partition.replicas() {
            *cluster.replicas.entry(*broker).or_default() += 1;
        }
    }
    cluster
}

fn topics(metadata: &Metadata, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Vec<Topic> {
    let topics = metadata.topics().iter();
    let mut topics: Vec<Topic> = topics
        .filter(|topic| wanted(topic.name()))
        .map(|topic| {
            let copies = topic.partitions().iter().map(|it| it.replicas().len());
            Topic {
                name: topic.name().to_owned(),
                partitions: u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX),
                copies_min: copies.min().and_then(|it| it.try_into().ok()).unwrap_or(0),
                ..Topic::default()
            }
        })
        .collect();
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    topics
}

async fn described(
    admin: &AdminClient<Watch>,
    resources: &[ResourceSpecifier<'_>],
    timeout: Duration,
) -> Vec<Option<ConfigResource>> {
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let told = admin.describe_configs(resources, &options).await;
    let told = told.unwrap_or_default().into_iter();
    told.map(Result::ok).collect()
}

/// By the brokers' own setting: the list of rebalance protocols holds it.
async fn offers_consumer_protocol(
    admin: &AdminClient<Watch>,
    metadata: &Metadata,
    timeout: Duration,
) -> Option<bool> {
    let broker = metadata.brokers().first()?.id();
    let resources = [ResourceSpecifier::Broker(broker)];
    let told = described(admin, &resources, timeout).await;
    let told = told.into_iter().next()??;
    if told.entries.is_empty() {
        return None;
    }
    let protocols = told.get("group.coordinator.rebalance.protocols");
    let protocols = protocols.and_then(|entry| entry.value.as_deref());
    Some(protocols.is_some_and(|it| it.split(',').any(|it| it.trim() == "consumer")))
}

async fn describe_settings(admin: &AdminClient<Watch>, topics: &mut [Topic], timeout: Duration) {
    for some in topics.chunks_mut(SETTINGS_AT_ONCE) {
        let names: Vec<String> = some.iter().map(|topic| topic.name.clone()).collect();
        let resources: Vec<ResourceSpecifier<'_>> = names
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let told = described(admin, &resources, timeout).await;
        for (topic, told) in some.iter_mut().zip(told) {
            let entries = told.into_iter().flat_map(|told| told.entries);
            topic.settings = entries
                .filter_map(|entry| Some((entry.name, entry.value?)))
                .collect();
        }
    }
}

async fn ends(
    admin: &Arc<AdminClient<Watch>>,
    partitions: &[(String, i32)],
    timeout: Duration,
) -> Result<Ends, LogError> {
    let (admin, partitions) = (admin.clone(), partitions.to_vec());
    blocking(move || {
        let client = admin.inner();
        let end = |(topic, number): (String, i32)| {
            // A partition without a leader tells nothing.
            let ends = client.fetch_watermarks(&topic, number, timeout).ok()?;
            Some(((topic, number), ends))
        };
        partitions.into_iter().filter_map(end).collect()
    })
    .await
}

fn rate(cluster: &mut Cluster, first: &Ends, last: &Ends) {
    let sampled_s = cluster.sampled_s;
    for topic in &mut cluster.topics {
        let mine = |ends: &Ends, of: fn(&(i64, i64)) -> i64| -> i64 {
            let mine = ends.iter().filter(|((name, _), _)| *name == topic.name);
            mine.map(|(_, ends)| of(ends)).sum()
        };
        let (before, after) = (mine(first, |ends| ends.1), mine(last, |ends| ends.1));
        let held = mine(last, |ends| ends.1 - ends.0);
        let grown = (after - before).max(0) as f64;
        topic.records_per_s = (sampled_s > 0.0).then(|| grown / sampled_s);
        topic.records = u64::try_from(held).unwrap_or(0);
    }
}

/// The last records of each partition. What cannot be read in time is left out.
async fn read(
    settings: &KafkaSettings,
    ends: Ends,
    records: u32,
) -> BTreeMap<String, Vec<Sampled>> {
    let mut config = settings.client();
    config
        // Never joined: only named, because the client asks for one.
        .set("group.id", "keylane-topics")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "latest")
        .set("fetch.wait.max.ms", "10");
    let read = blocking(move || {
        let client = BaseConsumer::from_config_and_context(&config, Watch::default()).ok()?;
        Some(read_last(&client, &ends, records))
    });
    read.await.ok().flatten().unwrap_or_default()
}

fn read_last(
    client: &BaseConsumer<Watch>,
    ends: &Ends,
    records: u32,
) -> BTreeMap<String, Vec<Sampled>> {
    let mut samples: BTreeMap<String, Vec<Sampled>> = BTreeMap::new();
    let mut list = TopicPartitionList::new();
    let mut open = BTreeSet::new();
    for ((topic, number), (low, high)) in ends.iter().filter(|(_, (low, high))| low < high) {
        let from = (*high - i64::from(records)).max(*low);
        if list
            .add_partition_offset(topic, *number, Offset::Offset(from))
            .is_ok()
        {
            open.insert((topic.clone(), *number));
        }
    }
    if records == 0 || client.assign(&list).is_err() {
        return samples;
    }
    let mut unended: BTreeMap<i32, usize> = BTreeMap::new();
    for (_, number) in &open {
        *unended.entry(*number).or_default() += 1;
    }
    let deadline = Instant::now() + SAMPLE_MAX;
    while !open.is_empty() && Instant::now() < deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        match client.poll(left) {
            Some(Ok(message)) => {
                let (topic, number) = (message.topic().to_owned(), message.partition());
                let end = ends.get(&(topic.clone(), number)).map_or(0, |ends| ends.1);
                if message.offset() + 1 >= end {
                    open.remove(&(topic.clone(), number));
                }
                let record = raw_record(&message, false);
                let own_words = record.keylane.is_some() && record.value.is_none();
                if message.offset() < end && !own_words {
                    samples.entry(topic).or_default().push(Sampled {
                        partition: u32::try_from(number).unwrap_or(0),
                        key: record.key.as_ref().map(|key| key.to_vec()),
                        bytes: message.payload_len() + message.key_len(),
                        is_keylanes: record.keylane.is_some(),
                    });
                }
            }
            // It tells the number alone, once for each topic: behind the last record there may be a transaction's mark, or what was compacted away.
            Some(Err(KafkaError::PartitionEOF(number))) => {
                let left = unended.entry(number).or_default();
                *left = left.saturating_sub(1);
                if *left == 0 {
                    open.retain(|it| it.1 != number);
                }
            }
            Some(Err(_)) | None => {}
        }
    }
    samples
}

async fn groups(
    settings: &KafkaSettings,
    admin: &Arc<AdminClient<Watch>>,
    partitions: &[(String, i32)],
    timeout: Duration,
) -> Vec<Group> {
    let (admin, settings) = (admin.clone(), settings.clone());
    let partitions = partitions.to_vec();
    let listed = blocking(move || {
        let list = admin.inner().fetch_group_list(None, timeout).ok()?;
        let named = list.groups().iter().take(GROUPS_MAX);
        let named = named.filter(|group| group.protocol_type() != "connect");
        let group = |group: &rdkafka::groups::GroupInfo| {
            let reads: BTreeSet<String> = group
                .members()
                .iter()
                .filter_map(|member| member.assignment().map(assigned))
                .flatten()
                .collect();
            let kept = committed(&settings, group.name(), &partitions, timeout);
            let known = kept.iter().map(|(topic, _)| topic.clone());
            let topics: BTreeSet<String> = known
                .chain(reads)
                .filter(|name| partitions.iter().any(|(topic, _)| topic == name))
                .collect();
            Group {
                name: group.name().to_owned(),
                members: group.members().len(),
                assignor: Some(group.protocol().to_owned()).filter(|name| !name.is_empty()),
                committed: kept.len(),
                topics: topics.into_iter().collect(),
            }
        };
        Some(named.map(group).collect::<Vec<_>>())
    });
    let mut groups = listed.await.ok().flatten().unwrap_or_default();
    groups.retain(|group| !group.topics.is_empty());
    groups
}

/// Partitions for which a group keeps an offset.
fn committed(
    settings: &KafkaSettings,
    group: &str,
    partitions: &[(String, i32)],
    timeout: Duration,
) -> Vec<(String, i32)> {
    let mut config = settings.client();
    config.set("group.id", group);
    let Ok(client) = BaseConsumer::from_config_and_context(&config, Watch::default()) else {
        return Vec::new();
    };
    let mut list = TopicPartitionList::new();
    for (topic, number) in partitions {
        list.add_partition(topic, *number);
    }
    let Ok(kept) = client.committed_offsets(list, timeout) else {
        return Vec::new();
    };
    let elements = kept.elements();
    let kept = elements
        .iter()
        .filter(|element| matches!(element.offset(), Offset::Offset(at) if at >= 0));
    kept.map(|element| (element.topic().to_owned(), element.partition()))
        .collect()
}

/// The topics of a member's assignment, in the consumer protocol's own form: version, then topics with their partitions.
fn assigned(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes.get(2..).unwrap_or_default();
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(taken)
    };
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0usize, |sum, byte| (sum << 8) | usize::from(*byte))
    };
    let mut topics = Vec::new();
    let count = take(4).map_or(0, number);
    for _ in 0..count {
        let Some(name) = take(2).map(number).and_then(&mut take) else {
            break;
        };
        topics.push(String::from_utf8_lossy(name).into_owned());
        let skipped = take(4)
            .map(number)
            .and_then(|count| take(count.checked_mul(4)?));
        if skipped.is_none() {
            break;
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::assigned;

    #[test]
    fn the_topics_of_an_assignment_are_read_and_a_broken_one_breaks_nothing() {
        let bytes = [
            0, 1, 0, 0, 0, 2, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 7, 0, 2, b'b', b'c', 0, 0, 0, 0,
        ];
        assert_eq!(assigned(&bytes), ["a", "bc"]);
        for end in 0..bytes.len() {
            let cut = bytes.get(..end).unwrap_or_default();
            assert!(assigned(cut).len() <= 2);
        }
        assert!(assigned(&[0, 0, 255, 255, 255, 255]).is_empty());
    }
}
