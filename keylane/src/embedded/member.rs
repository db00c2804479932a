//! The embedded log's groups: whoever joined last has every partition. Who had them before loses them, at the latest at its next commit, and stands by until nobody reads for the group any more.
//!
//! A member that never asks how far its group is keeps its progress elsewhere: of it the file knows nothing, and it notices by its own fence that another came.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keylane_core::model::TopicPartition;
use keylane_core::publish::{
    Committed, GroupAnswer, GroupMember, GroupNews, GroupSettings, LogError, Membership,
};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::group;
use super::keep::{Keeper, now_ms};
use super::log::Open;
use crate::own_thread::ThreadGone;

/// How often it is looked who the group's member is.
const LOOK: Duration = Duration::from_millis(200);
/// After so long without a sign of life at least a member counts as dead: some looks.
const SESSION_MIN: Duration = Duration::from_millis(1000);
/// What leaving may take: others wait until the session is over, then.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// What a process is to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has not asked how far the group is.
    Unasked,
    /// It took the group over, under this epoch.
    Member(u64),
    /// Another took it over since.
    Replaced,
}

/// The partitions of those topics that are there, and the others.
type Found = (Vec<TopicPartition>, Vec<Arc<str>>);

/// Has all partitions of the topics that it reads, of each once it is there.
pub(super) struct SoleMember {
    open: Arc<Open>,
    group: Arc<str>,
    session: Duration,
    topics: Vec<Arc<str>>,
    told: Vec<TopicPartition>,
    /// When the topics are looked up again: at once, or since some were not there.
    topics_at: Option<Instant>,
    /// Topics that are being looked up: begun once, whoever waits for it how often.
    looking: Option<oneshot::Receiver<Result<Found, LogError>>>,
    /// Topics that were not there.
    missing: Vec<Arc<str>>,
    /// Lost them, and is told of them again once nobody reads for the group.
    stands_by: bool,
    standing: Arc<watch::Sender<Standing>>,
    heard: watch::Receiver<Standing>,
    /// The next look.
    look_at: Instant,
}

impl SoleMember {
    /// Told nothing yet.
    pub(super) fn new(open: Arc<Open>, group: &GroupSettings, topics: &[Arc<str>]) -> Self {
        let (standing, heard) = watch::channel(Standing::Unasked);
        SoleMember {
            open,
            group: Arc::from(&*group.name),
            session: Duration::from_millis(group.session_timeout_ms.into()).max(SESSION_MIN),
            topics: topics.to_vec(),
            told: Vec::new(),
            topics_at: Some(Instant::now()),
            looking: None,
            missing: Vec::new(),
            stands_by: false,
            standing: Arc::new(standing),
            heard,
            look_at: Instant::now(),
        }
    }

    /// What the topics ask for and was not told, if there is any of it.
    async fn of_topics(&mut self) -> Result<Option<GroupNews>, LogError> {
        let looking = self.looking.get_or_insert_with(|| {
            let topics = self.topics.clone();
            self.open
                .keeper
                .submit(move |keeper| look_up(keeper, &topics))
        });
        let found = looking.await;
        self.looking = None;
        let (there, missing) = found.map_err(|_| ThreadGone)??;
        self.topics_at = (!missing.is_empty()).then(|| Instant::now() + LOOK);
        if missing != self.missing && !missing.is_empty() {
            tracing::info!(
                group = &*self.group,
                "topics that are not there yet, and are read once they are: {}",
                missing.join(", ")
            );
        }
        self.missing = missing;
        let is_read = |partition: &TopicPartition| self.topics.contains(&partition.topic);
        let (told, given_up) = std::mem::take(&mut self.told)
            .into_iter()
            .partition(is_read);
        self.told = told;
        if !given_up.is_empty() {
            self.topics_at = Some(Instant::now());
            return Ok(Some(GroupNews::GiveUp(given_up)));
        }
        let is_new = |partition: &TopicPartition| !self.told.contains(partition);
        let new: Vec<TopicPartition> = there.into_iter().filter(is_new).collect();
        self.told.extend(new.iter().cloned());
        Ok((!new.is_empty()).then_some(GroupNews::Take(new)))
    }

    /// Until another took the group over: `true`; or the topics are to be looked up: `false`. Gives signs of life meanwhile, if the group counts this process as its member.
    async fn until_replaced(&mut self) -> bool {
        loop {
            let standing = *self.heard.borrow_and_update();
            let look_at = match standing {
                Standing::Replaced => return true,
                Standing::Unasked => None,
                Standing::Member(_) => Some(self.look_at),
            };
            tokio::select! {
                // Its sender is this member's own.
                _ = self.heard.changed() => {}
                () = until(self.topics_at) => return false,
                () = until(look_at) => {
                    self.look_at = Instant::now() + LOOK;
                    let looked = self.as_member(|transaction, member| {
                        group::alive(transaction, member, now_ms())
                    });
                    // What fails is tried the next time.
                    if let Ok(Err(error)) = looked.await {
                        tracing::debug!(group = &*self.group, "no sign of life: {error}");
                    }
                }
            }
        }
    }

    /// Until the group's member has left, or gave no sign of life for too long.
    async fn until_nobody_reads(&mut self) -> Result<(), LogError> {
        loop {
            sleep_until(self.look_at).await;
            self.look_at = Instant::now() + LOOK;
            let group = self.group.clone();
            let look = move |keeper: &mut Keeper| {
                keeper
                    .transaction(|transaction| group::is_left_alone(transaction, &group, now_ms()))
            };
            match self.open.keeper.call(look).await? {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // To begin anew would be to take the group over.
                Err(error) if error.kind.passes() => {
                    tracing::debug!(group = &*self.group, "standing by: {error}");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Does something that only the group's member may do, in the order of the calls; says whether this process is the member still.
    fn as_member(
        &self,
        work: impl FnOnce(&rusqlite::Transaction<'_>, (&str, u64)) -> rusqlite::Result<bool>
        + Send
        + 'static,
    ) -> oneshot::Receiver<Result<Membership, LogError>> {
        let (group, standing) = (self.group.clone(), self.standing.clone());
        self.open.keeper.submit(move |keeper| {
            let Standing::Member(epoch) = *standing.borrow() else {
                return Ok(Membership::Outsider);
            };
            let is_member = keeper.transaction(|transaction| work(transaction, (&group, epoch)))?;
            if is_member {
                return Ok(Membership::Member);
            }
            standing.send_replace(Standing::Replaced);
            Ok(Membership::Outsider)
        })
    }
}

fn look_up(keeper: &Keeper, topics: &[Arc<str>]) -> Result<Found, LogError> {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for topic in topics {
        match keeper.describe(topic)? {
            Some(info) => {
                let numbers = 0..info.partitions;
                there.extend(numbers.map(|number| TopicPartition::new(topic.clone(), number)));
            }
            None => missing.push(topic.clone()),
        }
    }
    Ok((there, missing))
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[async_trait]
impl GroupMember for SoleMember {
    fn shares(&self) -> bool {
        false
    }

    async fn news(&mut self) -> Result<GroupNews, LogError> {
        loop {
            if self.stands_by {
                self.until_nobody_reads().await?;
                self.stands_by = false;
                tracing::info!(group = &*self.group, "nobody reads any more: taking over");
            }
            if self.topics_at.is_some_and(|at| at <= Instant::now())
                && let Some(news) = self.of_topics().await?
            {
                return Ok(news);
            }
            if !self.until_replaced().await {
                continue;
            }
            (self.stands_by, self.topics_at) = (true, Some(Instant::now()));
            self.standing.send_replace(Standing::Unasked);
            tracing::info!(
                group = &*self.group,
                "another process has taken over: standing by"
            );
            let lost = std::mem::take(&mut self.told);
            if !lost.is_empty() {
                return Ok(GroupNews::Lost(lost));
            }
        }
    }

    async fn answer(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    async fn subscribe(&mut self, topics: &[Arc<str>]) -> Result<(), LogError> {
        self.topics = topics.to_vec();
        (self.looking, self.topics_at) = (None, Some(Instant::now()));
        Ok(())
    }

    /// Takes the group over and reads, in one transaction: what an earlier member commits from now on is refused. Who asks again only reads: replaced meanwhile, it does not take the group back.
    fn committed(&self, partitions: Vec<TopicPartition>) -> GroupAnswer<Vec<Committed>> {
        let (group, standing) = (self.group.clone(), self.standing.clone());
        let session_ms = i64::try_from(self.session.as_millis()).unwrap_or(i64::MAX);
        let asked = self.open.keeper.submit(move |keeper| {
            let before = *standing.borrow();
            let (now, kept) = keeper.transaction(|transaction| {
                let now = match before {
                    Standing::Unasked => {
                        let times = (now_ms(), session_ms);
                        Standing::Member(group::take_over(transaction, &group, times)?)
                    }
                    Standing::Member(epoch)
                        if group::alive(transaction, (&group, epoch), now_ms())? =>
                    {
                        before
                    }
                    Standing::Member(_) | Standing::Replaced => Standing::Replaced,
                };
                Ok((now, group::committed(transaction, &group, partitions)?))
            })?;
            standing.send_replace(now);
            Ok(kept)
        });
        Box::pin(async move { asked.await.map_err(|_| ThreadGone)? })
    }

    fn commit(&self, progress: Vec<Committed>) -> GroupAnswer<Membership> {
        if *self.standing.borrow() == Standing::Unasked {
            return Box::pin(async { Ok(Membership::Outsider) });
        }
        let kept = self.as_member(move |transaction, member| {
            group::commit(transaction, member, &progress, now_ms())
        });
        Box::pin(async move { kept.await.map_err(|_| ThreadGone)? })
    }

    async fn leave(self: Box<Self>) {
        if *self.standing.borrow() == Standing::Unasked {
            return;
        }
        let left = self.as_member(group::leave);
        if !matches!(timeout(LEAVE_MAX, left).await, Ok(Ok(Ok(_)))) {
            tracing::warn!(
                group = &*self.group,
                "leaving the group was not written; others wait until the session is over"
            );
        }
    }
}
