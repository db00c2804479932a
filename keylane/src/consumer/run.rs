//! The loop: what has ended, what may begin, what comes in, what the group says.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keylane_core::apply::ApplyError;
use keylane_core::consume::{Completed, Dispatch, Given, HotKeys};
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{
    GroupAnswer, GroupMember, GroupNews, Log, LogConsumer, LogError, LogErrorKind, Membership,
    RawRecord,
};
use smallvec::SmallVec;
use tokio_util::sync::CancellationToken;

use super::dead_letter::DeadLetters;
use super::error::ConsumerError;
use super::lanes::{Lanes, Part};
use super::pace::Pace;
use super::partitions::Leaving;
use super::record::Record;
use super::settings::{Consumer, Exhausted};
use super::stats::HOT_KEYS_MAX;
use super::work::{Ended, Task, Todo, Work};
use crate::postgres::consume::PostgresProgress;
use crate::twins::Twins;

/// How long a fetch waits for the first record.
const FETCH_WAIT: Duration = Duration::from_millis(200);
/// Handlers that begin before it is looked which of them have ended: of those that end at once few are in memory at a time.
const BEGUN_AT_ONCE: usize = 128;
/// How often it is looked how far partitions are behind, for their turns.
const WEIGHED_EVERY: Duration = Duration::from_millis(200);
/// The pauses between attempts while the log is away.
pub(super) const AWAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// See [`Consumer::run`]. `begin` makes one attempt.
pub(super) async fn run<A>(
    mut settings: Consumer,
    store: Option<PostgresProgress>,
    stop: CancellationToken,
    begin: impl Fn(Todo) -> A,
) -> Result<(), ConsumerError>
where
    A: Future<Output = Ended>,
{
    settings.log = settings.log.with_headers();
    let (mut pause, longest) = AWAY;
    let mut twins = Twins::default();
    loop {
        let began = Instant::now();
        let error = match membership(&settings, store.as_ref(), &stop, &begin).await {
            Ok(()) => return Ok(()),
            Err(error) if error.passes() => error,
            Err(error) => return Err(error),
        };
        if let ConsumerError::Log(error) = &error
            && twins.give_way(error, began.elapsed())
        {
            return Err(error.clone().into());
        }
        if began.elapsed() > longest * 2 {
            pause = AWAY.0;
        }
        settings.stats.troubled(&error.to_string());
        tracing::warn!(
            group = settings.group.name,
            "consuming is interrupted: {error}"
        );
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(longest);
    }
}

/// From joining the group to leaving it.
async fn membership<A>(
    settings: &Consumer,
    store: Option<&PostgresProgress>,
    stop: &CancellationToken,
    begin: &impl Fn(Todo) -> A,
) -> Result<(), ConsumerError>
where
    A: Future<Output = Ended>,
{
    if let Some(store) = store {
        store.prepare().await?;
    }
    let log = settings.log.open().await?;
    for topic in &settings.topics {
        if !settings.log.topics_come() && log.describe_topic(topic).await?.is_none() {
            let message = format!("topic {topic} is not there");
            return Err(LogError::new(LogErrorKind::TopicMismatch, message).into());
        }
    }
    let dead_letters = match &settings.exhausted {
        Exhausted::DeadLetter(topic) => {
            settings.log.make_missing(&*log, [&**topic]).await?;
            Some(DeadLetters::open(&*log, topic).await?)
        }
        Exhausted::Stop | Exhausted::Skip => None,
    };
    let member = log.join(&settings.group, &settings.topics).await?;
    let consumer = log
        .consumer(&settings.group.name, settings.buffer_bytes / 2)
        .await?;
    let mut road = Road {
        settings,
        log,
        member,
        consumer,
        dead_letters,
        dispatch: Dispatch::new(settings.order),
        work: Work::new(),
        pace: Pace::default(),
        hot: HotKeys::default(),
        lanes: store.cloned().map(Lanes::new),
        asking: None,
        asked_at: None,
        taking: None,
        leaving: None,
        last_commit: None,
        committing: None,
        kept: BTreeMap::new(),
        began: Instant::now(),
        weighed_at: Instant::now(),
        committed_at: Instant::now(),
        away_until: None,
        fenced: Vec::new(),
    };
    let ended = road.go(stop, begin).await;
    settings.stats.set_member(false);
    road.end().await;
    ended
}

/// Partitions as they are taken.
pub(super) struct Taken {
    pub parts: Vec<TakenPart>,
    /// Whether the group waits for an answer.
    pub answers: bool,
}

/// What is done in a partition.
pub(super) struct TakenPart {
    pub partition: TopicPartition,
    pub completed: Completed,
    /// Its lanes, where progress is kept in a database.
    pub lanes: Option<Part>,
}

/// What became of a commit.
pub(super) enum Kept {
    Told(Result<Membership, LogError>),
    /// These have another owner.
    Fenced(Vec<TopicPartition>),
    NotSaved(ApplyError),
}

pub(super) type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) struct Road<'s, A> {
    pub(super) settings: &'s Consumer,
    pub(super) log: Arc<dyn Log>,
    pub(super) member: Box<dyn GroupMember>,
    pub(super) consumer: Box<dyn LogConsumer>,
    pub(super) dead_letters: Option<DeadLetters>,
    pub(super) dispatch: Dispatch<Record>,
    pub(super) work: Work<A>,
    pub(super) pace: Pace,
    pub(super) hot: HotKeys,
    /// Where progress is kept in a database.
    pub(super) lanes: Option<Lanes>,
    /// The group is asked whether this process is its member still.
    pub(super) asking: Option<GroupAnswer<Membership>>,
    pub(super) asked_at: Option<Instant>,
    /// Partitions that the group named, until it is known how far they are.
    pub(super) taking: Option<Answer<Result<Taken, ConsumerError>>>,
    pub(super) leaving: Option<Leaving>,
    /// The last commit of what leaves.
    pub(super) last_commit: Option<Answer<()>>,
    pub(super) committing: Option<Answer<Kept>>,
    /// What was committed last.
    pub(super) kept: BTreeMap<TopicPartition, (Offset, String)>,
    pub(super) began: Instant,
    /// When it was looked how far partitions are behind.
    weighed_at: Instant,
    pub(super) committed_at: Instant,
    /// Nothing is fetched before, because the log was away.
    pub(super) away_until: Option<Instant>,
    /// Partitions in which another owner was found, until that is looked into.
    pub(super) fenced: Vec<TopicPartition>,
}

/// What came.
enum Event {
    News(Result<GroupNews, LogError>),
    Taken(Result<Taken, ConsumerError>),
    Kept(Kept),
    Asked(Result<Membership, LogError>),
    LastKept,
    Ended(Ended),
    Fetched(Result<Vec<(TopicPartition, Vec<RawRecord>)>, LogError>),
    Stopping,
    Time,
}

async fn answer<T>(waited: &mut Option<impl Future<Output = T> + Unpin>) -> T {
    match waited {
        Some(waited) => waited.await,
        None => std::future::pending().await,
    }
}

impl<A: Future<Output = Ended>> Road<'_, A> {
    async fn go(
        &mut self,
        stop: &CancellationToken,
        begin: &impl Fn(Todo) -> A,
    ) -> Result<(), ConsumerError> {
        let mut draining: Option<Instant> = None;
        loop {
            let next_ms = self.dispatch.tick(self.now_ms());
            self.last_commit_of_what_leaves();
            self.ask_about_suspects();
            let mut begun = 0;
            match draining {
                None => {
                    if self.work.count() < self.concurrency() {
                        // There is too little to do: what came is taken in before anything is waited for.
                        let room = self.room();
                        if !room.is_empty() {
                            let fetched = self.consumer.fetch(&room, Duration::ZERO).await;
                            self.fetched(fetched)?;
                        }
                    }
                    begun = self.begin(begin)?;
                }
                Some(until) if self.work.count() == 0 || Instant::now() >= until => return Ok(()),
                Some(_) => {}
            }
            let more = begun == BEGUN_AT_ONCE;
            match self.event(stop, draining.is_none(), next_ms, more).await {
                Event::Stopping => draining = Some(Instant::now() + self.settings.drain_max),
                Event::News(news) => self.hear(news?).await?,
                Event::Taken(taken) => {
                    self.taking = None;
                    self.take(taken?).await?;
                }
                Event::Kept(kept) => {
                    self.committing = None;
                    self.heed(kept).await?;
                }
                Event::Asked(standing) => {
                    self.asking = None;
                    self.take_suspects(standing);
                }
                Event::LastKept => {
                    self.last_commit = None;
                    if let Some(leaving) = self.leaving.take() {
                        self.left(&leaving.partitions).await?;
                    }
                }
                Event::Ended(ended) => {
                    let begin = draining.is_none().then_some(begin);
                    self.settle_burst(ended, begin)?;
                }
                Event::Fetched(fetched) => self.fetched(fetched)?,
                Event::Time => {}
            }
            if !self.fenced.is_empty() {
                let fenced = std::mem::take(&mut self.fenced);
                self.suspect(fenced).await?;
            }
            if self.weighed_at.elapsed() >= WEIGHED_EVERY {
                self.weighed_at = Instant::now();
                self.dispatch.weigh(&self.consumer.ends());
            }
            if self.committed_at.elapsed() >= self.settings.commit_interval {
                self.commit();
                self.tell();
            }
        }
    }

    /// Waits for the next thing to happen; where `more` may begin, only looks whether one has.
    async fn event(
        &mut self,
        stop: &CancellationToken,
        fetches: bool,
        next_ms: Option<u64>,
        more: bool,
    ) -> Event {
        let room = if fetches { self.room() } else { Vec::new() };
        let pause = next_ms.map(|at_ms| Duration::from_millis(at_ms.saturating_sub(self.now_ms())));
        let wait = pause.unwrap_or(FETCH_WAIT);
        let paced = self
            .pace
            .until
            .map(|until| until.saturating_duration_since(Instant::now()));
        let wait = paced.map_or(wait, |paced| wait.min(paced));
        let wait = wait.clamp(Duration::from_millis(1), FETCH_WAIT);
        let hears = self.taking.is_none() && self.leaving.is_none();
        let work = &mut self.work;
        tokio::select! {
            biased;
            () = stop.cancelled(), if fetches => Event::Stopping,
            news = self.member.news(), if hears => Event::News(news),
            taken = answer(&mut self.taking) => Event::Taken(taken),
            () = answer(&mut self.last_commit) => Event::LastKept,
            kept = answer(&mut self.committing) => Event::Kept(kept),
            standing = answer(&mut self.asking) => Event::Asked(standing),
            ended = poll_fn(|context| work.poll(context)) => Event::Ended(ended),
            () = std::future::ready(()), if more => Event::Time,
            fetched = self.consumer.fetch(&room, FETCH_WAIT), if !room.is_empty() => {
                Event::Fetched(fetched)
            }
            () = tokio::time::sleep(wait) => Event::Time,
        }
    }

    /// Hands records out, as many as may be in progress, [`BEGUN_AT_ONCE`] at most; what ends at once is settled at once. Returns how many handlers began.
    pub(super) fn begin(&mut self, begin: &impl Fn(Todo) -> A) -> Result<usize, ConsumerError> {
        let (concurrency, rate) = self.limits();
        let mut count = 0;
        while count < BEGUN_AT_ONCE
            && self.work.count() < concurrency
            && self.pace.may_begin(rate, || self.began.elapsed())
        {
            let Some(todo) = self.todo() else {
                break;
            };
            self.pace.begun(todo.records.len());
            if let Some(ended) = self.work.handle(todo, begin) {
                self.settle(ended)?;
            }
            count += 1;
        }
        Ok(count)
    }

    /// What one handler gets.
    fn todo(&mut self) -> Option<Todo> {
        let mut todo = Todo {
            task: Task::default(),
            records: SmallVec::new(),
        };
        let lanes = self.lanes.as_ref();
        let give = |mut given: Given<Record>| {
            given.record.attempts = given.attempts;
            todo.task.attempts = given.attempts;
            todo.task.tickets.push(given.ticket);
            if let Some(lanes) = lanes {
                lanes.add_step(&mut todo.task.moves, &given.record);
            }
            todo.records.push(given.record);
        };
        let joins = |one: &Record, next: &Record| one.key == next.key;
        let count = self.dispatch.take_batch(self.settings.batch, joins, give);
        (count > 0).then_some(todo)
    }

    fn tell(&self) {
        let (states, stats) = (self.dispatch.partitions(), &self.settings.stats);
        stats.partitions.set(states.len() as u64);
        stats.working.set(self.work.count() as u64);
        stats.set_hot_keys(self.hot.top(HOT_KEYS_MAX));
        stats.service_us.set(self.work.service_us());
        stats.held.set(states.iter().map(|it| it.held as u64).sum());
        stats
            .held_bytes
            .set(states.iter().map(|it| it.held_bytes as u64).sum());
        let oldest_ms = self.work.oldest().as_millis();
        stats
            .oldest_ms
            .set(u64::try_from(oldest_ms).unwrap_or(u64::MAX));
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
