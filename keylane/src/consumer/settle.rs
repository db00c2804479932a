//! What becomes of a record whose handler has ended: done, again after a pause, to the dead letters, passed over, or the end of it all.

use std::future::poll_fn;
use std::task::Poll;

use keylane_core::consume::Ticket;
use keylane_core::model::TopicPartition;
use keylane_core::publish::Log as _;
use rand::Rng as _;

use super::run::{ConsumerError, Road};
use super::settings::Exhausted;
use super::work::{Ended, How};

/// Results taken up before anything else is looked at.
const BURST: usize = 1024;

impl<A: Future<Output = Ended>> Road<'_, A> {
    /// What has ended, and what else has by now.
    pub(super) async fn settle_burst(&mut self, first: Ended) -> Result<(), ConsumerError> {
        self.settle(first)?;
        for _ in 1..BURST {
            let work = &mut self.work;
            let next = poll_fn(|context| match work.poll(context) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending => Poll::Ready(None),
            });
            match next.await {
                Some(ended) => self.settle(ended)?,
                None => break,
            }
        }
        Ok(())
    }

    fn settle(&mut self, ended: Ended) -> Result<(), ConsumerError> {
        let Ended {
            ticket, attempts, ..
        } = ended;
        let stats = &self.settings.stats;
        let error = match ended.how {
            How::Handled => {
                stats.handled.add(1);
                self.dispatch.done(ticket);
                return Ok(());
            }
            How::Buried(Ok(())) => {
                stats.dead_lettered.add(1);
                self.dispatch.done(ticket);
                return Ok(());
            }
            How::Buried(Err(error)) if error.kind.passes() => {
                stats.troubled(&error.message);
                self.pause(ticket, attempts);
                return Ok(());
            }
            How::Buried(Err(error)) => return Err(error.into()),
            How::Failed(error) => error,
            How::TimedOut => {
                stats.timed_out.add(1);
                "it took longer than it may".to_owned()
            }
        };
        stats.failed.add(1);
        let tried = attempts.saturating_add(1);
        if self.settings.attempts_max.is_none_or(|most| tried < most) {
            self.pause(ticket, attempts);
            return Ok(());
        }
        self.exhausted(ticket, tried, error)
    }

    fn pause(&mut self, ticket: Ticket, attempts: u32) {
        let (first, longest) = self.settings.backoff;
        let pause = first.saturating_mul(2_u32.saturating_pow(attempts.min(30)));
        let spread = rand::rng().random_range(0.5..1.0);
        let pause_ms = pause.min(longest).mul_f64(spread).as_millis();
        let at_ms = self.now_ms() + u64::try_from(pause_ms).unwrap_or(u64::MAX / 2).max(1);
        self.dispatch.again(ticket, at_ms);
    }

    /// A record's last attempt failed.
    fn exhausted(
        &mut self,
        ticket: Ticket,
        attempts: u32,
        error: String,
    ) -> Result<(), ConsumerError> {
        let Some(record) = self.dispatch.record(ticket) else {
            return Ok(());
        };
        let id = record.id();
        if let Some(dead_letters) = &self.dead_letters {
            let letter = dead_letters.letter(record, attempts, &error);
            let partition = TopicPartition::new(record.topic.clone(), record.partition);
            let log = self.log.clone();
            let burying = async move {
                let buried = async { log.append(vec![letter]).await?.await.map(drop) };
                Ended {
                    ticket,
                    attempts: attempts - 1,
                    how: How::Buried(buried.await),
                }
            };
            tracing::warn!(
                group = self.settings.group.name,
                id,
                attempts,
                "to the dead-letter topic: {error}"
            );
            self.work.bury(&partition, Box::pin(burying));
            return Ok(());
        }
        if self.settings.exhausted == Exhausted::Skip {
            tracing::warn!(
                group = self.settings.group.name,
                id,
                attempts,
                "passed over: {error}"
            );
            self.settings.stats.skipped.add(1);
            self.dispatch.done(ticket);
            return Ok(());
        }
        Err(ConsumerError::Exhausted {
            id,
            attempts,
            error,
        })
    }
}
