//! Several records in one transaction.

use keylane::consumer::{Batch, Record, Transaction};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, count_up, note, until};
use crate::consumer_bed::{Topic, ended, number_of};

/// How many records came together is noted beside.
async fn count_all(records: Vec<Record>, transaction: &Transaction) -> Result<(), String> {
    let words = |error: tokio_postgres::Error| error.to_string();
    for record in &records {
        count_up(record, transaction).await.map_err(words)?;
        note(record, transaction).await.map_err(words)?;
    }
    let sql = "INSERT INTO sizes VALUES ($1)";
    let size = records.len() as i64;
    transaction.execute(sql, &[&size]).await.map_err(words)?;
    match records.iter().any(|record| number_of(record) == 17) {
        true => Err("bad record".to_owned()),
        false => Ok(()),
    }
}

async fn check(name: &'static str, dead: &'static str, batch: Batch, keys: u64) {
    let Some(bed) = Bed::new(name, 2).await else {
        return;
    };
    bed.execute("CREATE TABLE sizes (n bigint)");
    let dead = Topic::new(dead, 1).await.expect("a topic");
    bed.topic.fill(0..600, 2, |number| number % keys).await;
    let consumer = bed.topic.consumer().attempts(2).dead_letter(dead.name);
    let stats = consumer.stats();
    let stop = CancellationToken::new();
    let progress = bed.progress();
    let running = consumer.run_batches_in_transactions(batch, progress, stop.clone(), count_all);
    let running = tokio::spawn(running);
    until("all but one", 1, || bed.audited() == 599).await;
    until("all to be known as done", 1, || {
        stats.handled.get() + stats.dead_lettered.get() == 600
    })
    .await;
    stop.cancel();
    ended(running).await.expect("a clean stop");
    // Of the bad record alone it is said that it failed, as often as it may.
    assert_eq!((stats.dead_lettered.get(), stats.failed.get()), (1, 2));
    // None, if it came alone at once.
    let apart = stats.batches_apart.get();
    assert!(apart <= 1, "{apart} batches failed");
    assert_eq!(
        bed.number("SELECT count(*) FROM audit WHERE number = 17"),
        0
    );
    let broken = "SELECT count(*) FROM (SELECT number, lag(number) OVER (PARTITION BY key ORDER BY id) AS before FROM audit) AS a WHERE before >= number";
    assert_eq!(bed.number(broken), 0);
    assert_eq!(bed.number("SELECT sum(n)::bigint FROM counters"), 599);
    assert_eq!(bed.number("SELECT sum(n)::bigint FROM sizes"), 599);
    let transactions = bed.number("SELECT count(*) FROM sizes");
    assert!(
        transactions < 500,
        "{transactions} transactions for 600 records"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_one_key_that_fails_is_tried_record_by_record_and_only_the_bad_one_is_put_aside()
{
    check(
        "consumer-batches",
        "consumer-batches-dead",
        Batch::OfOneKey(10),
        4,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_distinct_keys_that_fails_is_tried_record_by_record_too() {
    let (name, dead) = ("consumer-distinct", "consumer-distinct-dead");
    check(name, dead, Batch::OfDistinctKeys(8), 60).await;
}
