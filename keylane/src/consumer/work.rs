//! Handlers in progress, by partition: with its partition given up, a handler that does not end in time is dropped.

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

/// Results that one partition gives in a row before others are asked.
const STREAK_MAX: u32 = 64;

/// All that is in progress. `F` is one attempt.
pub(super) struct Work<F> {
    /// By the numbers that tickets have.
    parts: Vec<Option<Part<F>>>,
    /// The partition that is asked first, and how many results in a row it gave.
    turn: usize,
    streak: u32,
    count: usize,
    /// A moving mean.
    service_us: f64,
}

struct Part<F> {
    partition: TopicPartition,
    handling: FuturesUnordered<Timed<F>>,
    burying: FuturesUnordered<Burying>,
}

impl<F: Future<Output = Ended>> Part<F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Ended, Option<Duration>)> {
        if let Poll::Ready(Some((ended, took))) = Pin::new(&mut self.handling).poll_next(context) {
            return Poll::Ready((ended, Some(took)));
        }
        match Pin::new(&mut self.burying).poll_next(context) {
            Poll::Ready(Some(ended)) => Poll::Ready((ended, None)),
            _ => Poll::Pending,
        }
    }
}

pin_project_lite::pin_project! {
    /// An attempt, and since when it is in progress.
    struct Timed<F> {
        began: Instant,
        #[pin]
        attempt: F,
    }
}

impl<F: Future<Output = Ended>> Future for Timed<F> {
    type Output = (Ended, Duration);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let ended = std::task::ready!(this.attempt.poll(context));
        Poll::Ready((ended, this.began.elapsed()))
    }
}

impl<F: Future<Output = Ended>> Work<F> {
    pub(super) fn new() -> Self {
        Work {
            parts: Vec::new(),
            turn: 0,
            streak: 0,
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
        let Some(part) = self.part(&todo.partition, &todo.task.tickets) else {
            return;
        };
        part.handling.push(Timed {
            began: Instant::now(),
            attempt: begin(todo),
        });
        self.count += 1;
    }

    pub(super) fn bury(
        &mut self,
        partition: &TopicPartition,
        tickets: &[Ticket],
        burying: Burying,
    ) {
        if let Some(part) = self.part(partition, tickets) {
            part.burying.push(burying);
            self.count += 1;
        }
    }

    /// Drops what is in progress there.
    pub(super) fn drop_partition(&mut self, partition: &TopicPartition) {
        let is_its = |part: &Option<Part<F>>| {
            part.as_ref()
                .is_some_and(|part| part.partition == *partition)
        };
        for place in self.parts.iter_mut().filter(|part| is_its(part)) {
            if let Some(part) = place.take() {
                self.count -= part.handling.len() + part.burying.len();
            }
        }
    }

    /// The longest that a handler is in progress.
    pub(super) fn oldest(&self) -> Duration {
        let parts = self.parts.iter().flatten();
        let began = parts.flat_map(|part| Pin::new(&part.handling).iter_pin_ref());
        let began = began.map(|timed| timed.began).min();
        began.map_or(Duration::ZERO, |began| began.elapsed())
    }

    /// What has ended next; pending while nothing is in progress. Partitions take turns.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        if self.streak >= STREAK_MAX {
            (self.turn, self.streak) = (self.turn + 1, 0);
        }
        for _ in 0..self.parts.len() {
            if self.turn >= self.parts.len() {
                self.turn = 0;
            }
            let part = self.parts.get_mut(self.turn).and_then(Option::as_mut);
            let ended = part.map_or(Poll::Pending, |part| part.poll(context));
            if let Poll::Ready((ended, took)) = ended {
                self.streak += 1;
                self.count -= 1;
                self.note(took);
                return Poll::Ready(ended);
            }
            (self.turn, self.streak) = (self.turn + 1, 0);
        }
        Poll::Pending
    }

    fn note(&mut self, took: Option<Duration>) {
        let Some(took) = took else { return };
        let took_us = took.as_secs_f64() * 1e6;
        self.service_us = match self.service_us {
            0.0 => took_us,
            mean => mean + (took_us - mean) / MEAN_OF,
        };
    }

    /// The place of these tickets' partition; none without a ticket.
    fn part(&mut self, partition: &TopicPartition, tickets: &[Ticket]) -> Option<&mut Part<F>> {
        let number = tickets.first()?.part();
        if number >= self.parts.len() {
            self.parts.resize_with(number + 1, || None);
        }
        let place = self.parts.get_mut(number)?;
        // The number may have been another partition's, of which nothing is in progress any more.
        let is_its = place
            .as_ref()
            .is_some_and(|part| part.partition == *partition);
        if !is_its {
            if let Some(former) = place.take() {
                self.count -= former.handling.len() + former.burying.len();
            }
            *place = Some(Part {
                partition: partition.clone(),
                handling: FuturesUnordered::new(),
                burying: FuturesUnordered::new(),
            });
        }
        place.as_mut()
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
