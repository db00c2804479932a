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
            .spawn(move || serve(&queued, |progress| ask(&client, &group, progress)))?;
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

/// One word after another. One that the group does not take for a moment is said again, until another waits behind it: the later one must not come too late for
/// an older one's sake, and whoever said that hears that it was not taken.
fn serve(queued: &Receiver<Word>, mut ask: impl FnMut(&[Committed]) -> Answered) {
    let mut next = queued.recv().ok();
    while let Some(Word { progress, answer }) = next.take() {
        let until = Instant::now() + AGREEING_MAX;
        while !answer.is_closed() {
            match ask(&progress) {
                Answered::Agreeing(_) if next.is_none() && Instant::now() < until => {
                    next = queued.recv_timeout(AGREEING_STEP).ok();
                }
                Answered::Agreeing(answered) | Answered::Finally(answered) => {
                    // Who asked may have gone meanwhile: it may have lost what it spoke of, and it is not said again.
                    answer.send(answered).ok();
                    break;
                }
            }
        }
        if next.is_none() {
            next = queued.recv().ok();
        }
    }
}

/// What the group says.
enum Answered {
    /// For good.
    Finally(Result<Membership, LogError>),
    /// If it says so to the end: it is agreeing anew, or has just done so and this member has not heard yet.
    Agreeing(Result<Membership, LogError>),
}

/// The group's own word, by whether it takes offsets from this member.
fn ask(client: &Client, group: &str, progress: &[Committed]) -> Answered {
    let at_rim = |error: KafkaError| {
        let cause = client.context().watch.cause();
        Answered::Finally(Err(failed(
            &format!("telling group {group}"),
            &error,
            &cause,
        )))
    };
    let mut list = TopicPartitionList::new();
    for kept in progress {
        if let Err(error) = place_in(&mut list, &kept.partition, kept.offset) {
            return at_rim(error);
        }
        let number = i32::try_from(kept.partition.partition).unwrap_or(i32::MAX);
        if let Some(mut place) = list.find_partition(&kept.partition.topic, number) {
            place.set_metadata(&kept.metadata);
        }
    }
    let Err(error) = client.commit(&list, CommitMode::Sync) else {
        return Answered::Finally(Ok(Membership::Member));
    };
    match error.rdkafka_error_code() {
        Some(
            Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::AssignmentLost,
        ) => Answered::Finally(Ok(Membership::Outsider)),
        Some(Code::IllegalGeneration | Code::StaleMemberEpoch) => {
            Answered::Agreeing(Ok(Membership::Outsider))
        }
        Some(Code::RebalanceInProgress) => {
            let message = format!("group {group} is agreeing anew");
            Answered::Agreeing(Err(LogError::new(LogErrorKind::Unreachable, message)))
        }
        _ => at_rim(error),
    }
}

#[cfg(test)]
mod tests {
    use keylane_core::model::{Offset, TopicPartition};

    use super::*;

    fn word(offset: u64) -> (Word, oneshot::Receiver<Result<Membership, LogError>>) {
        let (answer, answered) = oneshot::channel();
        let progress = vec![Committed {
            partition: TopicPartition::new("t", 0),
            offset: Offset(offset),
            metadata: String::new(),
        }];
        (Word { progress, answer }, answered)
    }

    fn agreeing() -> Answered {
        let error = LogError::new(LogErrorKind::Unreachable, "agreeing anew");
        Answered::Agreeing(Err(error))
    }

    #[test]
    fn a_word_is_said_again_while_the_group_agrees_until_a_later_one_waits_behind_it() {
        let (queue, queued) = sync_channel(WAITING_MAX);
        let ((first, mut of_first), (second, mut of_second)) = (word(1), word(2));
        queue.send(first).expect("room");
        let mut second = Some(second);
        let mut said = Vec::new();
        let mut queue = Some(queue);
        serve(&queued, |progress| {
            said.push(progress[0].offset.0);
            match said.len() {
                // The later one comes while the first is said for the second time.
                2 => {
                    let queue = queue.take().expect("it is there");
                    queue.send(second.take().expect("one")).expect("room");
                    agreeing()
                }
                1 | 3 | 4 => agreeing(),
                _ => Answered::Finally(Ok(Membership::Member)),
            }
        });
        // The first is said once more when it is known that another waits, then no more; the second until it is taken.
        assert_eq!(said, [1, 1, 1, 2, 2]);
        assert!(of_first.try_recv().expect("an answer").is_err());
        let standing = of_second.try_recv().expect("an answer");
        assert_eq!(standing.expect("taken"), Membership::Member);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_said() {
        let (queue, queued) = sync_channel(WAITING_MAX);
        let ((gone, of_gone), (next, mut of_next)) = (word(1), word(2));
        drop(of_gone);
        queue.send(gone).expect("room");
        queue.send(next).expect("room");
        drop(queue);
        let mut said = Vec::new();
        serve(&queued, |progress| {
            said.push(progress[0].offset.0);
            Answered::Finally(Ok(Membership::Outsider))
        });
        assert_eq!(said, [2]);
        let standing = of_next.try_recv().expect("an answer").expect("heard");
        assert_eq!(standing, Membership::Outsider);
    }
}
