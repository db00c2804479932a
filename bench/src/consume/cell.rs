//! One cell: so much work, such keys, so many handlers at once, records that are there or that come at a rate.

use super::keys::{Keys, at_once};
use super::task::{Done, Handler, Source, Task};
use super::timer::Timer;
use super::topics::{Feed, Topics, committed};
use crate::report::{Result, float};
use std::time::Duration;
use tokio::runtime::Runtime;

/// What a consumer that stands still is given.
const SECONDS_MAX: u64 = 200;
/// What a peer is given: it counts what it has done by then.
const PEER_SECONDS_MAX: u64 = 12;
/// Whoever was at work for so long has committed.
const HAS_COMMITTED: f64 = 2.5;
/// A live feed has this part of the rate that is possible.
const LIVE_PART: f64 = 0.8;
const LIVE_RECORDS_MIN: f64 = 30.0;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) keys: Keys,
    pub(crate) work_ms: u64,
    pub(crate) concurrency: u64,
    pub(crate) source: Source,
}

impl Cell {
    pub(crate) fn name(&self) -> String {
        format!(
            "{}_{}_{}_ms_{}",
            self.source.name(),
            self.keys.name(),
            self.work_ms,
            self.concurrency
        )
    }

    /// Records per second if handlers take `work` and nothing else takes any time; `None` without work.
    pub(crate) fn rate(&self, top_share: f64, work: Duration) -> Option<f64> {
        let at_once = at_once(self.concurrency, top_share);
        (!work.is_zero()).then(|| at_once / work.as_secs_f64())
    }

    /// [`Cell::rate`] with the work as it is meant.
    pub(crate) fn ideal(&self, top_share: f64) -> Option<f64> {
        self.rate(top_share, Duration::from_millis(self.work_ms))
    }
}

/// Whose consumer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    Ours(Handler),
    /// Parallel Consumer, with what a fetch may bring of a partition; 0: as shipped.
    Peers {
        fetch_bytes: u64,
    },
}

/// What a cell came to.
pub(crate) struct Handled {
    pub(crate) done: Done,
    /// The most frequent key's share.
    pub(crate) top_share: f64,
    /// Of a live feed: its rate, and by how many milliseconds it was late at most.
    pub(crate) fed: Option<(f64, f64)>,
}

/// Where cells are measured.
pub(crate) struct Place<'a> {
    bootstrap: &'a str,
    runtime: &'a Runtime,
    topics: Topics<'a>,
    timer: Timer,
    groups: u64,
    /// Records of a topic that is filled beforehand.
    backlog: u64,
}

impl<'a> Place<'a> {
    pub(crate) fn new(bootstrap: &'a str, runtime: &'a Runtime, backlog: u64) -> Self {
        Place {
            bootstrap,
            runtime,
            topics: Topics::new(bootstrap, runtime),
            timer: Timer::default(),
            groups: 0,
            backlog,
        }
    }

    /// [`Cell::rate`] with the work as long as a sleep really takes.
    pub(crate) fn timers_rate(&mut self, cell: &Cell, top_share: f64) -> Option<f64> {
        let at_once = at_once(cell.concurrency, top_share);
        let sleep = match cell.work_ms {
            0 => Duration::ZERO,
            work_ms => self.timer.sleep(self.runtime, work_ms, at_once),
        };
        cell.rate(top_share, sleep)
    }

    /// So many records of a topic that has more, each of whose keys has as many as the others; or of one that has no more, because of uneven keys the rarer ones would be handled first.
    pub(crate) fn backlog(&mut self, cell: &Cell, records: u64, whose: Whose) -> Result<Handled> {
        let records = records.min(self.backlog);
        let held = match cell.keys {
            Keys::Zipf => records,
            Keys::One | Keys::Thousand | Keys::Distinct => self.backlog,
        };
        let (topic, top_share) = self.topics.backlog(cell.keys, held)?;
        let task = self.task(cell, topic, records, held, whose);
        let done = self.follow(&task, whose, || Ok(()))?;
        Ok(Handled {
            done,
            top_share,
            fed: None,
        })
    }

    /// A feed at a part of the rate that is possible, and at `rate_max` at most.
    pub(crate) fn live_rate(&mut self, cell: &Cell, rate_max: f64) -> f64 {
        let possible = self.timers_rate(cell, cell.keys.top_share());
        possible.map_or(rate_max, |rate| (rate * LIVE_PART).min(rate_max))
    }

    /// A feed that begins when the consumer is at work in all partitions.
    pub(crate) fn live(
        &mut self,
        cell: &Cell,
        rate: f64,
        seconds: u64,
        whose: Whose,
    ) -> Result<Handled> {
        let feed = Feed {
            keys: cell.keys,
            rate,
            records: (rate * float(seconds)).max(LIVE_RECORDS_MIN) as u64,
        };
        let topic = format!("{}-{}", cell.name(), self.groups);
        self.topics.primed(&topic)?;
        let task = self.task(cell, topic.clone(), feed.records, feed.records, whose);
        let (mut late_ms, bootstrap) = (0.0, self.bootstrap);
        let done = self.follow(&task, whose, || {
            late_ms = feed.send(bootstrap, &topic)?;
            Ok(())
        })?;
        Ok(Handled {
            done,
            top_share: cell.keys.top_share(),
            fed: Some((rate, late_ms)),
        })
    }

    fn task(&mut self, cell: &Cell, topic: String, records: u64, held: u64, whose: Whose) -> Task {
        self.groups += 1;
        let (fetch_bytes, handler, seconds_max) = match whose {
            Whose::Ours(handler) => (0, handler, SECONDS_MAX),
            Whose::Peers { fetch_bytes } => (fetch_bytes, Handler::Task, PEER_SECONDS_MAX),
        };
        Task {
            bootstrap: self.bootstrap.to_owned(),
            topic,
            group: format!("{}-{}", cell.name(), self.groups),
            work_ms: cell.work_ms,
            records,
            concurrency: cell.concurrency,
            keys: match handler {
                Handler::Raw => 0,
                Handler::Task | Handler::Thread => cell.keys.most(held),
            },
            feed: cell.source,
            seconds_max,
            fetch_bytes,
            handler,
        }
    }

    fn follow(
        &self,
        task: &Task,
        whose: Whose,
        when_ready: impl FnOnce() -> Result<()>,
    ) -> Result<Done> {
        let done = match whose {
            Whose::Ours(_) => task.run(when_ready)?,
            Whose::Peers { .. } => task.run_peer(when_ready)?,
        };
        if done.seconds > HAS_COMMITTED && committed(self.bootstrap, task)? == 0 {
            return Err(format!("nothing was committed: {task:?}").into());
        }
        Ok(done)
    }
}
