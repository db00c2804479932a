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

use super::record::Record;

/// What has ended.
pub(super) struct Ended {
    pub ticket: Ticket,
    /// How often the record was tried before.
    pub attempts: u32,
    pub how: How,
}

pub(super) enum How {
    /// The handler is done with the record.
    Handled,
    /// It is not, in its own words.
    Failed(String),
    /// It took too long.
    TimedOut,
    /// The record is in the dead-letter topic, or not.
    Buried(Result<(), LogError>),
}

type Burying = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// All that is in progress. `F` is one attempt.
pub(super) struct Work<F> {
    parts: BTreeMap<TopicPartition, Part<F>>,
    count: usize,
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
        }
    }

    /// How many are in progress.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn handle(&mut self, partition: &TopicPartition, ticket: Ticket, attempt: F) {
        let part = self.part(partition);
        part.handling.push(attempt);
        part.began.insert(ticket, Instant::now());
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
                part.began.remove(&ended.ticket);
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

/// One attempt at a record.
pub(super) async fn attempt<H, F, E>(
    handler: &H,
    record: Record,
    ticket: Ticket,
    longest: Option<Duration>,
) -> Ended
where
    H: Fn(Record) -> F,
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let attempts = record.attempts;
    let handling = AssertUnwindSafe(async { handler(record).await }).catch_unwind();
    let ended = match longest {
        None => Some(handling.await),
        Some(longest) => tokio::time::timeout(longest, handling).await.ok(),
    };
    let how = match ended {
        None => How::TimedOut,
        Some(Ok(Ok(()))) => How::Handled,
        Some(Ok(Err(error))) => How::Failed(error.to_string()),
        Some(Err(_)) => How::Failed("the handler panicked".to_owned()),
    };
    Ended {
        ticket,
        attempts,
        how,
    }
}
