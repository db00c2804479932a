//! Counters over kill -9 of their consumers.

use std::process::Child;

use tokio_util::sync::CancellationToken;

use super::bed::{Bed, count, job, of_job, until};

/// Kills by default; `KEYLANE_CONSUMER_KILLS` says how many instead.
const KILLS: u64 = 8;
const KEYS: u64 = 60;
const PARTITIONS: u32 = 4;
/// Records that are new before each kill.
const RECORDS: u64 = 240;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_counts() {
    let Some(job) = job() else { return };
    let (consumer, progress) = of_job(&job);
    let running = consumer.run_in_transactions(progress, CancellationToken::new(), count);
    running.await.expect("it runs until it is killed");
}

fn kill(child: &mut Child) {
    child.kill().expect("killed");
    child.wait().expect("reaped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_takes_effect_once_and_in_its_keys_order_however_often_consumers_are_killed() {
    let Some(bed) = Bed::new("consumer-kills", PARTITIONS).await else {
        return;
    };
    let kills = std::env::var("KEYLANE_CONSUMER_KILLS");
    let kills: u64 = kills.ok().and_then(|it| it.parse().ok()).unwrap_or(KILLS);
    let start = || bed.child("consumer_transactions::kills::child_that_counts", "");
    let mut children = [start(), start()];
    let mut filled = 0;
    for round in 0..kills {
        bed.topic
            .fill(filled..filled + RECORDS, PARTITIONS, |number| number % KEYS)
            .await;
        filled += RECORDS;
        // Each time somewhere else in what is new.
        let wanted = (filled - RECORDS + 1 + round * 37 % RECORDS) as i64;
        until("progress", 1, || bed.audited() >= wanted).await;
        let [first, second] = &mut children;
        let victim = if round % 2 == 0 { first } else { second };
        kill(victim);
        *victim = start();
    }
    until("all records", 2, || bed.audited() >= filled as i64).await;
    bed.assert_exact(filled as i64, KEYS as i64);
    // Who comes when all is done finds nothing to do, though Kafka's own offsets were never waited for.
    for child in &mut children {
        kill(child);
    }
    bed.topic
        .fill(filled..filled + KEYS, PARTITIONS, |number| number % KEYS)
        .await;
    let counting = bed.counting(bed.topic.consumer());
    until("what is new", 1, || bed.audited() >= (filled + KEYS) as i64).await;
    counting.stopped().await;
    bed.assert_exact((filled + KEYS) as i64, KEYS as i64);
}
