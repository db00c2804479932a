//! What becomes of a record whose handler has ended: done, again after a pause, to the dead letters, passed over, or the end of it all.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use keylane_core::publish::{Log, LogError, NewRecord};
use rand::Rng as _;

use super::error::ConsumerError;
use super::run::Road;
use super::settings::Exhausted;
use super::transaction;
use super::work::{Done, Ended, How, Task, Todo};

/// Results taken up before anything else is looked at.
const BURST: usize = 1024;
/// The pause before a record is tried that could not be: the database is away, or gives way to somebody else.
const HINDERED_PAUSE: Duration = Duration::from_millis(500);

impl<A: Future<Output = Ended>> Road<'_, A> {
    /// What has ended, and what else has by now; and what begins in its place (unless nothing more is to begin), if that ends at once.
    pub(super) fn settle_burst(
        &mut self,
        first: Ended,
        begin: Option<&impl Fn(Todo) -> A>,
    ) -> Result<(), ConsumerError> {
        self.settle(first)?;
        let mut settled = 1;
        while settled < BURST && self.fenced.is_empty() {
            // Only a look: before anything is waited for, it is asked whom to wake.
            let next = self.work.poll(&mut Context::from_waker(Waker::noop()));
            let more = match (next, begin) {
                (Poll::Ready(ended), _) => {
                    self.settle(ended)?;
                    1
                }
                (Poll::Pending, Some(begin)) => self.begin(begin)?,
                (Poll::Pending, None) => 0,
            };
            if more == 0 {
                break;
            }
            settled += more;
        }
        Ok(())
    }

    pub(super) fn settle(&mut self, ended: Ended) -> Result<(), ConsumerError> {
        let Ended { task, how } = ended;
        let stats = &self.settings.stats;
        let error = match how {
            How::Done(done) => {
                self.done(&task, done);
                return Ok(());
            }
            How::NotBuried(error) if error.kind.passes() => {
                stats.troubled(&error.message);
                self.pause(&task);
                return Ok(());
            }
            How::NotBuried(error) => return Err((*error).into()),
            How::Hindered(why) => {
                stats.troubled(&why);
                let at_ms = self.in_ms(HINDERED_PAUSE);
                self.dispatch.later(&task.tickets, at_ms);
                return Ok(());
            }
            How::Fenced => {
                let partitions = task.moves.into_iter().map(|step| step.partition);
                self.fenced.extend(partitions);
                return Ok(());
            }
            How::Broken(error) => return Err(*error),
            How::Failed(error) => error,
            How::TimedOut => {
                stats.timed_out.add(1);
                "it took longer than it may".to_owned()
            }
        };
        if task.tickets.len() > 1 {
            tracing::debug!(
                group = self.settings.group.name,
                "a batch failed and is tried record by record: {error}"
            );
            stats.batches_apart.add(1);
            self.dispatch.apart(&task.tickets);
            return Ok(());
        }
        stats.failed.add(1);
        let tried = task.attempts.saturating_add(1);
        if self.settings.attempts_max.is_none_or(|most| tried < most) {
            self.pause(&task);
            return Ok(());
        }
        self.exhausted(task, tried, error)
    }

    fn done(&mut self, task: &Task, done: Done) {
        let stats = &self.settings.stats;
        let counter = match done {
            Done::Handled => &stats.handled,
            Done::DeadLettered => &stats.dead_lettered,
            Done::Skipped => &stats.skipped,
        };
        counter.add(task.tickets.len() as u64);
        for ticket in &task.tickets {
            self.dispatch.done(*ticket);
        }
        if let Some(lanes) = &mut self.lanes {
            lanes.moved(&task.moves);
        }
    }

    fn pause(&mut self, task: &Task) {
        let (first, longest) = self.settings.backoff;
        let pause = first.saturating_mul(2_u32.saturating_pow(task.attempts.min(30)));
        let at_ms = self.in_ms(pause.min(longest));
        for ticket in &task.tickets {
            self.dispatch.again(*ticket, at_ms);
        }
    }

    /// After a pause, spread by a random part.
    fn in_ms(&self, pause: Duration) -> u64 {
        let spread = rand::rng().random_range(0.5..1.0);
        let pause_ms = pause.mul_f64(spread).as_millis();
        self.now_ms() + u64::try_from(pause_ms).unwrap_or(u64::MAX / 2).max(1)
    }

    /// A record's last attempt failed.
    fn exhausted(&mut self, task: Task, tried: u32, error: String) -> Result<(), ConsumerError> {
        let ticket = task.tickets.first();
        let Some(record) = ticket.and_then(|ticket| self.dispatch.record(*ticket)) else {
            return Ok(());
        };
        let (id, group) = (record.id(), &self.settings.group.name);
        let letter = match (&self.dead_letters, &self.settings.exhausted) {
            (Some(dead_letters), _) => {
                tracing::warn!(
                    group,
                    id,
                    attempts = tried,
                    "to the dead-letter topic: {error}"
                );
                Some(dead_letters.letter(record, tried, &error))
            }
            (None, Exhausted::Skip) => {
                tracing::warn!(group, id, attempts = tried, "passed over: {error}");
                None
            }
            (None, Exhausted::Stop | Exhausted::DeadLetter(_)) => {
                return Err(ConsumerError::Exhausted {
                    id,
                    attempts: tried,
                    error,
                });
            }
        };
        let store = self.lanes.as_ref().map(|lanes| lanes.store.clone());
        let (log, tickets) = (self.log.clone(), task.tickets.clone());
        let burying = async move {
            let done = match letter.is_some() {
                true => Done::DeadLettered,
                false => Done::Skipped,
            };
            let buried = match letter {
                Some(letter) => bury(&*log, letter).await,
                None => Ok(()),
            };
            let how = match (buried, store) {
                (Err(error), _) => How::NotBuried(Box::new(error)),
                (Ok(()), None) => How::Done(done),
                (Ok(()), Some(store)) => transaction::pass(&store, &task.moves, done).await,
            };
            Ended { task, how }
        };
        self.work.bury(&tickets, Box::pin(burying));
        Ok(())
    }
}

async fn bury(log: &dyn Log, letter: NewRecord) -> Result<(), LogError> {
    log.append(vec![letter]).await?.await.map(drop)
}
