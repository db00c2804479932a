//! A topic, a database with counters and an audit, and consumers that count: in this process and in others.

use std::process::{Child, Command, Stdio};

use keylane::consumer::{Consumer, ConsumerError, PostgresProgress, Record, Transaction};
use keylane::postgres::connect::{ConnectOptions, connect};
use keylane_parts::{PostgresHandle, end_with_this_process};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::consumer_bed::{PATIENCE, Topic, ended, key_of, number_of};

const TABLES: &str = "
CREATE TABLE counters (key text PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE audit (id bigserial, key text NOT NULL, partition int NOT NULL, place bigint NOT NULL, number bigint NOT NULL);";

pub(super) struct Bed {
    pub(super) topic: Topic,
    pub(super) url: String,
    client: tokio_postgres::Client,
}

impl Bed {
    /// `None` where there are no parts.
    pub(super) async fn new(name: &'static str, partitions: u32) -> Option<Bed> {
        let topic = Topic::new(name, partitions).await?;
        let server = PostgresHandle::shared_replica().expect("a PostgreSQL");
        let database = name.replace('-', "_");
        server.fresh_database(&database).expect("a database");
        let url = server.url(&database);
        let client = connect(&url, "bed", &ConnectOptions::default()).await;
        let client = client.expect("connected");
        client.batch_execute(TABLES).await.expect("tables");
        Some(Bed { topic, url, client })
    }

    pub(super) fn progress(&self) -> PostgresProgress {
        progress(&self.url)
    }

    /// One number.
    pub(super) fn number(&self, sql: &str) -> i64 {
        let asked = self.client.query_one(sql, &[]);
        let row = tokio::task::block_in_place(|| Handle::current().block_on(asked));
        row.expect(sql).get(0)
    }

    pub(super) fn execute(&self, sql: &str) {
        let asked = self.client.batch_execute(sql);
        tokio::task::block_in_place(|| Handle::current().block_on(asked)).expect(sql);
    }

    pub(super) fn audited(&self) -> i64 {
        self.number("SELECT count(*) FROM audit")
    }

    /// Each of `numbers` records took effect once, each key's in order.
    pub(super) fn assert_exact(&self, records: i64, keys: i64) {
        let once = self.number("SELECT count(DISTINCT (partition, place)) FROM audit");
        assert_eq!((self.audited(), once), (records, records));
        let numbers = self.number(
            "SELECT count(DISTINCT number) FROM audit WHERE number < (SELECT count(*) FROM audit)",
        );
        assert_eq!(numbers, records);
        let broken = self.number(
            "SELECT count(*) FROM (SELECT number, lag(number) OVER (PARTITION BY key ORDER BY id) AS before FROM audit) AS a WHERE before >= number",
        );
        assert_eq!(broken, 0, "records out of their key's order");
        let wrong = self.number(&format!(
            "SELECT count(*) FROM generate_series(0, {keys} - 1) AS k FULL JOIN counters AS c ON c.key = k::text
             WHERE c.n IS DISTINCT FROM (SELECT count(*) FROM generate_series(0, {records} - 1) AS r WHERE r % {keys} = k)"
        ));
        assert_eq!(
            wrong, 0,
            "counters that are not the number of their records"
        );
    }

    /// A consumer in this process that counts.
    pub(super) fn counting(&self, consumer: Consumer) -> Counting {
        let stop = CancellationToken::new();
        let running =
            tokio::spawn(consumer.run_in_transactions(self.progress(), stop.clone(), count));
        Counting { stop, running }
    }

    /// Another process that does, until it is killed.
    pub(super) fn child(&self, test: &str, more: &str) -> Child {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", test, "--nocapture"])
            .env(
                JOB,
                format!(
                    "{} {} {} {more}",
                    self.topic.bootstrap(),
                    self.topic.name,
                    self.url
                ),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        end_with_this_process(&child).expect("guarded");
        child
    }
}

/// What tells a child what to do.
const JOB: &str = "KEYLANE_CONSUMER_JOB";

/// The words of a child's job.
pub(super) fn job() -> Option<Vec<String>> {
    let job = std::env::var(JOB).ok()?;
    Some(job.split_whitespace().map(str::to_owned).collect())
}

/// The consumer of a job, and its database.
pub(super) fn of_job(job: &[String]) -> (Consumer, PostgresProgress) {
    let word = |at: usize| job.get(at).expect("three words at least");
    let (bootstrap, topic, url) = (word(0), word(1), word(2));
    (consumer(bootstrap, topic), progress(url))
}

fn consumer(bootstrap: &str, topic: &str) -> Consumer {
    Consumer::kafka(bootstrap, topic)
        .topic(topic)
        .session_timeout(std::time::Duration::from_secs(3))
        .commit_interval(std::time::Duration::from_millis(100))
        .concurrency(16)
}

fn progress(url: &str) -> PostgresProgress {
    PostgresProgress::new(url)
        .lanes(16)
        .connections(6)
        .idle_timeout(std::time::Duration::from_secs(2))
}

/// Counts a record and notes it.
pub(super) async fn count(
    record: Record,
    transaction: &Transaction,
) -> Result<(), tokio_postgres::Error> {
    count_up(&record, transaction).await?;
    // Work in the midst of the transaction.
    tokio::time::sleep(std::time::Duration::from_micros(
        number_of(&record) * 7919 % 3000,
    ))
    .await;
    note(&record, transaction).await
}

pub(super) async fn count_up(
    record: &Record,
    transaction: &Transaction,
) -> Result<(), tokio_postgres::Error> {
    let sql =
        "INSERT INTO counters VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET n = counters.n + 1";
    transaction.execute(sql, &[&key_of(record)]).await.map(drop)
}

pub(super) async fn note(
    record: &Record,
    transaction: &Transaction,
) -> Result<(), tokio_postgres::Error> {
    let sql = "INSERT INTO audit (key, partition, place, number) VALUES ($1, $2, $3, $4)";
    let (partition, place) = (record.partition as i32, record.offset.0 as i64);
    let number = number_of(record) as i64;
    transaction
        .execute(sql, &[&key_of(record), &partition, &place, &number])
        .await
        .map(drop)
}

pub(super) struct Counting {
    pub(super) stop: CancellationToken,
    pub(super) running: JoinHandle<Result<(), ConsumerError>>,
}

impl Counting {
    pub(super) async fn stopped(self) {
        self.stop.cancel();
        ended(self.running).await.expect("a clean stop");
    }
}

/// Waits until something holds; `PATIENCE` times `patience`.
pub(super) async fn until(awaited: &str, patience: u32, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE * patience, waiting).await;
    assert!(waited.is_ok(), "waited in vain for {awaited}");
}
