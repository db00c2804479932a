//! A membership in a consumer group: only to be told which partitions to read, never to read them.
//!
//! librdkafka pauses everything that a consumer fetches while its group agrees anew. Records are therefore fetched by a client of its own
//! ([`super::consumer`]), which knows nothing of groups, and what stays with this process goes on while other partitions move. This client holds its partitions
//! paused; that they are taken or given up is answered when it is done, not from within a callback.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{
    Committed, GroupAnswer, GroupMember, GroupNews, GroupProtocol, GroupSettings, LogError,
    LogErrorKind, Membership,
};
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tokio::sync::{mpsc, oneshot};

use super::commits::Commits;
use super::failure::failed;
use super::listener::{Client, Listener};
use super::reader::place_in;
use super::settings::KafkaSettings;
use super::topics::blocking;

/// How often the client is looked at while it tells nothing.
const POLL: Duration = Duration::from_millis(100);
/// The most between two signs of life: by them a member also learns that others came.
const HEARTBEAT_MS_MAX: u32 = 1_000;
/// What the coordinator is given to tell how far the group is: a broker that was just started takes its time.
const COMMITTED_MAX: Duration = Duration::from_secs(15);
/// What leaving may take.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// A member of a Kafka consumer group.
pub(super) struct KafkaMember {
    group: String,
    client: Option<Arc<Client>>,
    events: mpsc::UnboundedReceiver<Result<GroupNews, LogError>>,
    commits: Option<Commits>,
    polling: Option<JoinHandle<()>>,
    /// Resolves when the client is closed.
    closed: oneshot::Receiver<()>,
}

impl KafkaMember {
    /// Joins; the group's word comes as news.
    pub(super) fn join(
        settings: &KafkaSettings,
        group: &GroupSettings,
        topics: &[Arc<str>],
    ) -> Result<Self, LogError> {
        let (listener, events) = Listener::new(group);
        let what = format!("joining group {}", group.name);
        let client = BaseConsumer::from_config_and_context(&config(settings, group), listener)
            .map_err(|error| failed(&what, &error, ""))?;
        let client = Arc::new(client);
        let no_thread =
            |error: std::io::Error| LogError::new(LogErrorKind::Other, format!("{what}: {error}"));
        let (commits, committing) =
            Commits::start(client.clone(), &group.name).map_err(no_thread)?;
        let (tell_closed, closed) = oneshot::channel();
        let polled = client.clone();
        let polling = std::thread::Builder::new()
            .name("kafka-group".to_owned())
            .spawn(move || {
                poll(&polled);
                // The last one holding it closes it: that takes the cluster's answer.
                committing.join().ok();
                drop(polled);
                tell_closed.send(()).ok();
            })
            .map_err(no_thread)?;
        let member = KafkaMember {
            group: group.name.clone(),
            client: Some(client),
            events,
            commits: Some(commits),
            polling: Some(polling),
            closed,
        };
        member.read(topics)?;
        Ok(member)
    }

    fn read(&self, topics: &[Arc<str>]) -> Result<(), LogError> {
        let topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        let client = self.client()?;
        client
            .subscribe(&topics)
            .map_err(|error| failed(&format!("subscribing in group {}", self.group), &error, ""))
    }

    fn client(&self) -> Result<&Arc<Client>, LogError> {
        self.client.as_ref().ok_or_else(|| over(&self.group))
    }

    /// Begins to close.
    fn close(&mut self) {
        self.commits = None;
        if let Some(client) = self.client.take() {
            client.context().close();
        }
    }
}

/// Serves the client until it is to be closed.
fn poll(client: &Client) {
    let listener = client.context();
    while !listener.is_closing() {
        match client.poll(POLL) {
            // Fetched before it was paused.
            None | Some(Ok(_)) => {}
            Some(Err(error)) => {
                if let Some(failure) = listener.judge(&error) {
                    listener.tell(Err(failure));
                }
            }
        }
    }
    listener.answer_at_the_end(client);
}

fn config(settings: &KafkaSettings, group: &GroupSettings) -> rdkafka::ClientConfig {
    let mut config = settings.client();
    config
        .set("group.id", &group.name)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Nothing is to be fetched; what comes before a partition is paused is little.
        .set("auto.offset.reset", "latest")
        .set("queued.max.messages.kbytes", "64")
        .set("fetch.message.max.bytes", "1024");
    if let Some(instance_id) = &group.instance_id {
        config.set("group.instance.id", instance_id);
    }
    match group.protocol {
        GroupProtocol::Classic => {
            let heartbeat_ms = (group.session_timeout_ms / 5).clamp(1, HEARTBEAT_MS_MAX);
            config
                .set("group.protocol", "classic")
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", group.session_timeout_ms.to_string())
                .set("heartbeat.interval.ms", heartbeat_ms.to_string());
        }
        GroupProtocol::Consumer => {
            config.set("group.protocol", "consumer");
        }
    }
    config
}

/// What the group keeps of these partitions.
fn committed(
    client: &Client,
    partitions: &[TopicPartition],
    group: &str,
) -> Result<Vec<Committed>, LogError> {
    let what = format!("asking group {group} how far it is");
    let at_rim = |error: KafkaError| failed(&what, &error, &client.context().watch.cause());
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        place_in(&mut list, partition, Offset(0)).map_err(at_rim)?;
    }
    let told = client
        .committed_offsets(list, COMMITTED_MAX)
        .map_err(at_rim)?;
    let mut found = Vec::new();
    for element in told.elements() {
        element.error().map_err(at_rim)?;
        let Some(offset) = element
            .offset()
            .to_raw()
            .and_then(|raw| u64::try_from(raw).ok())
        else {
            continue;
        };
        found.push(Committed {
            partition: TopicPartition::new(
                element.topic(),
                u32::try_from(element.partition()).unwrap_or(u32::MAX),
            ),
            offset: Offset(offset),
            metadata: element.metadata().to_owned(),
        });
    }
    Ok(found)
}

/// What is asked of a membership that is over.
pub(super) fn over(group: &str) -> LogError {
    let message = format!("the membership in group {group} is over");
    LogError::new(LogErrorKind::SessionOver, message)
}

#[async_trait]
impl GroupMember for KafkaMember {
    fn shares(&self) -> bool {
        true
    }

    async fn news(&mut self) -> Result<GroupNews, LogError> {
        let event = self.events.recv().await;
        event.unwrap_or_else(|| Err(over(&self.group)))
    }

    async fn answer(&mut self) -> Result<(), LogError> {
        let client = self.client()?.clone();
        let Some(unanswered) = client.context().unanswered().take() else {
            return Ok(());
        };
        let answered = blocking(move || unanswered.answer(&client)).await?;
        answered.map_err(|error| failed(&format!("answering group {}", self.group), &error, ""))
    }

    async fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<(), LogError> {
        self.read(topics)
    }

    fn committed(&self, partitions: Vec<TopicPartition>) -> GroupAnswer<Vec<Committed>> {
        let (client, group) = (self.client.clone(), self.group.clone());
        Box::pin(async move {
            let Some(client) = client else {
                return Err(over(&group));
            };
            blocking(move || committed(&client, &partitions, &group)).await?
        })
    }

    fn commit(&self, progress: Vec<Committed>) -> GroupAnswer<Membership> {
        match &self.commits {
            Some(commits) => commits.commit(progress, &self.group),
            None => Box::pin(std::future::ready(Err(over(&self.group)))),
        }
    }

    async fn leave(mut self: Box<Self>) {
        self.close();
        let (Some(polling), closed) = (self.polling.take(), &mut self.closed) else {
            return;
        };
        match tokio::time::timeout(LEAVE_MAX, closed).await {
            Ok(_) => drop(blocking(move || polling.join()).await),
            Err(_) => tracing::warn!(
                group = self.group,
                "leaving the group takes long; others wait until the session is over"
            ),
        }
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        // The polling thread closes the client, beside.
        self.close();
    }
}
