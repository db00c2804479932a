//! A topic to consume, of Kafka or of an embedded log, and consumers that note what they see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use keylane::LogSettings;
use keylane::consumer::{Consumer, ConsumerError, Record};
use keylane::embedded::EmbeddedOptions;
use keylane::kafka::KafkaSettings;
use keylane_core::model::TopicPartition;
use keylane_core::publish::{Log, NewRecord, TopicSpec};
use keylane_parts::KafkaHandle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long any awaited thing may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) settings: LogSettings,
    pub(crate) log: Arc<dyn Log>,
    /// That of an embedded log.
    folder: Option<Arc<tempfile::TempDir>>,
}

impl Topic {
    /// A topic of this name in Kafka; `None` where there is none.
    pub(crate) async fn new(name: &'static str, partitions: u32) -> Option<Topic> {
        if keylane_parts::quick() {
            eprintln!("left out: needs Kafka");
            return None;
        }
        let bootstrap = KafkaHandle::shared().expect("Kafka").bootstrap();
        let settings = KafkaSettings::new(bootstrap).into();
        Some(Topic::of(settings, None, name, partitions).await)
    }

    /// The same in an embedded log of its own.
    pub(crate) async fn embedded(name: &'static str, partitions: u32) -> Topic {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let settings = EmbeddedOptions::at(folder.path().join("log.db")).into();
        Topic::of(settings, Some(folder), name, partitions).await
    }

    /// A topic of each kind of log that there is.
    pub(crate) async fn of_each_log(name: &'static str, partitions: u32) -> Vec<Topic> {
        let mut topics = vec![Topic::embedded(name, partitions).await];
        topics.extend(Topic::new(name, partitions).await);
        topics
    }

    /// Another topic of the same log.
    pub(crate) async fn beside(&self, name: &'static str, partitions: u32) -> Topic {
        Topic::of(self.settings.clone(), self.folder.clone(), name, partitions).await
    }

    async fn of(
        settings: LogSettings,
        folder: Option<Arc<tempfile::TempDir>>,
        name: &'static str,
        partitions: u32,
    ) -> Topic {
        // Of one run, where the broker outlives it.
        let name: &'static str =
            Box::leak(format!("{name}-{}", std::process::id()).into_boxed_str());
        let log = settings.open().await.expect("a log");
        let spec = TopicSpec {
            name: name.into(),
            partitions,
            replication_factor: 1,
            settings: Vec::new(),
        };
        log.ensure_topics(&[spec]).await.expect("a topic");
        Topic {
            name,
            settings,
            log,
            folder,
        }
    }

    /// Where the cluster is.
    pub(crate) fn bootstrap(&self) -> &str {
        match &self.settings {
            LogSettings::Kafka(settings) => &settings.bootstrap,
            LogSettings::Embedded(_) => unreachable!("an embedded log has none"),
        }
    }

    /// Records `numbers`, each with the key that `key` says, spread by it over the partitions.
    pub(crate) async fn fill(
        &self,
        numbers: std::ops::Range<u64>,
        partitions: u32,
        key: impl Fn(u64) -> u64,
    ) {
        let record = |number: u64| NewRecord {
            partition: TopicPartition::new(self.name, (key(number) % u64::from(partitions)) as u32),
            key: Some(Bytes::from(key(number).to_string())),
            value: Some(Bytes::from(number.to_string())),
            headers: vec![("kind".into(), Bytes::from_static(b"test"))],
            keylane: String::new(),
            timestamp_ms: now_ms(),
        };
        let ticket = self.log.append(numbers.map(record).collect()).await;
        ticket.expect("taken").await.expect("durable");
    }

    pub(crate) fn consumer(&self) -> Consumer {
        Consumer::new(self.settings.clone(), self.name)
            .topic(self.name)
            .session_timeout(Duration::from_secs(3))
            .commit_interval(Duration::from_millis(100))
            .backoff(Duration::from_millis(5), Duration::from_millis(50))
    }
}

/// Retention goes by it.
pub(crate) fn now_ms() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.expect("a clock that is set").as_millis() as i64
}

/// What handlers were called for, by key, in the order of their ends.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<String, Vec<u64>>>>);

impl Seen {
    pub(crate) fn note(&self, record: &Record) {
        let mut seen = self.0.lock().expect("nobody panics");
        seen.entry(key_of(record))
            .or_default()
            .push(number_of(record));
    }

    pub(crate) fn count(&self) -> usize {
        self.0
            .lock()
            .expect("nobody panics")
            .values()
            .map(Vec::len)
            .sum()
    }

    pub(crate) fn numbers(&self) -> BTreeSet<u64> {
        let seen = self.0.lock().expect("nobody panics");
        seen.values().flatten().copied().collect()
    }

    /// The first time that each number was seen, a key's were in order.
    pub(crate) fn assert_in_order(&self) {
        for (key, numbers) in &*self.0.lock().expect("nobody panics") {
            let mut known = BTreeSet::new();
            let firsts: Vec<u64> = numbers
                .iter()
                .copied()
                .filter(|number| known.insert(*number))
                .collect();
            assert!(firsts.is_sorted(), "key {key}: {firsts:?}");
        }
    }
}

pub(crate) fn key_of(record: &Record) -> String {
    let key = record.key.clone().unwrap_or_default();
    String::from_utf8(key.to_vec()).expect("a text")
}

pub(crate) fn number_of(record: &Record) -> u64 {
    let value = record.value.clone().unwrap_or_default();
    std::str::from_utf8(&value)
        .expect("a text")
        .parse()
        .expect("a number")
}

pub(crate) async fn until(awaited: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "waited in vain for {awaited}");
}

pub(crate) async fn ended(
    running: JoinHandle<Result<(), ConsumerError>>,
) -> Result<(), ConsumerError> {
    let ended = tokio::time::timeout(PATIENCE, running).await;
    ended.expect("it ends in time").expect("it does not panic")
}

/// A consumer that notes what it is given, until it is stopped.
pub(crate) struct Noting {
    pub(crate) seen: Seen,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<Result<(), ConsumerError>>,
}

impl Noting {
    pub(crate) fn by(consumer: Consumer) -> Noting {
        let (seen, stop) = (Seen::default(), CancellationToken::new());
        let noting = seen.clone();
        let running = tokio::spawn(consumer.run(stop.clone(), move |record: Record| {
            noting.note(&record);
            async { Ok::<(), &str>(()) }
        }));
        Noting {
            seen,
            stop,
            running,
        }
    }

    pub(crate) async fn stopped(self) -> Seen {
        self.stop.cancel();
        ended(self.running).await.expect("a clean stop");
        self.seen
    }
}
