//! A process that hangs in the midst of a transaction while another takes its partitions over.

use std::path::Path;
use std::time::Duration;

use keylane::consumer::{Record, Transaction};
use keylane_parts::{Signal, send_signal};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, count_up, job, note, of_job, until};
use crate::consumer_bed::key_of;

const KEYS: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_stays_in_its_transactions() {
    let Some(job) = job() else { return };
    let (consumer, progress) = of_job(&job);
    let folder = Path::new(job.last().expect("a folder"));
    let handler = async |record: Record, transaction: &Transaction| {
        let _told = Ended(folder);
        count_up(&record, transaction).await?;
        while !folder.join("go").exists() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        note(&record, transaction).await
    };
    let running = consumer.run_in_transactions(progress, CancellationToken::new(), handler);
    running.await.expect("it runs until it is killed");
}

/// Tells that a handler has ended, or was dropped.
struct Ended<'a>(&'a Path);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        std::fs::write(self.0.join("ended"), "").expect("written");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_wakes_after_its_session_writes_nothing() {
    let Some(bed) = Bed::new("consumer-zombie", 2).await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let test = "consumer_transactions::zombie::child_that_stays_in_its_transactions";
    let mut zombie = bed.child(test, folder.path().to_str().expect("a text"));
    bed.topic.fill(0..120, 2, |number| number % KEYS).await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE '%counters%'";
    until("open transactions", 1, || bed.number(open) >= 4).await;
    send_signal(zombie.id(), Signal::Stop).expect("stopped");
    // Its partitions are another's when its session is over; its transactions are waited for, until the server ends them.
    let counting = bed.counting(bed.topic.consumer());
    until("all records", 1, || bed.audited() == 120).await;
    bed.assert_exact(120, KEYS as i64);
    assert!(!folder.path().join("ended").exists());
    std::fs::write(folder.path().join("go"), "").expect("written");
    send_signal(zombie.id(), Signal::Continue).expect("woken");
    let ended = folder.path().join("ended");
    until("the zombie's handlers to end", 1, || ended.exists()).await;
    // It is a member again in time, and what is new is shared.
    bed.topic.fill(120..240, 2, |number| number % KEYS).await;
    until("what is new", 1, || bed.audited() >= 240).await;
    bed.assert_exact(240, KEYS as i64);
    zombie.kill().expect("killed");
    zombie.wait().expect("reaped");
    counting.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_fails_at_first() {
    let Some(job) = job() else { return };
    let (consumer, progress) = of_job(&job);
    let folder = Path::new(job.last().expect("a folder"));
    let pause = Duration::from_secs(4);
    let handler = async |record: Record, transaction: &Transaction| {
        if record.attempts == 0 {
            std::fs::write(folder.join(key_of(&record)), "").expect("written");
            return Err("not yet".to_owned());
        }
        let words = |error: tokio_postgres::Error| error.to_string();
        count_up(&record, transaction).await.map_err(words)?;
        note(&record, transaction).await.map_err(words)
    };
    let consumer = consumer.backoff(pause, pause);
    let running = consumer.run_in_transactions(progress, CancellationToken::new(), handler);
    running.await.expect("it runs until it is killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_wakes_between_two_attempts_is_fenced_before_it_writes() {
    let Some(bed) = Bed::new("consumer-wakes", 2).await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let test = "consumer_transactions::zombie::child_that_fails_at_first";
    let mut zombie = bed.child(test, folder.path().to_str().expect("a text"));
    bed.topic.fill(0..120, 2, |number| number % KEYS).await;
    let failed = || std::fs::read_dir(folder.path()).expect("a folder").count();
    until("several first attempts", 1, || failed() > 3).await;
    // Connections are there, transactions are not: what goes on in them when it wakes is begun under the old number.
    send_signal(zombie.id(), Signal::Stop).expect("stopped");
    let counting = bed.counting(bed.topic.consumer());
    until("all records", 1, || bed.audited() == 120).await;
    send_signal(zombie.id(), Signal::Continue).expect("woken");
    bed.topic.fill(120..240, 2, |number| number % KEYS).await;
    until("what is new", 2, || bed.audited() >= 240).await;
    bed.assert_exact(240, KEYS as i64);
    zombie.kill().expect("killed");
    zombie.wait().expect("reaped");
    counting.stopped().await;
}
