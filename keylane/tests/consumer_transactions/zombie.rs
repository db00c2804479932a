//! A process that hangs in the midst of a transaction while another takes its partitions over.

use std::path::Path;

use keylane::consumer::{Record, Transaction};
use keylane_parts::{Signal, send_signal};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, count_up, job, note, of_job, until};

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
