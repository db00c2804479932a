//! Looks at pipelines from any process: status files for what runs, and the databases and the log for what is stored. Every look ends within 3 s.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keylane::sqlite::journal::LastCompared;
use keylane::workers::stats::now_us;
use keylane_core::apply::{ParkedFilter, PartitionProgress, Threads};
use keylane_core::publish::{Header, RawRecord, RecordKind};
use tokio::sync::OnceCell;

use super::file::{ProcessStatus, read_all};
use super::retained::{Retained, retained};
use super::view::{Facts, Halves, PipelineView, view, worst_first};
use crate::config::{self, Config, Pipeline};
use crate::exit_code::{Exit, Failure};
use crate::http::{Answer, Source};
use crate::notify::{ChannelView, channel_views};
use crate::parked::ParkedView;
use crate::reconcile::last_compared;
use crate::threads::{ThreadsView, threads};
use crate::wire_up::{Road, roads};

/// How long a part may take to answer.
const ANSWER_MAX: Duration = Duration::from_millis(2500);
/// How much of a partition is read to find its oldest unapplied change.
const LOOK_BYTES: usize = 64 << 10;
/// Partitions that are looked at for that.
const LOOK_PARTITIONS_MAX: usize = 64;
/// Parked keys that are told at most.
pub const PARKED_MAX: u32 = 100_000;

/// Tells of the pipelines of a configuration.
pub struct Observer {
    config: Config,
    roads: BTreeMap<String, OnceCell<Arc<Road>>>,
}

impl Observer {
    /// Of these pipelines (all if none is named); `open` are roads that this process has at hand.
    ///
    /// # Errors
    /// If a pipeline is named that the configuration does not have.
    pub fn new(config: &Config, named: &[String], open: &[Arc<Road>]) -> Result<Self, Failure> {
        let known: Vec<&str> = config.pipelines.keys().map(|name| name.as_str()).collect();
        if let Some(name) = named.iter().find(|name| !known.contains(&name.as_str())) {
            let known = known.join(", ");
            let message = format!("there is no pipeline {name}; the configuration has {known}");
            return Err(Failure::new(Exit::Usage, message));
        }
        let wanted = known
            .into_iter()
            .filter(|name| named.is_empty() || named.iter().any(|one| one == name));
        let cell = |name: &str| {
            let road = open.iter().find(|road| *road.name == *name);
            OnceCell::new_with(road.cloned())
        };
        let roads = wanted.map(|name| (name.to_owned(), cell(name))).collect();
        Ok(Observer {
            config: config.clone(),
            roads,
        })
    }

    /// The pipelines now, the worst first.
    pub async fn views(&self) -> Vec<PipelineView> {
        self.views_of(&|_| true).await
    }

    /// Those that are meant, the worst first.
    pub async fn views_of(&self, meant: &(dyn Fn(&str) -> bool + Sync)) -> Vec<PipelineView> {
        let processes = read_all(&self.config.state_dir);
        let looks = self
            .roads
            .iter()
            .filter(|(name, _)| meant(name))
            .map(|(name, cell)| self.one(name, cell, &processes));
        let mut views: Vec<PipelineView> = futures_util::future::join_all(looks)
            .await
            .into_iter()
            .flatten()
            .collect();
        worst_first(&mut views);
        views
    }

    /// Parked keys that fit, oldest first within each pipeline.
    ///
    /// # Errors
    /// Says which replica could not be asked, and why.
    pub async fn parked(&self, filter: &ParkedFilter) -> Answer<Vec<ParkedView>> {
        let mut all = Vec::new();
        for (name, cell) in &self.roads {
            let pipeline = self.pipeline(name);
            if pipeline.is_some_and(never_applied) {
                continue;
            }
            let road = self.road(name, cell).await?;
            let Some(replica) = &road.replica else {
                continue;
            };
            let asked = replica.parked(name, filter, PARKED_MAX);
            let parked = answer("the replica", asked).await;
            all.extend(
                parked
                    .map_err(|why| format!("{name}: {why}"))?
                    .into_iter()
                    .map(ParkedView::from),
            );
        }
        Ok(all)
    }

    /// How the channels do that are told.
    pub async fn channels(&self) -> Vec<ChannelView> {
        channel_views(&self.config).await
    }

    async fn one(
        &self,
        name: &str,
        cell: &OnceCell<Arc<Road>>,
        processes: &[ProcessStatus],
    ) -> Option<PipelineView> {
        let pipeline = self.pipeline(name)?;
        let well = processes.iter().any(|process| {
            let apply = process.apply.as_ref();
            let well = apply
                .is_some_and(|apply| matches!(apply.state.as_str(), "streaming" | "caught_up"));
            process.pipeline == name && well && process.is_alive()
        });
        let mut facts = Facts::default();
        let kept = async {
            match &pipeline.origin {
                Some(origin) => retained(origin, ANSWER_MAX).await,
                None => Ok(Retained::default()),
            }
        };
        let (kept, ()) = tokio::join!(kept, self.stored(name, cell, pipeline, well, &mut facts));
        match kept {
            Ok(kept) => {
                facts.retained_bytes = kept.bytes;
                facts.retained_room_bytes = kept.room_bytes;
                facts.retained_changes = kept.changes;
            }
            Err(why) => facts.troubles.insert(0, why),
        }
        let halves = Halves {
            captures: pipeline.origin.is_some() && pipeline.from_topics.is_none(),
            applies: pipeline.replica.is_some(),
        };
        let alive = ProcessStatus::is_alive;
        Some(view(name, halves, processes, &alive, &facts, now_us()))
    }

    /// What the replica and the log say. While an applier does well here, its own figures are better than a look at the log.
    async fn stored(
        &self,
        name: &str,
        cell: &OnceCell<Arc<Road>>,
        pipeline: &Pipeline,
        applies_well: bool,
        facts: &mut Facts,
    ) {
        if applies_well || never_applied(pipeline) {
            return;
        }
        let road = match self.road(name, cell).await {
            Ok(road) => road,
            Err(why) => return facts.troubles.push(why),
        };
        let Some(replica) = &road.replica else {
            return;
        };
        let asked = async {
            let progress = road.progress().await?;
            let all = ParkedFilter::default();
            let parked = replica.parked(name, &all, PARKED_MAX).await?;
            Ok::<_, keylane_core::apply::ApplyError>((progress, parked))
        };
        let progress = match answer("the replica", asked).await {
            Ok((progress, parked)) => {
                facts.parked = u64::try_from(parked.len()).ok();
                progress
            }
            Err(why) => return facts.troubles.push(why),
        };
        if progress.is_empty() {
            return;
        }
        match answer("the log", behind(&road, &progress)).await {
            Ok((changes, oldest_ms)) => {
                facts.changes_behind = Some(changes);
                facts.oldest_unapplied_ms = oldest_ms;
            }
            Err(why) => facts.troubles.push(why),
        }
    }

    async fn road(&self, name: &str, cell: &OnceCell<Arc<Road>>) -> Answer<Arc<Road>> {
        let open = || async {
            if let config::Log::Embedded(log) = &self.config.log
                && !log.path.exists()
            {
                return Err(format!("the log {} is not there yet", log.path.display()));
            }
            let named = [name.to_owned()];
            let opened = tokio::time::timeout(ANSWER_MAX, roads(&self.config, &named));
            match opened.await {
                Ok(Ok(mut roads)) => roads.pop().map(Arc::new).ok_or_else(String::new),
                Ok(Err(failure)) => Err(failure.message),
                Err(_) => Err(late("the log")),
            }
        };
        cell.get_or_try_init(open).await.cloned()
    }

    fn pipeline(&self, name: &str) -> Option<&Pipeline> {
        let mut all = self.config.pipelines.iter();
        all.find(|(known, _)| known.as_str() == name)
            .map(|(_, pipeline)| pipeline)
    }
}

#[async_trait]
impl Source for Observer {
    async fn status(&self) -> Vec<PipelineView> {
        self.views().await
    }

    async fn parked(&self) -> Answer<Vec<ParkedView>> {
        Observer::parked(self, &ParkedFilter::default()).await
    }

    async fn channels(&self) -> Vec<ChannelView> {
        self.channels().await
    }

    async fn threads(&self, pipeline: &str, ask: Option<Threads>) -> Answer<Option<ThreadsView>> {
        let Some(cell) = self.roads.get(pipeline) else {
            return Ok(None);
        };
        let road = self.road(pipeline, cell).await?;
        let view = threads(&self.config.state_dir, &road, ask).await;
        view.map_err(|error| format!("the replica cannot be asked: {error}"))
    }

    async fn compared(&self) -> Vec<LastCompared> {
        last_compared(&self.config.state_dir).await
    }
}

/// There is no replica, or it is a SQLite file that is not there: looking would create it.
fn never_applied(pipeline: &Pipeline) -> bool {
    match &pipeline.replica {
        Some(config::Replica::Sqlite { path }) => !Path::new(path).exists(),
        Some(config::Replica::Postgres { .. }) => false,
        None => true,
    }
}

/// How many changes are not applied, and how old the oldest of them is (0 if there is none, `None` if none was found within the look's bound). What lies
/// beyond the look's bound counts as changes, though markers may be among it.
async fn behind(
    road: &Road,
    progress: &[PartitionProgress],
) -> Result<(u64, Option<u64>), keylane_core::publish::LogError> {
    let (mut changes, mut oldest_ms, mut looked, mut seen_all) = (0, None, 0, true);
    for partition in progress {
        let bounds = road.log.bounds(&partition.partition).await?;
        let from = partition.low.max(bounds.start);
        let missing = bounds.end.0.saturating_sub(from.0);
        if missing == 0 {
            continue;
        }
        looked += 1;
        if looked > LOOK_PARTITIONS_MAX {
            changes += missing;
            seen_all = false;
            continue;
        }
        let found = road
            .log
            .read(&partition.partition, from, LOOK_BYTES)
            .await?;
        let seen_to = found.last().map_or(from.0, |last| last.offset.0 + 1);
        let unseen = bounds.end.0.saturating_sub(seen_to);
        let mut found = found.iter().filter(|record| is_change(record)).peekable();
        match found.peek() {
            Some(change) => {
                let at = committed_at_ms(change);
                oldest_ms = Some(oldest_ms.map_or(at, |oldest: i64| oldest.min(at)));
            }
            None => seen_all &= unseen == 0,
        }
        changes += found.count() as u64 + unseen;
    }
    let age = |at_ms: i64| u64::try_from(now_us() / 1000 - at_ms).unwrap_or(0);
    let nothing_missing = seen_all.then_some(0);
    Ok((changes, oldest_ms.map(age).or(nothing_missing)))
}

/// Another tool's records are all taken for changes.
fn is_change(record: &RawRecord) -> bool {
    let header = record.keylane.as_deref();
    header
        .is_none_or(|raw| Header::decode(raw).is_ok_and(|header| header.kind == RecordKind::Change))
}

/// When the origin committed it; when it was published, if that is not known.
fn committed_at_ms(change: &RawRecord) -> i64 {
    let header = change.keylane.as_deref().map(Header::decode);
    let committed = header
        .and_then(Result::ok)
        .map(|it| it.committed_at_us / 1000);
    committed
        .filter(|at| *at > 0)
        .unwrap_or(change.timestamp_ms)
}

/// An answer within the bound, or why there is none.
async fn answer<T, E: std::fmt::Display>(
    part: &str,
    asked: impl Future<Output = Result<T, E>>,
) -> Answer<T> {
    match tokio::time::timeout(ANSWER_MAX, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{part} cannot be asked: {error}")),
        Err(_) => Err(late(part)),
    }
}

fn late(part: &str) -> String {
    format!(
        "{part} did not answer within {} s",
        ANSWER_MAX.as_secs_f32()
    )
}
