//! Which partitions this process has: taken over when the group says so, given up when it asks, taken over again after a lost answer.
//!
//! A process may believe longer than others that a partition is its own. Then both raise the fence, and whoever did it last writes. Which of them goes on is
//! for the group to say: who was fenced asks whether it is a member still, and only then fences again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::apply::{ApplyError, PartitionProgress, PartitionSpec};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{
    Committed, GroupMember, GroupNews, GroupSettings, LogError, LogErrorKind,
    Membership as Standing, TopicInfo,
};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::doubt::doubted;
use super::fetch::{Order, OrderKind};
use super::handover::{in_words, let_go, no_gap, save, settled};
use super::left_out::LeftOut;
use super::progress::note_redriving;
use super::road::Road;
use super::run::ApplyFailure;
use super::settings::Consistency;
use crate::workers::control::{TableTopic, control_topic};

/// How often the group is told how far this process is.
const TELL_INTERVAL: Duration = Duration::from_secs(5);
/// What the group is given to answer: what else it tells must not wait for long.
const GROUP_ANSWER_MAX: Duration = Duration::from_secs(2);
/// How often a partition that another has fenced is looked at again.
const SUSPECT_INTERVAL: Duration = Duration::from_millis(500);
/// What saving the progress of a partition that is given up may take: who takes it over does without.
const SAVE_MAX: Duration = Duration::from_secs(2);
/// How long transactions that were told to roll back are waited for.
const ROLL_BACK_MAX: Duration = Duration::from_secs(1);

/// This process's part in the group.
pub(super) struct Membership {
    member: Box<dyn GroupMember>,
    orders: mpsc::Sender<Order>,
    /// The topics that are read, as they were when a partition was last taken.
    topics: BTreeMap<Arc<str>, TopicInfo>,
    /// What the group names this process for, and the owner's number as it last fenced it.
    named: BTreeMap<TopicPartition, u64>,
    left_out: LeftOut,
    told: Instant,
    learned: Instant,
}

impl Membership {
    /// Joins the group; it names no partition yet.
    ///
    /// # Errors
    /// If a topic is not there, or the group cannot be joined.
    pub(super) async fn join(
        road: &Road,
        topics: &[TableTopic],
        orders: mpsc::Sender<Order>,
    ) -> Result<Self, ApplyFailure> {
        let topics = described(road, topics).await?;
        let names = match road.settings.consistency {
            Consistency::Key => topics.keys().cloned().collect(),
            Consistency::Transaction => vec![control_topic(&road.settings.prefix)],
        };
        let options = &road.settings.group;
        let group = GroupSettings {
            name: group_name(road).await?,
            protocol: options.protocol,
            session_timeout_ms: u32::try_from(options.session_timeout.as_millis())
                .unwrap_or(u32::MAX),
            instance_id: options.instance_id.clone(),
        };
        road.stats
            .state
            .set("starting", "waiting for the group to name partitions");
        let member = road.log.join(&group, &names).await?;
        debug!(
            pipeline = &*road.settings.pipeline,
            group = group.name,
            "joined"
        );
        Ok(Membership {
            member,
            orders,
            topics,
            named: BTreeMap::new(),
            left_out: LeftOut::default(),
            told: Instant::now(),
            learned: Instant::now(),
        })
    }

    /// Does what the group says until told to stop.
    pub(super) async fn keep(&mut self, road: &Road) {
        let mut topics = road.topics.subscribe();
        while !road.stop.is_cancelled() {
            let done = tokio::select! {
                biased;
                () = road.stop.cancelled() => break,
                news = self.member.news() => match news {
                    Ok(news) => self.hear(road, news).await,
                    Err(error) => Err(error.into()),
                },
                Ok(()) = topics.changed() => {
                    let topics = topics.borrow_and_update().clone();
                    self.read(road, &topics).await
                }
                () = road.suspected.notified() => self.look_at_suspects(road).await,
                () = tokio::time::sleep(road.settings.save_interval) => self.look(road).await,
            };
            if let Err(failure) = done {
                return road.fail(failure);
            }
        }
    }

    /// Leaves the group; progress is saved.
    pub(super) async fn leave(mut self, road: &Road) {
        self.tell(road).await;
        self.member.leave().await;
    }

    async fn hear(&mut self, road: &Road, news: GroupNews) -> Result<(), ApplyFailure> {
        let news = match road.settings.consistency {
            Consistency::Key => news,
            Consistency::Transaction => self.of_all(news),
        };
        let is_member = !matches!(news, GroupNews::Lost(_));
        match news {
            GroupNews::Take(partitions) => self.take(road, partitions).await?,
            GroupNews::GiveUp(partitions) => {
                self.give_up(road, &partitions, road.settings.drain_max)
                    .await;
            }
            // Whoever has it waits for what is open here, or fails it.
            GroupNews::Lost(partitions) => self.give_up(road, &partitions, Duration::ZERO).await,
        }
        self.member.answer().await?;
        road.stats.partitions.set(self.named.len() as u64);
        road.group_spoke(is_member);
        self.learn(road).await;
        Ok(())
    }

    /// Where transactions are to be whole, whoever is named for the control topic has all partitions, and the others stand by.
    fn of_all(&self, news: GroupNews) -> GroupNews {
        match news {
            GroupNews::Take(named) if !named.is_empty() => {
                GroupNews::Take(self.partitions().collect())
            }
            GroupNews::GiveUp(named) if !named.is_empty() => GroupNews::GiveUp(self.mine()),
            GroupNews::Lost(named) if !named.is_empty() => GroupNews::Lost(self.mine()),
            nothing => nothing,
        }
    }

    fn mine(&self) -> Vec<TopicPartition> {
        self.named.keys().cloned().collect()
    }

    async fn take(
        &mut self,
        road: &Road,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), ApplyFailure> {
        // A topic may have been created anew, or have more partitions, since it was looked at.
        let names: BTreeSet<Arc<str>> = partitions.iter().map(|it| it.topic.clone()).collect();
        for name in names {
            let info = describe(road, &name).await?;
            self.topics.insert(name, info);
        }
        for partition in &partitions {
            self.named.insert(partition.clone(), 0);
        }
        self.fence(road, &partitions).await?;
        if !partitions.is_empty() {
            info!(
                pipeline = &*road.settings.pipeline,
                partitions = in_words(&partitions),
                "taken over"
            );
        }
        Ok(())
    }

    /// Fence, then read progress, then fetch.
    async fn fence(
        &mut self,
        road: &Road,
        partitions: &[TopicPartition],
    ) -> Result<(), ApplyFailure> {
        let spec = |partition: &TopicPartition| {
            let info = self.topics.get(&partition.topic)?;
            Some(PartitionSpec {
                partition: partition.clone(),
                topic_id: info.id.clone(),
                partitions: info.partitions,
                lanes: road.settings.lanes,
            })
        };
        let specs: Vec<PartitionSpec> = partitions.iter().filter_map(spec).collect();
        if specs.is_empty() {
            return Ok(());
        }
        let pipeline = &road.settings.pipeline;
        let Some(fenced) = persist(road, || road.replica.fence(pipeline, &specs)).await? else {
            return Ok(());
        };
        let parked = fenced.iter().map(|progress| progress.parked_keys.len());
        let parked: usize = parked.sum();
        if road.settings.consistency == Consistency::Transaction && parked > 0 {
            return Err(ApplyFailure::Parked(parked));
        }
        for progress in &fenced {
            no_gap(road, progress).await?;
            let (partition, owner_epoch) = (progress.partition.clone(), progress.owner_epoch);
            self.named.insert(partition, owner_epoch);
        }
        // What others have not applied must be known before the first change is let go.
        let known = persist(road, || road.replica.lows(pipeline)).await?;
        let Some(known) = known else { return Ok(()) };
        self.heed(road, known).await;
        self.order(OrderKind::Take(fenced)).await;
        Ok(())
    }

    /// Stops dispatching at once; transactions that are open may end, within a bound.
    async fn give_up(&mut self, road: &Road, partitions: &[TopicPartition], within: Duration) {
        for partition in partitions {
            self.named.remove(partition);
        }
        let (lows, open) = let_go(road, partitions);
        self.order(OrderKind::GiveUp(partitions.to_vec())).await;
        if !within.is_zero() && !settled(road, &open, within).await {
            warn!(
                pipeline = &*road.settings.pipeline,
                "transactions did not end in time; they roll back"
            );
            road.rolled_back.send_replace(open.clone());
            settled(road, &open, ROLL_BACK_MAX).await;
            road.rolled_back.send_replace(BTreeSet::new());
        }
        if !lows.is_empty() {
            let saving = save(road, &lows);
            match tokio::time::timeout(SAVE_MAX, saving).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!("what was given up is not saved: {error}"),
                Err(_) => debug!("what was given up is not saved in time"),
            }
        }
        if !partitions.is_empty() {
            info!(
                pipeline = &*road.settings.pipeline,
                partitions = in_words(partitions),
                "given up"
            );
        }
    }

    /// Partitions of which a transaction found another owner, or another offset than it left there; all of them after a connection was lost, if the replica has gone back.
    async fn look_at_suspects(&mut self, road: &Road) -> Result<(), ApplyFailure> {
        let mut suspects = road.take_suspects();
        if suspects.is_empty() && !road.lanes().is_held() {
            return Ok(());
        }
        let began = Instant::now();
        let stored = match road.replica.progress(&road.settings.pipeline).await {
            Ok(stored) => stored,
            Err(error) if error.passes() => {
                road.suspect_again(suspects);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        suspects.extend(doubted(road, &stored));
        // Also where nothing of its own has gone back: others' may have.
        self.heed(road, stored.clone()).await;
        road.looked(began);
        let (mut again, mut contested) = (Vec::new(), Vec::new());
        for partition in suspects {
            let Some(mine) = self.named.get(&partition) else {
                continue;
            };
            let low = stored.iter().find(|stored| stored.partition == partition);
            match low {
                // Nobody else: a commit's answer was lost, and the lanes stand further than believed, or the replica has gone back.
                Some(low) if low.owner_epoch <= *mine => {
                    if !road.lanes().owns(&partition) {
                        again.push(partition);
                    }
                }
                Some(low) => contested.push((partition, low.low)),
                // Keylane's own tables were emptied under it.
                None => return Err(ApplyFailure::Fenced),
            }
        }
        if !contested.is_empty() {
            again.extend(self.still_mine(road, contested).await?);
        }
        self.fence(road, &again).await
    }

    /// Which of these, that another has fenced, the group still names this process for.
    async fn still_mine(
        &mut self,
        road: &Road,
        contested: Vec<(TopicPartition, Offset)>,
    ) -> Result<Vec<TopicPartition>, ApplyFailure> {
        if !self.member.shares() {
            return Err(ApplyFailure::Fenced);
        }
        let partitions: Vec<_> = contested.iter().map(|(it, _)| it.clone()).collect();
        let_go(road, &partitions);
        let standing = self.confirm(contested).await;
        let words = in_words(&partitions);
        match standing {
            Ok(Standing::Member) => {
                info!(
                    pipeline = &*road.settings.pipeline,
                    partitions = words,
                    "fenced by a process that the group does not name; taking over again"
                );
                return Ok(partitions);
            }
            Ok(Standing::Outsider) => debug!(partitions = words, "fenced, and no member"),
            Err(error) => debug!(partitions = words, "fenced, and unsure: {error}"),
        }
        // The group will say: either that they are lost, or, asked again, that they are not.
        road.suspect_again(partitions.into_iter().collect());
        Ok(Vec::new())
    }

    /// Looked at now and then.
    async fn look(&mut self, road: &Road) -> Result<(), ApplyFailure> {
        if road.are_suspects_due(SUSPECT_INTERVAL) {
            self.look_at_suspects(road).await?;
        }
        if self.told.elapsed() >= TELL_INTERVAL {
            self.tell(road).await;
        }
        let all_mine = {
            let lanes = road.lanes();
            self.partitions().all(|partition| lanes.owns(&partition))
        };
        let stands_by =
            road.settings.consistency == Consistency::Transaction && self.named.is_empty();
        let learns_soon = !all_mine && !stands_by;
        if learns_soon || self.learned.elapsed() >= TELL_INTERVAL {
            self.learn(road).await;
        }
        Ok(())
    }

    /// Tells the group how far this process is, for tools that show its lag; the answer says whether it is a member still.
    async fn confirm(
        &mut self,
        frontiers: Vec<(TopicPartition, Offset)>,
    ) -> Result<Standing, LogError> {
        let committed = |(partition, offset)| Committed {
            partition,
            offset,
            metadata: String::new(),
        };
        let progress = frontiers.into_iter().map(committed).collect();
        let answer = tokio::time::timeout(GROUP_ANSWER_MAX, self.member.commit(progress)).await;
        answer.unwrap_or_else(|_| {
            let message = "the group does not answer";
            Err(LogError::new(LogErrorKind::Unreachable, message))
        })
    }

    /// For tools that show the group's lag.
    async fn tell(&mut self, road: &Road) {
        self.told = Instant::now();
        let lows: Vec<_> = road.lows().into_iter().collect();
        if lows.is_empty() {
            return;
        }
        if let Err(error) = self.confirm(lows).await {
            debug!("the group was not told how far this process is: {error}");
        }
    }

    /// How far the others are.
    async fn learn(&mut self, road: &Road) {
        if let Ok(stored) = road.replica.lows(&road.settings.pipeline).await {
            self.heed(road, stored).await;
        }
    }

    async fn heed(&mut self, road: &Road, stored: Vec<PartitionProgress>) {
        self.learned = Instant::now();
        note_redriving(road, &stored);
        let is_read = |topic: &str| self.topics.contains_key(topic);
        let stored = self.left_out.strip(road, is_read, stored).await;
        let mut lanes = road.lanes();
        let is_known = |partition: &TopicPartition| {
            lanes.owns(partition) || stored.iter().any(|it| it.partition == *partition)
        };
        let unknown = !self.partitions().all(|partition| is_known(&partition));
        lanes.set_elsewhere(&stored, unknown);
        let ready = lanes.has_ready();
        drop(lanes);
        if ready {
            road.work.notify_one();
        }
    }

    /// All partitions of the topics that are read, whoever has them.
    fn partitions(&self) -> impl Iterator<Item = TopicPartition> + '_ {
        let topics = self.topics.values();
        topics.flat_map(|info| {
            let numbers = 0..info.partitions;
            numbers.map(|number| TopicPartition::new(info.name.clone(), number))
        })
    }

    /// Other topics from now on: tables came, or went.
    async fn read(&mut self, road: &Road, topics: &[TableTopic]) -> Result<(), ApplyFailure> {
        self.topics = described(road, topics).await?;
        self.left_out.forget();
        if road.settings.consistency == Consistency::Transaction {
            let mut came: Vec<_> = self.partitions().collect();
            came.retain(|partition| !self.named.contains_key(partition));
            return match self.named.is_empty() {
                true => Ok(()),
                false => self.take(road, came).await,
            };
        }
        let names: Vec<Arc<str>> = self.topics.keys().cloned().collect();
        Ok(self.member.subscribe(&names).await?)
    }

    /// Returns once the fetching task has done it.
    async fn order(&mut self, kind: OrderKind) {
        let (done, is_done) = oneshot::channel();
        // It ends only when the run does.
        if self.orders.send(Order { kind, done }).await.is_ok() {
            is_done.await.ok();
        }
    }
}

/// The configured one, or one that no other pipeline and no other replica has: members of one group must write to one database.
async fn group_name(road: &Road) -> Result<String, ApplyFailure> {
    if let Some(name) = &road.settings.group.name {
        return Ok(name.clone());
    }
    let identity = road.replica.identity().await?;
    Ok(format!("keylane-{}-{identity}", road.settings.pipeline))
}

async fn described(
    road: &Road,
    topics: &[TableTopic],
) -> Result<BTreeMap<Arc<str>, TopicInfo>, ApplyFailure> {
    let mut found = BTreeMap::new();
    for topic in topics {
        let info = describe(road, &topic.topic).await?;
        found.insert(info.name.clone(), info);
    }
    Ok(found)
}

async fn describe(road: &Road, topic: &str) -> Result<TopicInfo, ApplyFailure> {
    road.log.describe_topic(topic).await?.ok_or_else(|| {
        let message = format!("topic {topic} is not there, though the catalog names it");
        LogError::new(LogErrorKind::TopicMismatch, message).into()
    })
}

/// Asks the replica until it answers; `None` if told to stop before. The group must not be kept waiting by a membership given up and taken again.
async fn persist<T, F>(road: &Road, mut ask: impl FnMut() -> F) -> Result<Option<T>, ApplyFailure>
where
    F: Future<Output = Result<T, ApplyError>>,
{
    let (mut pause, longest) = road.settings.backoff;
    loop {
        let answer = tokio::select! {
            () = road.stop.cancelled() => return Ok(None),
            answer = ask() => answer,
        };
        match answer {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) if !error.passes() => return Err(error.into()),
            Err(error) => road.stats.state.set("degraded", error.to_string()),
        }
        tokio::select! {
            () = road.stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(longest);
    }
}
