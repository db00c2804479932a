//! What is asked for.

use std::sync::Arc;
use std::time::Duration;

use keylane_core::consume::{Batch, KeepOrder};
use keylane_core::publish::{GroupProtocol, GroupSettings};

use super::stats::ConsumerStats;
use crate::embedded::EmbeddedOptions;
use crate::kafka::KafkaSettings;
use crate::log_settings::LogSettings;

/// Where a group begins that has committed nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record that is there.
    #[default]
    Earliest,
    /// Behind the newest.
    Latest,
}

/// What is done if the topic no longer holds what the group has not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGap {
    /// The consumer stops, and says so.
    #[default]
    Stop,
    /// It says so, and goes on at the oldest record that is there.
    GoOn,
}

/// What is done with a record after its last attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exhausted {
    Stop,
    Skip,
    DeadLetter(Arc<str>),
}

/// A consumer that is not running yet. See the [module](super).
#[derive(Clone, Debug)]
pub struct Consumer {
    pub(super) log: LogSettings,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) group: GroupSettings,
    pub(super) order: KeepOrder,
    pub(super) batch: Batch,
    pub(super) concurrency: usize,
    pub(super) start: StartAt,
    pub(super) on_gap: OnGap,
    /// `None`: for ever.
    pub(super) attempts_max: Option<u32>,
    pub(super) backoff: (Duration, Duration),
    pub(super) exhausted: Exhausted,
    pub(super) attempt_max: Option<Duration>,
    pub(super) buffer_bytes: usize,
    pub(super) commit_interval: Duration,
    pub(super) drain_max: Duration,
    pub(super) stats: Arc<ConsumerStats>,
}

impl Consumer {
    /// A member of `group` at the cluster at `bootstrap`.
    pub fn kafka(bootstrap: impl Into<String>, group: impl Into<String>) -> Self {
        Consumer::new(KafkaSettings::new(bootstrap), group)
    }

    /// A member of `group` over an embedded log, by its file. A topic that is not there yet is read once it is. One process of a group has all partitions, the one that joined last; the others
    /// stand by, and one of them goes on once that one has left or gave no sign of life for [`Consumer::session_timeout`].
    pub fn embedded(options: EmbeddedOptions, group: impl Into<String>) -> Self {
        Consumer::new(options, group)
    }

    /// A member of `group`, with all that can be said of the cluster, or of the embedded log.
    pub fn new(log: impl Into<LogSettings>, group: impl Into<String>) -> Self {
        Consumer {
            log: log.into(),
            topics: Vec::new(),
            group: GroupSettings {
                name: group.into(),
                protocol: GroupProtocol::Classic,
                session_timeout_ms: 10_000,
                instance_id: None,
            },
            order: KeepOrder::Key,
            batch: Batch::Single,
            concurrency: 100,
            start: StartAt::Earliest,
            on_gap: OnGap::Stop,
            attempts_max: None,
            backoff: (Duration::from_millis(100), Duration::from_secs(30)),
            exhausted: Exhausted::Stop,
            attempt_max: None,
            buffer_bytes: 48 << 20,
            commit_interval: Duration::from_secs(1),
            drain_max: Duration::from_secs(20),
            stats: Arc::default(),
        }
    }

    /// Reads this topic too.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// What keeps its order; by default the records of one key.
    #[must_use]
    pub fn order(mut self, order: KeepOrder) -> Self {
        self.order = order;
        self
    }

    /// Handlers in progress at most; 100 by default. It has nothing to do with the number of partitions or threads. [`ConsumerStats::set_concurrency`] changes it while it runs.
    #[must_use]
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers.max(1);
        self
    }

    /// Records begun in a second at most, over all of this consumer's keys and partitions, each attempt counted; evenly, and after a pause `burst` at once. Without it, as many as handlers take.
    /// A burst of less than 20 ms of the rate counts as that much, because that is how finely a consumer keeps time. [`ConsumerStats::set_rate`] changes it while it runs.
    #[must_use]
    pub fn rate(self, per_second: f64, burst: u32) -> Self {
        self.stats.set_rate(Some((per_second, burst)));
        self
    }

    /// How the members of the group agree; by default as every Kafka can. The embedded log has one way of its own.
    #[must_use]
    pub fn protocol(mut self, protocol: GroupProtocol) -> Self {
        self.group.protocol = protocol;
        self
    }

    /// After how long without a sign of life the partitions are given to others; 10 s by default.
    #[must_use]
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.group.session_timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        self
    }

    /// A name of this process that stays over restarts, another one for each (Kafka).
    #[must_use]
    pub fn instance_id(mut self, name: impl Into<String>) -> Self {
        self.group.instance_id = Some(name.into());
        self
    }

    /// Where a group begins that has committed nothing; by default at the oldest record.
    #[must_use]
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.start = start;
        self
    }

    /// What is done if the topic no longer holds what the group has not done; by default the consumer stops.
    #[must_use]
    pub fn on_gap(mut self, on_gap: OnGap) -> Self {
        self.on_gap = on_gap;
        self
    }

    /// How often a record is tried at most; by default for ever. What then: [`Consumer::dead_letter`], [`Consumer::skip`], or the consumer stops.
    #[must_use]
    pub fn attempts(mut self, attempts_max: u32) -> Self {
        self.attempts_max = Some(attempts_max.max(1));
        self
    }

    /// The pause before the second attempt, doubled for each further one, and the longest; each spread by a random part. 100 ms and 30 s by default.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest.max(first));
        self
    }

    /// After the last attempt a record goes to this topic, which must be there (in an embedded log it is made), with headers that say where it was and what went wrong; its key goes on.
    #[must_use]
    pub fn dead_letter(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.exhausted = Exhausted::DeadLetter(topic.into());
        self
    }

    /// After the last attempt a record is logged, counted and passed over; its key goes on.
    #[must_use]
    pub fn skip(mut self) -> Self {
        self.exhausted = Exhausted::Skip;
        self
    }

    /// How long one attempt may take; then it is dropped and counts as failed. By default as long as it likes.
    #[must_use]
    pub fn attempt_timeout(mut self, longest: Duration) -> Self {
        self.attempt_max = Some(longest);
        self
    }

    /// Bytes fetched and not done at most, over all partitions, the client library's own queues included; 48 MiB by default.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// How often progress is committed; 1 s by default. What was done since is handled again after a crash.
    #[must_use]
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// How long handlers in progress may take at the end, or when their partition is given up; then they are dropped. 20 s by default.
    #[must_use]
    pub fn drain_timeout(mut self, longest: Duration) -> Self {
        self.drain_max = longest;
        self
    }

    /// What it does, to be read while it runs; and the switches that pause it, and change its concurrency and rate.
    pub fn stats(&self) -> Arc<ConsumerStats> {
        self.stats.clone()
    }
}
