//! The loop of one channel: the next message, an attempt, what came of it.
//!
//! What it promises: messages of a channel go in their order; a message whose attempt was answered with "taken" is never sent again; one that was refused, or
//! is not answered, holds up nothing but its own channel, and that within bounds. An attempt is noted before it is made: whoever sends after a death says that the
//! message may have come before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keylane_core::notify::{Answer, Answered, Channel, Entry, Next, Outbox};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::super::stats::now_us;

/// How often the outbox is looked at: another process may have put something in.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Channels by name.
pub type Channels = BTreeMap<Arc<str>, Arc<dyn Channel>>;

/// Sends until `stop`, then what can be sent within `drain_max` (attempts that are under way then are let end); what is left stays in the outbox. The caller holds
/// the outbox's lock.
pub async fn deliver(
    outbox: Arc<dyn Outbox>,
    channels: &Channels,
    stop: &CancellationToken,
    drain_max: Duration,
) {
    let one = |(name, channel): (&Arc<str>, &Arc<dyn Channel>)| {
        let sender = Sender {
            outbox: outbox.clone(),
            name: name.clone(),
            channel: channel.clone(),
            stop: stop.clone(),
            drain_max,
            end: None,
            trouble: None,
        };
        tokio::spawn(sender.run())
    };
    let tasks: Vec<_> = channels.iter().map(one).collect();
    for task in tasks {
        // A task that panicked has said so; the others go on.
        task.await.ok();
    }
}

struct Sender {
    outbox: Arc<dyn Outbox>,
    name: Arc<str>,
    channel: Arc<dyn Channel>,
    stop: CancellationToken,
    drain_max: Duration,
    /// When the drain ends, once it has begun.
    end: Option<Instant>,
    /// What is in the way, as it was logged.
    trouble: Option<String>,
}

impl Sender {
    async fn run(mut self) {
        while !self.is_over() {
            let now_us = now_us();
            let pause = match self.outbox.next(&self.name, now_us).await {
                Ok(Next::Send(entry)) => {
                    self.attempt(&entry).await;
                    continue;
                }
                Ok(Next::Wait(until_us)) => {
                    let us = u64::try_from(until_us.saturating_sub(now_us)).unwrap_or(0);
                    let pause = Duration::from_micros(us);
                    if self.end.is_some_and(|end| Instant::now() + pause > end) {
                        return;
                    }
                    pause
                }
                Ok(Next::Idle) if self.stop.is_cancelled() => return,
                Ok(Next::Idle) => LOOK_INTERVAL,
                Err(error) => {
                    self.met(&error.to_string());
                    LOOK_INTERVAL
                }
            };
            self.rest(pause).await;
        }
    }

    /// Whether it has stopped, and the time for the rest is over.
    fn is_over(&mut self) -> bool {
        if !self.stop.is_cancelled() {
            return false;
        }
        let end = Instant::now() + self.drain_max;
        Instant::now() >= *self.end.get_or_insert(end)
    }

    /// Waits until there may be something to do; in the drain, not beyond its end.
    async fn rest(&mut self, pause: Duration) {
        let pause = pause.clamp(Duration::from_millis(1), LOOK_INTERVAL);
        if self.stop.is_cancelled() {
            return tokio::time::sleep(pause).await;
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    async fn attempt(&mut self, entry: &Entry) {
        let answer = self.channel.send(entry).await;
        let answered = Answered {
            number: entry.number,
            answer: answer.clone(),
            at_us: now_us(),
            chance: rand::random(),
            pace_ms: self.channel.pace_ms(),
        };
        // What was answered must not be forgotten, or it would be sent again.
        while let Err(error) = self.outbox.answered(&self.name, answered.clone()).await {
            self.met(&error.to_string());
            if self.is_over() {
                break;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let code = answer.code().unwrap_or_default();
        match &answer {
            Answer::Taken => self.over(),
            Answer::Away { why } | Answer::Later { why, .. } | Answer::Unknown { why } => {
                self.met(&format!("{code}: {why}"));
            }
            Answer::Refused { why } => error!(
                channel = &*self.name,
                message = &*entry.id,
                "{code}: the channel refused a message: {why}; it is kept: keylane notify outbox"
            ),
        }
    }

    /// Logged once for each trouble, not for each attempt.
    fn met(&mut self, why: &str) {
        if self.trouble.as_deref() != Some(why) {
            warn!(
                channel = &*self.name,
                "messages wait, and are sent again by themselves: {why}"
            );
            self.trouble = Some(why.to_owned());
        }
    }

    fn over(&mut self) {
        if self.trouble.take().is_some() {
            info!(channel = &*self.name, "the channel takes messages again");
        }
    }
}
