//! Handlers in progress, by partition: with its partition given up, a handler that does not end in time is dropped.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::Stream as _;
use futures_util::stream::FuturesUnordered;
use keylane_core::consume::Ticket;
use keylane_core::publish::LogError;
use smallvec::SmallVec;
use tokio::time::Sleep;

use super::error::ConsumerError;
use super::record::Record;
use crate::postgres::consume::LaneMove;

/// What is given to a handler.
pub(super) struct Todo {
    pub task: Task,
    /// As many as tickets, in their order.
    pub records: SmallVec<[Record; 1]>,
}

/// Whose work it is.
#[derive(Default)]
pub(super) struct Task {
    /// One for each record.
    pub tickets: SmallVec<[Ticket; 1]>,
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
    NotBuried(Box<LogError>),
    /// It could not be tried, or it is not known to have been; in words. It counts as no attempt.
    Hindered(String),
    /// Another owner has the partition.
    Fenced,
    /// Only a person can help.
    Broken(Box<ConsumerError>),
}

impl How {
    pub(super) fn broken(error: impl Into<ConsumerError>) -> Self {
        How::Broken(Box::new(error.into()))
    }

    fn panicked() -> Self {
        How::Failed("the handler panicked".to_owned())
    }
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
/// Of handlers that end at once, the time of one in so many is taken, and counts for all.
const TIMED_ONE_IN: u32 = 16;

type Burying = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Results that one partition gives in a row before others are asked.
const STREAK_MAX: u32 = 64;

/// All that is in progress. `F` is one attempt.
pub(super) struct Work<F> {
    /// By the numbers that partitions have.
    parts: Vec<Part<F>>,
    /// The partition that is asked first, and how many results in a row it gave.
    turn: usize,
    streak: u32,
    count: usize,
    /// Where the next handler begins.
    place: Option<Place<F>>,
    /// Handlers so far.
    begun: u32,
    /// A moving mean.
    service_us: f64,
}

/// Where an attempt stays while it is in progress. Used again for the next one if it ends at once.
type Place<F> = Pin<Box<Attempt<F>>>;

pin_project_lite::pin_project! {
    /// An attempt, and since when it is in progress.
    struct Attempt<F> {
        began: Option<Instant>,
        #[pin]
        attempt: Option<F>,
    }
}

impl<F: Future<Output = Ended>> Future for Attempt<F> {
    type Output = (Ended, Option<Duration>);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(attempt) = this.attempt.as_pin_mut() else {
            return Poll::Pending;
        };
        let ended = std::task::ready!(attempt.poll(context));
        Poll::Ready((ended, this.began.map(|began| began.elapsed())))
    }
}

struct Part<F> {
    handling: FuturesUnordered<Place<F>>,
    burying: FuturesUnordered<Burying>,
}

impl<F: Future<Output = Ended>> Part<F> {
    fn new() -> Self {
        Part {
            handling: FuturesUnordered::new(),
            burying: FuturesUnordered::new(),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Ended, Option<Duration>)> {
        if let Poll::Ready(Some(ended)) = Pin::new(&mut self.handling).poll_next(context) {
            return Poll::Ready(ended);
        }
        match Pin::new(&mut self.burying).poll_next(context) {
            Poll::Ready(Some(ended)) => Poll::Ready((ended, None)),
            _ => Poll::Pending,
        }
    }
}

impl<F: Future<Output = Ended>> Work<F> {
    pub(super) fn new() -> Self {
        Work {
            parts: Vec::new(),
            turn: 0,
            streak: 0,
            count: 0,
            place: None,
            begun: 0,
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

    /// Begins an attempt. One that ends at once is told at once, and was never in progress.
    pub(super) fn handle(&mut self, todo: Todo, begin: &impl Fn(Todo) -> F) -> Option<Ended> {
        let number = todo.task.tickets.first()?.part();
        let began = self.begun.is_multiple_of(TIMED_ONE_IN).then(Instant::now);
        self.begun = self.begun.wrapping_add(1);
        let mut place = self.place.take().unwrap_or_else(|| {
            Box::pin(Attempt {
                began: None,
                attempt: None,
            })
        });
        let mut this = place.as_mut().project();
        *this.began = began;
        this.attempt.set(Some(begin(todo)));
        // Whoever has to wait is asked again where it is in progress, and says then whom to wake.
        let polled = place.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready((ended, took)) = polled else {
            place
                .as_mut()
                .project()
                .began
                .get_or_insert_with(Instant::now);
            self.part(number)?.handling.push(place);
            self.count += 1;
            return None;
        };
        place.as_mut().project().attempt.set(None);
        self.place = Some(place);
        if let Some(took) = took {
            self.note(took, TIMED_ONE_IN);
        }
        Some(ended)
    }

    pub(super) fn bury(&mut self, tickets: &[Ticket], burying: Burying) {
        let part = tickets.first().and_then(|it| self.part(it.part()));
        if let Some(part) = part {
            part.burying.push(burying);
            self.count += 1;
        }
    }

    /// Drops what is in progress in the partition of this number, before another gets it.
    pub(super) fn drop_partition(&mut self, number: Option<usize>) {
        if let Some(part) = number.and_then(|number| self.parts.get_mut(number)) {
            let part = std::mem::replace(part, Part::new());
            self.count -= part.handling.len() + part.burying.len();
        }
    }

    /// The longest that a handler is in progress.
    pub(super) fn oldest(&self) -> Duration {
        let parts = self.parts.iter();
        let began = parts.flat_map(|part| Pin::new(&part.handling).iter_pin_ref());
        let began = began.filter_map(|place| place.began).min();
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
            let part = self.parts.get_mut(self.turn);
            let ended = part.map_or(Poll::Pending, |part| part.poll(context));
            if let Poll::Ready((ended, took)) = ended {
                self.streak += 1;
                self.count -= 1;
                if let Some(took) = took {
                    self.note(took, 1);
                }
                return Poll::Ready(ended);
            }
            (self.turn, self.streak) = (self.turn + 1, 0);
        }
        Poll::Pending
    }

    /// A handler took so long, and counts for so many.
    fn note(&mut self, took: Duration, count: u32) {
        let took_us = took.as_secs_f64() * 1e6;
        let part = (f64::from(count) / MEAN_OF).min(1.0);
        self.service_us = match self.service_us {
            0.0 => took_us,
            mean => mean + (took_us - mean) * part,
        };
    }

    fn part(&mut self, number: usize) -> Option<&mut Part<F>> {
        if number >= self.parts.len() {
            self.parts.resize_with(number + 1, Part::new);
        }
        self.parts.get_mut(number)
    }
}

pin_project_lite::pin_project! {
    /// One attempt. No `async` block: the compiler moves what it captures once more, which shows where handlers end at once.
    struct Handling<F> {
        task: Task,
        // Without one the handler panicked before there was any.
        #[pin]
        call: Option<Call<F>>,
    }
}

impl<F, E> Future for Handling<F>
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let this = self.project();
        let how = match this.call.as_pin_mut() {
            Some(call) => std::task::ready!(call.poll(context)),
            None => How::panicked(),
        };
        let task = std::mem::take(this.task);
        Poll::Ready(Ended { task, how })
    }
}

/// One attempt.
pub(super) fn attempt<H, F, E>(
    handler: &H,
    todo: Todo,
    longest: Option<Duration>,
) -> impl Future<Output = Ended>
where
    H: Fn(SmallVec<[Record; 1]>) -> F,
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    let Todo { task, records } = todo;
    let handling = catch_unwind(AssertUnwindSafe(|| handler(records)));
    Handling {
        task,
        call: handling.ok().map(|handling| call(handling, longest)),
    }
}

pin_project_lite::pin_project! {
    /// See [`call`].
    pub(super) struct Call<F> {
        #[pin]
        handling: F,
        longest: Option<Duration>,
        // Of a handler that did not end where it began.
        until: Option<Pin<Box<Sleep>>>,
    }
}

/// A handler's call: done, failed (a panic is a failure), or dropped because it took too long.
pub(super) fn call<F>(handling: F, longest: Option<Duration>) -> Call<F> {
    Call {
        handling,
        longest,
        until: None,
    }
}

impl<F, E> Future for Call<F>
where
    F: Future<Output = Result<(), E>>,
    E: Display,
{
    type Output = How;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<How> {
        let this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| this.handling.poll(context)));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(Ok(()))) => return Poll::Ready(How::Done(Done::Handled)),
            Ok(Poll::Ready(Err(error))) => return Poll::Ready(How::Failed(error.to_string())),
            Err(_) => return Poll::Ready(How::panicked()),
        }
        let Some(longest) = *this.longest else {
            return Poll::Pending;
        };
        let until = this
            .until
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(longest)));
        until.as_mut().poll(context).map(|()| How::TimedOut)
    }
}

/// Where no batches are asked for, records come one by one.
pub(super) fn only(mut records: SmallVec<[Record; 1]>) -> Record {
    records.pop().expect("each attempt has a record")
}
