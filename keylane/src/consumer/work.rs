//! Handlers in progress, by partition: with its partition given up, a handler that does not end in time is dropped.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, Stream as _};
use keylane_core::consume::Ticket;
use keylane_core::model::TopicPartition;
use keylane_core::publish::LogError;

use super::error::ConsumerError;
use super::record::Record;
use crate::postgres::consume::LaneMove;

/// What is given to a handler.
pub(super) struct Todo {
    pub partition: TopicPartition,
    pub task: Task,
    /// As many as tickets, in their order.
    pub records: Vec<Record>,
}

/// Whose work it is.
pub(super) struct Task {
    /// One for each record.
    pub tickets: Vec<Ticket>,
    /// How often the record was tried before; of several, none was.
    pub attempts: u32,
    /// The steps that the transaction makes, where progress is kept in one.
    pub moves: Vec<LaneMove>,
}

/// What has ended.
pub(super) struct Ended {
    pub task: Task,
    pub how: How,
}

pub(super) enum How {
    /// The records are done.
    Done(Done),
    /// They are not, in the handler's own words.
    Failed(String),
    /// It took too long.
    TimedOut,
    /// The log did not take the dead letter.
    NotBuried(LogError),
    /// It could not be tried, or it is not known to have been; in words. It counts as no attempt.
    Hindered(String),
    /// Another owner has the partition.
    Fenced,
    /// Only a person can help.
    Broken(ConsumerError),
}

/// How records are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// The handler did it.
    Handled,
    /// They are in the dead-letter topic.
    DeadLettered,
    /// They were passed over.
    Skipped,
}

/// Of how many handlers the mean tells.
const MEAN_OF: f64 = 100.0;

type Burying = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// All that is in progress. `F` is one attempt.
pub(super) struct Work<F> {
    parts: BTreeMap<TopicPartition, Part<F>>,
    count: usize,
    /// A moving mean.
    service_us: f64,
}

struct Part<F> {
    handling: FuturesUnordered<F>,
    /// Since when each is in progress.
    began: HashMap<Ticket, Instant>,
    burying: FuturesUnordered<Burying>,
}

impl<F: Future<Output = Ended>> Work<F> {
    pub(super) fn new() -> Self {
        Work {
            parts: BTreeMap::new(),
            count: 0,
            service_us: 0.0,
        }
    }

    /// How long a handler takes, a moving mean in microseconds; 0 before the first has ended.
    pub(super) fn service_us(&self) -> u64 {
        self.service_us.ceil() as u64
    }

    /// How many are in progress.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn handle(&mut self, todo: Todo, begin: &impl Fn(Todo) -> F) {
        let ticket = todo.task.tickets.first().copied();
        let part = self.part(&todo.partition);
        part.began
            .extend(ticket.map(|ticket| (ticket, Instant::now())));
        part.handling.push(begin(todo));
        self.count += 1;
    }

    pub(super) fn bury(&mut self, partition: &TopicPartition, burying: Burying) {
        self.part(partition).burying.push(burying);
        self.count += 1;
    }

    /// Drops what is in progress there.
    pub(super) fn drop_partition(&mut self, partition: &TopicPartition) {
        if let Some(part) = self.parts.remove(partition) {
            self.count -= part.handling.len() + part.burying.len();
        }
    }

    /// The longest that a handler is in progress.
    pub(super) fn oldest(&self) -> Duration {
        let parts = self.parts.values();
        let began = parts.flat_map(|part| part.began.values()).min();
        began.map_or(Duration::ZERO, Instant::elapsed)
    }

    /// What has ended next; pending while nothing is in progress.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        for part in self.parts.values_mut() {
            let handled = Pin::new(&mut part.handling).poll_next(context);
            let ended = match handled {
                Poll::Ready(Some(ended)) => Some(ended),
                _ => match Pin::new(&mut part.burying).poll_next(context) {
                    Poll::Ready(Some(ended)) => Some(ended),
                    _ => None,
                },
            };
            if let Some(ended) = ended {
                self.count -= 1;
                let first = ended.task.tickets.first();
                if let Some(began) = first.and_then(|ticket| part.began.remove(ticket)) {
                    let took_us = began.elapsed().as_secs_f64() * 1e6;
                    self.service_us = match self.service_us {
                        0.0 => took_us,
                        mean => mean + (took_us - mean) / MEAN_OF,
                    };
                }
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    }

    fn part(&mut self, partition: &TopicPartition) -> &mut Part<F> {
        // Looked up first: a name is copied only for a new one.
        if !self.parts.contains_key(partition) {
            let part = Part {
                handling: FuturesUnordered::new(),
                began: HashMap::new(),
                burying: FuturesUnordered::new(),
            };
            self.parts.insert(partition.clone(), part);
        }
        self.parts.get_mut(partition).expect("it was put there")
    }
}

/// One attempt.
pub(super) async fn attempt<H, F, E>(handler: &H, todo: Todo, longest: Option<Duration>) -> Ended
where
    H: Fn(Vec<Record>) -> F,
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let Todo { task, records, .. } = todo;
    let how = call(async { handler(records).await }, longest).await;
    Ended { task, how }
}

/// A handler's call: done, failed (a panic is a failure), or dropped because it took too long.
pub(super) async fn call<E: Display>(
    handling: impl Future<Output = Result<(), E>>,
    longest: Option<Duration>,
) -> How {
    let handling = AssertUnwindSafe(handling).catch_unwind();
    let ended = match longest {
        None => Some(handling.await),
        Some(longest) => tokio::time::timeout(longest, handling).await.ok(),
    };
    match ended {
        None => How::TimedOut,
        Some(Ok(Ok(()))) => How::Done(Done::Handled),
        Some(Ok(Err(error))) => How::Failed(error.to_string()),
        Some(Err(_)) => How::Failed("the handler panicked".to_owned()),
    }
}

/// Where no batches are asked for, records come one by one.
pub(super) fn only(records: Vec<Record>) -> Record {
    let mut records = records.into_iter();
    records.next().expect("each attempt has a record")
}
