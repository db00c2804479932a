//! What a member's client has to say of its group, handed on without doing anything about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{GroupNews, GroupSettings, LogError, LogErrorKind};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::mpsc;

use super::failure::failed_with;
use super::reader::place_in;
use super::watch::Watch;

pub(super) type Client = BaseConsumer<Listener>;

/// What the client waits for.
pub(super) enum Unanswered {
    Assign(TopicPartitionList),
    Unassign(TopicPartitionList),
}

impl Unanswered {
    pub(super) fn answer(&self, client: &Client) -> Result<(), KafkaError> {
        match self {
            Unanswered::Assign(list) => {
                client.incremental_assign(list)?;
                // Somebody else reads them.
                if list.count() > 0 {
                    client.pause(list)?;
                }
                Ok(())
            }
            Unanswered::Unassign(list) => client.incremental_unassign(list),
        }
    }
}

/// Hands on what the client tells, without doing anything about it.
pub(super) struct Listener {
    pub(super) watch: Watch,
    group: String,
    instance_id: Option<String>,
    events: mpsc::UnboundedSender<Result<GroupNews, LogError>>,
    /// What was told and is not answered; never more than one.
    unanswered: Mutex<Option<Unanswered>>,
    /// From here on nobody else answers.
    closing: AtomicBool,
}

impl Listener {
    /// For a member of this group; and what it will tell.
    pub(super) fn new(
        group: &GroupSettings,
    ) -> (Self, mpsc::UnboundedReceiver<Result<GroupNews, LogError>>) {
        let (tell, events) = mpsc::unbounded_channel();
        let listener = Listener {
            watch: Watch::default(),
            group: group.name.clone(),
            instance_id: group.instance_id.clone(),
            events: tell,
            unanswered: Mutex::new(None),
            closing: AtomicBool::new(false),
        };
        (listener, events)
    }

    /// Nobody else answers from here on.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// Whether that was said.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ConsumerContext for Listener {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions = partitions_of(list);
        // The list belongs to the event; ours must outlive it.
        let mut own = TopicPartitionList::new();
        for partition in &partitions {
            // A place for each: none is asked for, since nothing is fetched.
            if place_in(&mut own, partition, Offset(0)).is_err() {
                tracing::warn!(group = self.group, %partition, "a partition's name cannot be used");
            }
        }
        let (unanswered, news) = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                (Unanswered::Assign(own), GroupNews::Take(partitions))
            }
            _ if client.assignment_lost() => {
                (Unanswered::Unassign(own), GroupNews::Lost(partitions))
            }
            _ => (Unanswered::Unassign(own), GroupNews::GiveUp(partitions)),
        };
        *self.unanswered() = Some(unanswered);
        if self.is_closing() {
            self.answer_at_the_end(client);
        } else {
            self.tell(Ok(news));
        }
    }
}

impl Listener {
    pub(super) fn unanswered(&self) -> MutexGuard<'_, Option<Unanswered>> {
        self.unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A client that waits for an answer does not close.
    pub(super) fn answer_at_the_end(&self, client: &Client) {
        let unanswered = self.unanswered().take();
        if let Some(Err(error)) = unanswered.map(|unanswered| unanswered.answer(client)) {
            tracing::debug!(group = self.group, "while leaving: {error}");
        }
    }

    /// Nobody listens any more when the membership is over.
    pub(super) fn tell(&self, event: Result<GroupNews, LogError>) {
        self.events.send(event).ok();
    }

    /// What the membership cannot go on with, or what is in its way.
    pub(super) fn judge(&self, error: &KafkaError) -> Option<LogError> {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let what = format!("being a member of group {}", self.group);
        let instance_id = self.instance_id.as_deref().unwrap_or_default();
        match code {
            // A join whose answer was lost with its broker may have done the same.
            Code::FencedInstanceId => Some(LogError::new(
                LogErrorKind::Replaced,
                format!(
                    "{what}: another process has joined as instance {instance_id}. Give each process an apply.group.instance_id of its own, or none"
                ),
            )),
            // The broker keeps the former bearer's place until its session is over.
            Code::UnreleasedInstanceId => Some(LogError::new(
                LogErrorKind::Unreachable,
                format!(
                    "{what}: a process that joined as instance {instance_id} has not left, or was killed and its session is not over yet"
                ),
            )),
            Code::UnsupportedVersion | Code::UnsupportedFeature => Some(LogError::new(
                LogErrorKind::Other,
                format!(
                    "{what}: the cluster does not know this protocol. Set apply.group.protocol to classic, or run Kafka 4.0 or later"
                ),
            )),
            Code::GroupAuthorizationFailed => Some(failed_with(
                &format!("{what} (this user needs Read on the group)"),
                code,
                "",
            )),
            _ if is_fatal(error) => Some(LogError {
                kind: LogErrorKind::SessionOver,
                ..failed_with(&what, code, &self.watch.cause())
            }),
            // The client goes on by itself; what others have to be told comes as news.
            _ => {
                tracing::debug!(group = self.group, "{what}: {code}");
                None
            }
        }
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
}

fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = list.elements();
    let partition = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        TopicPartition::new(
            element.topic(),
            u32::try_from(element.partition()).unwrap_or(u32::MAX),
        )
    };
    elements.iter().map(partition).collect()
}
