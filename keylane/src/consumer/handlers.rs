//! What a handler may be: a function of a record or of several, or of these and the transaction in which their progress is committed.

use std::fmt::Display;

use keylane_core::consume::{Batch, KeepOrder};
use smallvec::SmallVec;
use tokio_util::sync::CancellationToken;

use super::error::ConsumerError;
use super::record::Record;
use super::run;
use super::settings::{Consumer, OnGap};
use super::transaction::{self, Transaction};
use super::work::{Todo, attempt, only};
use crate::log_settings::LogSettings;
use crate::postgres::consume::PostgresProgress;

impl Consumer {
    /// Handles records until told to stop, then lets handlers in progress end, commits and leaves the group.
    ///
    /// A handler that returns an error, or panics, is called again for the same record after a pause. Handlers run side by side on one task: what computes for long goes to a
    /// thread of its own (`tokio::task::spawn_blocking`). A handler that is dropped in the middle (its partition is given up, or it takes too long) stops at its next `await`.
    ///
    /// # Errors
    /// What only a person can help with: rights, a topic that is not there, records that are gone, and a record's last attempt if nothing else is said about it.
    pub async fn run<H, F, E>(
        self,
        stop: CancellationToken,
        handler: H,
    ) -> Result<(), ConsumerError>
    where
        H: Fn(Record) -> F + Send + Sync,
        F: Future<Output = Result<(), E>> + Send,
        E: Display + Send,
    {
        let longest = self.attempt_max;
        let handler = |records| handler(only(records));
        let begin = |todo: Todo| attempt(&handler, todo, longest);
        run::run(self, None, stop, begin).await
    }

    /// As [`Consumer::run`], with several records at once: those that are there, up to the number that the batch says; none is waited for. [`Consumer::concurrency`] counts batches.
    ///
    /// [`Batch::OfOneKey`] are records of one key that follow each other, in their order: for effects of which the last counts, or that are added up. [`Batch::OfDistinctKeys`] are records of one
    /// partition, each of another key: for what takes many at once, in any order.
    ///
    /// A batch is done if its handler succeeds. If it fails, is dropped or panics, each of its records is tried alone, as a batch of one, and only what fails then counts as an attempt: a bad
    /// record is found, and none is blamed for another. So with batches a handler is at least once for records of a batch that failed half way, too.
    ///
    /// # Errors
    /// As [`Consumer::run`].
    pub async fn run_batches<H, F, E>(
        mut self,
        batch: Batch,
        stop: CancellationToken,
        handler: H,
    ) -> Result<(), ConsumerError>
    where
        H: Fn(Vec<Record>) -> F + Send + Sync,
        F: Future<Output = Result<(), E>> + Send,
        E: Display + Send,
    {
        self.batch = batch;
        let longest = self.attempt_max;
        let handler = |records: SmallVec<_>| handler(records.into_vec());
        let begin = |todo: Todo| attempt(&handler, todo, longest);
        run::run(self, None, stop, begin).await
    }

    /// As [`Consumer::run`], with an effect that takes place exactly once: the handler gets the transaction in which the record's progress is committed, so that what it writes there
    /// and the progress are there together, or neither. No crash, no other process that believes to have the same partition, and no answer that is lost changes that.
    ///
    /// What the handler does elsewhere (a mail, a request) takes place at least once, as with [`Consumer::run`]; and so does a dead letter, which goes to its topic before the progress of the
    /// record is committed.
    ///
    /// The database decides where the group goes on; what Kafka is told is for tools that show its lag. How it holds: each partition has a fixed number of lanes
    /// ([`PostgresProgress::lanes`]), a record's lane follows from its key, and each lane has a row with its next offset and its owner's number. A process that takes a partition over first
    /// raises that number, then reads. Each transaction begins with the step of its lane from offset to offset under that number: who does not find both writes nothing. Records of a lane go
    /// one after another, of different lanes side by side. (Kafka's own documentation names the idea: store the offset with the result.)
    ///
    /// Handlers are `async` closures with two arguments, or functions:
    /// ```no_run
    /// # use keylane::consumer::{Consumer, PostgresProgress, Record, Transaction};
    /// # use tokio_util::sync::CancellationToken;
    /// # async fn count() -> Result<(), Box<dyn std::error::Error>> {
    /// Consumer::kafka("127.0.0.1:9092", "counters")
    ///     .topic("orders")
    ///     .run_in_transactions(
    ///         PostgresProgress::new("postgres://app@127.0.0.1/shop"),
    ///         CancellationToken::new(),
    ///         async |record: Record, transaction: &Transaction| {
    ///             let sql = "INSERT INTO counters VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET n = counters.n + 1";
    ///             transaction.execute(sql, &[&record.key.as_deref()]).await.map(drop)
    ///         },
    ///     )
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::run`]; and if the database refuses (KL-CONSUME-005), the topic or the number of lanes is not what it was (KL-CONSUME-006), or settings contradict it (KL-CONSUME-007):
    /// another order than [`KeepOrder::Key`] (for that of the partition there is one lane), [`OnGap::GoOn`] (no offset is set anew by itself), an embedded log.
    pub async fn run_in_transactions<H, E>(
        self,
        progress: PostgresProgress,
        stop: CancellationToken,
        handler: H,
    ) -> Result<(), ConsumerError>
    where
        H: AsyncFn(Record, &Transaction) -> Result<(), E>,
        E: Display,
    {
        let (consumer, store) = self.in_transactions(progress)?;
        let longest = consumer.attempt_max;
        let begin = |todo: Todo| transaction::attempt(&handler, &store, todo, longest);
        run::run(consumer, Some(store.clone()), stop, begin).await
    }

    /// As [`Consumer::run_in_transactions`], with several records in one transaction: see [`Consumer::run_batches`]. A batch that fails is rolled back whole, then each of its records has a
    /// transaction of its own.
    ///
    /// [`Batch::OfDistinctKeys`] makes one commit out of many, which is what most transactions cost; it takes one record of each lane at most.
    ///
    /// # Errors
    /// As [`Consumer::run_in_transactions`].
    pub async fn run_batches_in_transactions<H, E>(
        mut self,
        batch: Batch,
        progress: PostgresProgress,
        stop: CancellationToken,
        handler: H,
    ) -> Result<(), ConsumerError>
    where
        H: AsyncFn(Vec<Record>, &Transaction) -> Result<(), E>,
        E: Display,
    {
        self.batch = batch;
        let (consumer, store) = self.in_transactions(progress)?;
        let longest = consumer.attempt_max;
        let begin = |todo: Todo| transaction::attempt_batch(&handler, &store, todo, longest);
        run::run(consumer, Some(store.clone()), stop, begin).await
    }

    /// Settings as they are with transactions.
    fn in_transactions(
        mut self,
        progress: PostgresProgress,
    ) -> Result<(Self, PostgresProgress), ConsumerError> {
        if self.order != KeepOrder::Key {
            let words = "in transactions, order is that of keys; for a partition's order, let it have one lane";
            return Err(ConsumerError::Misused(words.to_owned()));
        }
        if matches!(self.log, LogSettings::Embedded(_)) {
            let words = "in transactions, records come from Kafka: over an embedded log, run without them and tell repeats by the record's id";
            return Err(ConsumerError::Misused(words.to_owned()));
        }
        if self.on_gap == OnGap::GoOn {
            let words = "in transactions, no offset is set anew by itself: leave on_gap out";
            return Err(ConsumerError::Misused(words.to_owned()));
        }
        self.concurrency = self.concurrency.min(progress.connections);
        let store = progress.of_group(&self.group.name);
        Ok((self, store))
    }
}
