//! What must be right at a Kafka cluster, asked without changing it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keylane_core::outbox::TopicPattern;
use keylane_core::publish::{LogError, LogErrorKind};
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::failure::{failed, failed_with};
use super::native::{Rights, describe_topic};
use super::settings::KafkaSettings;
use super::topics::{blocking, cause, open_admin};
use super::watch::Watch;
use crate::preflight::Finding;

/// The longest that one question may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A coordinator that may be asked answers sooner.
const MEMBER_ANSWER_MAX: Duration = Duration::from_secs(3);
/// A replica that is away for longer than the topics keep changes must be copied anew.
const RETENTION_MIN_MS: i64 = 24 * 3600 * 1000;

/// What a pipeline wants of its topics.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its topics' prefix: `PREFIX.SCHEMA.TABLE`, and `PREFIX.keylane` for control.
    pub prefix: String,
    /// Topics of its events: they may have any number of partitions and any settings.
    pub events: Vec<TopicPattern>,
    /// Partitions of each table's topic.
    pub partitions: u32,
    /// Partitions of topics that have another number.
    pub partitions_of: BTreeMap<Arc<str>, u32>,
    /// Copies of each topic.
    pub replication_factor: i32,
    /// Topics that another tool writes, to be applied; then there are none of the pipeline's own.
    pub foreign: Vec<String>,
    /// The consumer group of those who apply, or one that begins as it does.
    pub group: String,
}

/// Looks at the cluster and at the pipeline's topics that are there already.
pub async fn preflight(settings: &KafkaSettings, wanted: &Wanted) -> Vec<Finding> {
    let subject = format!("Kafka at {}", settings.bootstrap);
    let opened = settings.check().and_then(|()| open_admin(settings));
    let admin = match opened {
        Ok(admin) => Arc::new(admin),
        Err(error) => return vec![not_reached(&subject, error)],
    };
    let control = format!("{}.keylane", wanted.prefix);
    let first = wanted.foreign.first().cloned().unwrap_or(control);
    let asked = admin.clone();
    let metadata = blocking(move || {
        let client = asked.inner();
        // Asked first: unlike the next question, it ends soon if the client is not let in. A topic that may not be described is told below.
        let rights = match describe_topic(client, &first, ANSWER_MAX) {
            Ok(described) => Ok(described.and_then(|topic| topic.rights)),
            Err(Code::TopicAuthorizationFailed) => Err(()),
            Err(code) => {
                return Err(failed_with("asking for the topics", code, &cause(client)));
            }
        };
        let metadata = client
            .fetch_metadata(None, ANSWER_MAX)
            .map_err(|error| failed("asking for the topics", &error, &cause(client)));
        metadata.map(|metadata| (metadata, rights))
    });
    let (metadata, rights) = match metadata.await {
        Ok(Ok(told)) => told,
        Ok(Err(error)) | Err(error) => return vec![not_reached(&subject, error)],
    };
    if !wanted.foreign.is_empty() {
        let brokers = format!("{} brokers", metadata.brokers().len());
        let mut findings = vec![Finding::passed("reachable", &*subject, brokers)];
        for topic in wanted.foreign.clone() {
            findings.push(foreign(admin.clone(), topic).await);
        }
        findings.extend(member(settings, wanted).await);
        return findings;
    }
    let mut findings = cluster(&metadata, &subject, wanted);
    findings.extend(may(rights, wanted));
    findings.extend(member(settings, wanted).await);
    let ours = own_topics(&metadata, wanted);
    if ours.is_empty() {
        let subject = format!("topics {}.*", wanted.prefix);
        let found = "none there; they are created at the start";
        findings.push(Finding::passed("topics", subject, found));
        return findings;
    }
    let resources: Vec<ResourceSpecifier<'_>> = ours
        .iter()
        .map(|topic| ResourceSpecifier::Topic(topic.name()))
        .collect();
    let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX));
    let described = admin.describe_configs(resources.iter(), &options).await;
    let described = described.unwrap_or_default();
    for (index, topic) in ours.iter().enumerate() {
        let found = described.get(index).and_then(|found| found.as_ref().ok());
        // Who may not read them is told none.
        let found = found.filter(|told| !told.entries.is_empty());
        findings.extend(of_topic(topic, found, wanted, &settings.bootstrap));
    }
    findings
}

/// The pipeline's topics that are there, without those of its events.
fn own_topics<'m>(metadata: &'m Metadata, wanted: &Wanted) -> Vec<&'m MetadataTopic> {
    let is_own = |topic: &&MetadataTopic| {
        let rest = topic.name().strip_prefix(&*wanted.prefix);
        let is_event = wanted.events.iter().any(|it| it.matches(topic.name()));
        rest.is_some_and(|rest| rest.starts_with('.')) && !is_event
    };
    metadata.topics().iter().filter(is_own).collect()
}

fn not_reached(subject: &str, error: LogError) -> Finding {
    let fix = match error.kind {
        LogErrorKind::Denied => {
            "correct log.kafka.properties: sasl.username and sasl.password; ssl.ca.location for the authority that issued the brokers' certificates; \
             ssl.certificate.location and ssl.key.location where brokers ask for one"
        }
        _ => {
            "start the brokers, or correct log.kafka.bootstrap and log.kafka.properties (security.protocol, sasl.*)"
        }
    };
    Finding::passed("reachable", subject, error.message).unless(false, fix)
}

/// A topic that another tool writes: there, and to be read.
async fn foreign(admin: Arc<AdminClient<Watch>>, topic: String) -> Finding {
    let subject = format!("topic {topic}");
    let described = blocking(move || {
        let client = admin.inner();
        describe_topic(client, &topic, ANSWER_MAX)
            .map_err(|code| failed_with("asking for it", code, &cause(client)))
    });
    let read = "run: kafka-acls --add --allow-principal User:… --operation Read --topic …";
    match described.await {
        Ok(Ok(Some(topic))) => {
            let may = topic.rights.is_none_or(|rights| rights.read);
            let partitions = topic.partitions;
            let found = match may {
                true => format!("{partitions} partitions"),
                false => "it may not be read".to_owned(),
            };
            Finding::passed("foreign_topic", subject, found).unless(may, read)
        }
        Ok(Ok(None)) => Finding::passed("foreign_topic", subject, "it is not there").unless(
            false,
            "start the tool that writes it, or correct `from_topics`",
        ),
        Ok(Err(error)) | Err(error) => {
            Finding::passed("foreign_topic", subject, error.message).unless(false, read)
        }
    }
}

/// What the user may do with the pipeline's topics, by that of the control topic; nothing where the cluster does not tell.
fn may(rights: Result<Option<Rights>, ()>, wanted: &Wanted) -> Option<Finding> {
    let subject = format!("topics {}.*", wanted.prefix);
    let (found, is_error) = match rights {
        Err(()) => ("this user may not even describe them", true),
        Ok(None) => return None,
        Ok(Some(rights)) => match (rights.read, rights.write) {
            (true, true) => {
                return Some(Finding::passed(
                    "rights",
                    subject,
                    "may be read and written",
                ));
            }
            (true, false) => (
                "may be read, not written: enough for `run --only apply`",
                false,
            ),
            (false, _) => ("may not be read", true),
        },
    };
    let fix = format!(
        "run: kafka-acls --add --allow-principal User:… --operation Create --operation Read --operation Write --operation DescribeConfigs --topic {}. --resource-pattern-type prefixed",
        wanted.prefix
    );
    let finding = Finding::passed("rights", subject, found).unless(false, fix);
    Some(if is_error { finding } else { finding.warning() })
}

/// Whether the user may be a member of the group; nothing where the cluster does not tell in time.
async fn member(settings: &KafkaSettings, wanted: &Wanted) -> Option<Finding> {
    let mut config = settings.client();
    config.set("group.id", &wanted.group);
    let control = format!("{}.keylane", wanted.prefix);
    let asked = blocking(move || {
        let client = BaseConsumer::from_config_and_context(&config, Watch::default()).ok()?;
        let mut any = TopicPartitionList::new();
        any.add_partition(&control, 0);
        if client.committed_offsets(any, MEMBER_ANSWER_MAX).is_ok() {
            return Some(true);
        }
        // It has looked for the group's coordinator by itself, and was told if it may not.
        let told = std::iter::from_fn(|| client.poll(Duration::ZERO));
        let mut codes = told.filter_map(|told| told.err()?.rdkafka_error_code());
        codes
            .any(|code| code == Code::GroupAuthorizationFailed)
            .then_some(false)
    });
    let may = asked.await.ok()??;
    let subject = format!("group {}", wanted.group);
    let found = match may {
        true => "this user may be a member",
        false => "this user may not be a member: enough for `run --only capture`",
    };
    let fix = format!(
        "run: kafka-acls --add --allow-principal User:… --operation Read --group {} --resource-pattern-type prefixed",
        wanted.group
    );
    Some(Finding::passed("group", subject, found).unless(may, &fix))
}

fn cluster(metadata: &Metadata, subject: &str, wanted: &Wanted) -> Vec<Finding> {
    let brokers = metadata.brokers().len();
    let enough = i32::try_from(brokers).is_ok_and(|brokers| brokers >= wanted.replication_factor);
    vec![
        Finding::passed("reachable", subject, format!("{brokers} brokers")),
        Finding::passed(
            "replication",
            subject,
            format!(
                "topics.replication_factor {}, {brokers} brokers",
                wanted.replication_factor
            ),
        )
        .unless(
            enough,
            format!("set topics.replication_factor to {brokers} at most, or add brokers"),
        ),
        Finding::passed(
            "copies",
            subject,
            format!("topics.replication_factor {}", wanted.replication_factor),
        )
        .unless(
            wanted.replication_factor > 1 || brokers == 1,
            "with one copy, a broker that is lost loses changes; set topics.replication_factor: 3",
        )
        .warning(),
    ]
}

/// A topic, and how its settings are mended.
struct Place<'a> {
    name: &'a str,
    bootstrap: &'a str,
}

impl Place<'_> {
    fn subject(&self) -> String {
        format!("topic {}", self.name)
    }

    fn alter(&self, setting: &str) -> String {
        let Place { name, bootstrap } = self;
        format!(
            "run: kafka-configs --bootstrap-server {bootstrap} --alter --topic {name} --add-config {setting}"
        )
    }
}

fn of_topic(
    topic: &MetadataTopic,
    settings: Option<&ConfigResource>,
    wanted: &Wanted,
    bootstrap: &str,
) -> Vec<Finding> {
    let name = topic.name();
    let place = Place { name, bootstrap };
    let subject = place.subject();
    let partitions = u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX);
    let is_control = name == format!("{}.keylane", wanted.prefix);
    let of_topic = wanted.partitions_of.get(name).copied();
    let expected = match is_control {
        true => 1,
        false => of_topic.unwrap_or(wanted.partitions),
    };
    let mut findings = vec![
        Finding::passed("partitions", &*subject, format!("{partitions} partitions")).unless(
            partitions == expected,
            match is_control {
                true => "its order would be lost: use another prefix".to_owned(),
                false => format!(
                    "keys would move: set topics.partitions to {partitions} (for this topic alone: topics.partitions_of), or use another prefix"
                ),
            },
        ),
    ];
    let leaderless = topic.partitions().iter().filter(|one| one.leader() < 0);
    let leaderless = leaderless.count();
    if leaderless > 0 {
        let found = format!("{leaderless} partitions have no leader");
        let fix = "bring the brokers that hold them back";
        findings.push(Finding::passed("leaders", &*subject, found).unless(false, fix));
    }
    let Some(settings) = settings else {
        let fix = "let this user describe the topic's configuration (DescribeConfigs)";
        let unknown = Finding::passed("topic_settings", subject, "its settings cannot be read");
        findings.push(unknown.unless(false, fix).warning());
        return findings;
    };
    let value = |name: &str| settings.get(name).and_then(|entry| entry.value.as_deref());
    let copies = topic
        .partitions()
        .iter()
        .map(|one| one.replicas().len())
        .min();
    let copies = copies.unwrap_or(0);
    findings.push(policy(&place, value("cleanup.policy"), is_control));
    if !is_control {
        findings.push(retention(&place, value("retention.ms")));
    }
    findings.extend(in_sync(&place, value("min.insync.replicas"), copies));
    findings
}

fn policy(place: &Place<'_>, is: Option<&str>, is_control: bool) -> Finding {
    let wanted = if is_control { "compact" } else { "delete" };
    let is = is.unwrap_or("unknown");
    let found = format!("cleanup.policy={is}");
    Finding::passed("cleanup_policy", place.subject(), found).unless(
        is == wanted,
        place.alter(&format!("cleanup.policy={wanted}")),
    )
}

fn retention(place: &Place<'_>, is: Option<&str>) -> Finding {
    let ms: Option<i64> = is.and_then(|text| text.parse().ok());
    let long = ms.is_none_or(|ms| !(0..RETENTION_MIN_MS).contains(&ms));
    let found = format!("retention.ms={}", is.unwrap_or("unknown"));
    let fix = format!(
        "a replica that is away for longer must be copied anew; {}",
        place.alter("retention.ms=604800000")
    );
    Finding::passed("retention", place.subject(), found)
        .unless(long, fix)
        .warning()
}

fn in_sync(place: &Place<'_>, is: Option<&str>, copies: usize) -> Vec<Finding> {
    let Some(needed) = is.and_then(|text| text.parse::<usize>().ok()) else {
        return Vec::new();
    };
    let found = format!("min.insync.replicas={needed}, {copies} copies");
    let finding = Finding::passed("in_sync", place.subject(), found);
    if needed > copies {
        let setting = format!("min.insync.replicas={copies}");
        return vec![finding.unless(
            false,
            format!("nothing can be written; {}", place.alter(&setting)),
        )];
    }
    let safe = copies < 3 || needed >= 2;
    let fix = format!(
        "a broker's loss could lose what was acknowledged; {}",
        place.alter("min.insync.replicas=2")
    );
    vec![finding.unless(safe, fix).warning()]
}
