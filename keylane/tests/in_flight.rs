//! A capturer in front of a log that is held up: it holds no more than it may, waits, and goes on where it was.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keylane::embedded::{EmbeddedLog, EmbeddedOptions};
use keylane::envelope::Connector;
use keylane::sqlite::capture::{SqliteOrigin, SqliteOriginOptions};
use keylane::workers::capture::{
    CaptureSettings, Layout, OriginHints, SessionSource, run, share_in_flight,
};
use keylane::workers::stats::CaptureStats;
use keylane_core::capture::{Origin, OriginError};
use keylane_core::publish::{Log, LogError};
use keylane_parts::wait_until;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);
const IN_FLIGHT_BYTES: usize = 1 << 20;
const ROWS: u64 = 4000;

struct Source {
    origin: PathBuf,
    log: Arc<EmbeddedLog>,
    log_bytes: usize,
}

#[async_trait]
impl SessionSource for Source {
    async fn origin(&self, hints: OriginHints) -> Result<Box<dyn Origin>, OriginError> {
        let options = SqliteOriginOptions {
            expected_identity: hints.identity,
            ..SqliteOriginOptions::at(&self.origin)
        };
        Ok(Box::new(SqliteOrigin::connect(options).await?))
    }

    async fn log(&self) -> Result<Arc<dyn Log>, LogError> {
        Ok(Arc::new(self.log.writer(self.log_bytes)))
    }
}

fn settings(batch_bytes: usize) -> CaptureSettings {
    CaptureSettings {
        pipeline: "shop".into(),
        prefix: "shop".into(),
        connector: Connector::Sqlite,
        database: "origin.db".into(),
        partitions: 2,
        layout: Layout::default(),
        replication_factor: 1,
        topic_settings: Vec::new(),
        snapshot: true,
        chunk_rows: 1000,
        batch_bytes,
        outbox: None,
        batches_in_flight_max: 4096,
        marker_interval: Duration::from_millis(100),
        // A capturer that waits for its checkpoint to be durable reads nothing either.
        checkpoint_interval: Duration::from_secs(3600),
        write_set_entries_max: 10_000,
        tombstones: false,
        backoff: (Duration::from_millis(10), Duration::from_millis(100)),
    }
}

fn waited(what: &str, condition: impl FnMut() -> bool) {
    let mut condition = condition;
    tokio::task::block_in_place(|| wait_until(what, PATIENCE, || Ok(condition()))).expect(what);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capturer_waits_for_a_log_that_is_held_up_within_its_bytes_and_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (origin, log) = (
        folder.path().join("origin.db"),
        folder.path().join("log.db"),
    );
    let shop = rusqlite::Connection::open(&origin).expect("opened");
    shop.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        .expect("made");
    let opened = EmbeddedLog::open(EmbeddedOptions::at(&log)).await;
    let (batch_bytes, log_bytes) = share_in_flight(IN_FLIGHT_BYTES, 64 << 10);
    let source = Source {
        origin,
        log: Arc::new(opened.expect("opened")),
        log_bytes,
    };
    let (stats, stop) = (Arc::new(CaptureStats::default()), CancellationToken::new());
    let capturing = {
        let (stats, stop) = (stats.clone(), stop.clone());
        tokio::spawn(async move { run(&source, &settings(batch_bytes), &stats, &stop).await })
    };
    waited("the capturer to stream", || {
        stats.state.get().0 == "streaming"
    });

    // The table's shape is in the log before its first change; what comes now are changes only.
    shop.execute_batch("INSERT INTO t VALUES (-1, '')")
        .expect("written");
    waited("the first change to be published", || {
        stats.published.get() == 1
    });

    let holder = rusqlite::Connection::open(&log).expect("opened");
    holder.busy_timeout(PATIENCE).expect("patient");
    holder.execute_batch("BEGIN IMMEDIATE").expect("held");
    for id in 0..ROWS {
        let row = (id, "x".repeat(1000));
        shop.execute("INSERT INTO t VALUES (?1, ?2)", row)
            .expect("the origin never waits");
    }
    let (mut before, mut same, mut most) = (0, 0, 0);
    waited("the capturer to wait", || {
        let captured = stats.captured.get();
        same = if captured == before { same + 1 } else { 0 };
        before = captured;
        most = most.max(stats.in_flight_bytes.get());
        captured > 1 && same > 20
    });
    assert!(before < ROWS, "all {before} were read");
    assert!(most > IN_FLIGHT_BYTES as u64 / 2, "{most} bytes in flight");
    assert!(most <= IN_FLIGHT_BYTES as u64, "{most} bytes in flight");
    assert_eq!(stats.state.get().0, "streaming");

    holder.execute_batch("ROLLBACK").expect("released");
    waited("all to be published", || stats.published.get() == ROWS + 1);
    assert_eq!(stats.sessions.get(), 1, "to wait is no failure");
    stop.cancel();
    capturing.await.expect("ended").expect("well");
}
