//! What a member says of how far it is: one after another, in the order of the calls, because the group keeps what it is told last.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use keylane_core::publish::{Committed, GroupAnswer, LogError, LogErrorKind, Membership};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::sync::oneshot;

use super::failure::failed;
use super::listener::Client;
use super::member::over;
use super::reader::place_in;

/// Words that wait for their turn at most: beyond, the coordinator is away.
const WAITING_MAX: usize = 16;
/// How long a group that is agreeing anew is waited for before it is said that it took nothing, and how often it is asked meanwhile.
const AGREEING_MAX: Duration = Duration::from_secs(10);
const AGREEING_STEP: Duration = Duration::from_millis(100);

/// The queue to the thread that speaks with the coordinator. The thread ends with it.
pub(super) struct Commits(SyncSender<Word>);

struct Word {
    progress: Vec<Committed>,
    answer: oneshot::Sender<Result<Membership, LogError>>,
}

impl Commits {
    /// Starts the thread.
    pub(super) fn start(
        client: Arc<Client>,
        group: &str,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, queued) = sync_channel(WAITING_MAX);
        let group = group.to_owned();
        let thread = std::thread::Builder::new()
            .name("kafka-commit".to_owned())
            .spawn(move || serve(&client, &group, &queued))?;
        Ok((Commits(queue), thread))
    }

    /// Takes its turn now; the answer may be waited for later. Who does not wait any more is passed over.
    pub(super) fn commit(&self, progress: Vec<Committed>, group: &str) -> GroupAnswer<Membership> {
        let (answer, answered) = oneshot::channel();
        let queued = self.0.try_send(Word { progress, answer });
        let group = group.to_owned();
        Box::pin(async move {
            if queued.is_err() {
                let message = format!("group {group} does not answer");
                return Err(LogError::new(LogErrorKind::Unreachable, message));
            }
            answered.await.unwrap_or_else(|_| Err(over(&group)))
        })
    }
}

fn serve(client: &Client, group: &str, queued: &Receiver<Word>) {
    for Word { progress, answer } in queued {
        let gone = || answer.is_closed();
        if !gone() {
            let answered = ask(client, group, &progress, &gone);
            // Who asked may have gone meanwhile.
            answer.send(answered).ok();
        }
    }
}

/// The group's own word, by whether it takes offsets from this member. Who asked and is gone may have lost what it spoke of, so it is not asked for again.
fn ask(
    client: &Client,
    group: &str,
    progress: &[Committed],
    gone: &impl Fn() -> bool,
) -> Result<Membership, LogError> {
    let at_rim = |error: KafkaError| {
        let cause = client.context().watch.cause();
        failed(&format!("telling group {group}"), &error, &cause)
    };
    let mut list = TopicPartitionList::new();
    for kept in progress {
        place_in(&mut list, &kept.partition, kept.offset).map_err(at_rim)?;
        let number = i32::try_from(kept.partition.partition).unwrap_or(i32::MAX);
        if let Some(mut place) = list.find_partition(&kept.partition.topic, number) {
            place.set_metadata(&kept.metadata);
        }
    }
    let until = Instant::now() + AGREEING_MAX;
    loop {
        let Err(error) = client.commit(&list, CommitMode::Sync) else {
            return Ok(Membership::Member);
        };
        match error.rdkafka_error_code() {
            Some(
                Code::UnknownMemberId
                | Code::FencedInstanceId
                | Code::FencedMemberEpoch
                | Code::AssignmentLost,
            ) => return Ok(Membership::Outsider),
            // While the group agrees anew it takes nothing, and then nothing from who has not heard yet what it agreed on, for a moment.
            Some(Code::RebalanceInProgress | Code::IllegalGeneration | Code::StaleMemberEpoch)
                if Instant::now() < until && !gone() =>
            {
                std::thread::sleep(AGREEING_STEP);
            }
            Some(Code::IllegalGeneration | Code::StaleMemberEpoch) => {
                return Ok(Membership::Outsider);
            }
            Some(Code::RebalanceInProgress) => {
                let message = format!("group {group} is agreeing anew");
                return Err(LogError::new(LogErrorKind::Unreachable, message));
            }
            _ => return Err(at_rim(error)),
        }
    }
}
