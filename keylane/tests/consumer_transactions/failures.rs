//! Records that cannot be handled, and handlers that do what they must not.

use std::time::Duration;

use keylane::consumer::{Record, Transaction};
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, count_up, note, until};
use crate::consumer_bed::{Topic, ended, number_of};

/// 7 is refused by the database, 8 by the handler, of 9 a failure is passed over, 10 hangs at first; what they wrote before must not stay.
async fn choosy(record: Record, transaction: &Transaction) -> Result<(), String> {
    let words = |error: tokio_postgres::Error| error.to_string();
    count_up(&record, transaction).await.map_err(words)?;
    match number_of(&record) {
        7 => transaction
            .execute("SELECT 1 / 0", &[])
            .await
            .map(drop)
            .map_err(words)?,
        8 => return Err("bad record".to_owned()),
        9 => drop(transaction.execute("SELECT 1 / 0", &[]).await),
        10 if record.attempts == 0 => std::future::pending().await,
        _ => {}
    }
    note(&record, transaction).await.ok();
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_attempt_wrote_is_rolled_back_and_dead_letters_and_skips_move_the_progress() {
    let Some(bed) = Bed::new("consumer-choosy", 1).await else {
        return;
    };
    let dead = Topic::new("consumer-choosy-dead", 1)
        .await
        .expect("a topic");
    bed.topic.fill(0..20, 1, |_| 0).await;
    let consumer = || {
        let consumer = bed.topic.consumer().attempts(2);
        consumer.attempt_timeout(Duration::from_secs(1))
    };
    let stop = CancellationToken::new();
    let buries = consumer().dead_letter(dead.name);
    let stats = buries.stats();
    let running = buries.run_in_transactions(bed.progress(), stop.clone(), choosy);
    let running = tokio::spawn(running);
    until("all but three", 1, || bed.audited() == 17).await;
    until("three letters", 1, || stats.dead_lettered.get() == 3).await;
    stop.cancel();
    ended(running).await.expect("a clean stop");
    assert_eq!(bed.number("SELECT n FROM counters"), 17);
    assert_eq!((stats.failed.get(), stats.timed_out.get()), (7, 1));
    // Who comes next finds them done: passed over, they are not handled again.
    bed.topic.fill(20..22, 1, |_| 0).await;
    bed.topic.fill(8..9, 1, |_| 0).await;
    let stop = CancellationToken::new();
    let skips = consumer().skip();
    let stats = skips.stats();
    let running = tokio::spawn(skips.run_in_transactions(bed.progress(), stop.clone(), choosy));
    until("one to be passed over", 1, || stats.skipped.get() == 1).await;
    stop.cancel();
    ended(running).await.expect("a clean stop");
    assert_eq!(
        (stats.handled.get(), stats.failed.get(), bed.audited()),
        (2, 2, 19)
    );
    let low = "SELECT max(next_offset) FROM keylane.consumer_progress WHERE lane >= 0";
    assert_eq!(bed.number(low), 23);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_ends_its_transaction_ends_the_consumer() {
    let Some(bed) = Bed::new("consumer-ends", 1).await else {
        return;
    };
    bed.topic.fill(0..1, 1, |_| 0).await;
    let handler =
        async |_: Record, transaction: &Transaction| transaction.batch_execute("COMMIT").await;
    let running =
        bed.topic
            .consumer()
            .run_in_transactions(bed.progress(), CancellationToken::new(), handler);
    let error = ended(tokio::spawn(running)).await.expect_err("it ends");
    assert!(
        error
            .to_string()
            .starts_with("KL-CONSUME-007: the handler ended"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_closes_all_connections_costs_no_attempt() {
    let Some(bed) = Bed::new("consumer-closing", 2).await else {
        return;
    };
    bed.topic.fill(0..900, 2, |number| number % 30).await;
    let consumer = bed.topic.consumer().attempts(1);
    let stats = consumer.stats();
    let counting = bed.counting(consumer);
    for wanted in [100, 300, 500] {
        until("progress", 1, || bed.audited() >= wanted).await;
        bed.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'keylane consumer'");
    }
    until("all records", 1, || bed.audited() >= 900).await;
    until("all to be known as done", 1, || stats.handled.get() >= 900).await;
    counting.stopped().await;
    bed.assert_exact(900, 30);
    assert_eq!(stats.failed.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_fenced_by_a_process_that_the_group_does_not_name_takes_over_again() {
    let Some(bed) = Bed::new("consumer-fenced", 2).await else {
        return;
    };
    bed.topic.fill(0..900, 2, |number| number % 30).await;
    let consumer = bed.topic.consumer().attempts(1);
    let stats = consumer.stats();
    let counting = bed.counting(consumer);
    for wanted in [100, 300, 500] {
        until("progress", 1, || bed.audited() >= wanted).await;
        let fenced = stats.fenced.get();
        bed.execute("UPDATE keylane.consumer_progress SET owner_epoch = owner_epoch + 1");
        until("it to notice", 1, || stats.fenced.get() > fenced).await;
    }
    until("all records", 1, || bed.audited() >= 900).await;
    counting.stopped().await;
    bed.assert_exact(900, 30);
    assert_eq!(stats.failed.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_restored_from_an_older_backup_gets_what_it_lost_again() {
    let Some(bed) = Bed::new("consumer-restored", 2).await else {
        return;
    };
    const TABLES: [&str; 3] = ["keylane.consumer_progress", "counters", "audit"];
    let alone = |change: fn(&str) -> String| {
        let locked = TABLES.map(|table| format!("LOCK TABLE {table} IN EXCLUSIVE MODE;"));
        let changes = TABLES.map(change);
        let (locked, changes) = (locked.concat(), changes.concat());
        // Where both wait for each other the consumer is told, who tries again.
        bed.execute(&format!(
            "BEGIN; SET LOCAL deadlock_timeout = '1min'; {locked} {changes} COMMIT"
        ));
    };
    fn backup(table: &str) -> String {
        format!("backup_{}", table.replace('.', "_"))
    }
    bed.topic.fill(0..600, 2, |number| number % 30).await;
    let consumer = bed.topic.consumer().attempts(1);
    let stats = consumer.stats();
    let counting = bed.counting(consumer);
    until("progress", 1, || bed.audited() >= 300).await;
    alone(|table| {
        format!(
            "CREATE TABLE backup_{} AS TABLE {table};",
            table.replace('.', "_")
        )
    });
    bed.topic.fill(600..900, 2, |number| number % 30).await;
    until("all records", 1, || bed.audited() >= 900).await;
    until("all to be known as done", 1, || stats.handled.get() >= 900).await;
    alone(|table| {
        let backup = backup(table);
        format!("DELETE FROM {table}; INSERT INTO {table} TABLE {backup};")
    });
    assert!(bed.number(&format!("SELECT count(*) FROM {}", backup("audit"))) <= 600);
    // What is saved next tells, and what was handled since comes again.
    bed.topic.fill(900..930, 2, |number| number % 30).await;
    until("what was lost and what is new", 1, || bed.audited() >= 930).await;
    counting.stopped().await;
    bed.assert_exact(930, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_owner_did_between_two_attempts_is_not_done_again() {
    let Some(bed) = Bed::new("consumer-between", 1).await else {
        return;
    };
    bed.topic.fill(0..1, 1, |number| number).await;
    let handler = async |record: Record, transaction: &Transaction| {
        let words = |error: tokio_postgres::Error| error.to_string();
        count_up(&record, transaction).await.map_err(words)?;
        note(&record, transaction).await.map_err(words)?;
        match record.attempts {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    };
    let consumer = bed.topic.consumer();
    let consumer = consumer.backoff(Duration::from_secs(2), Duration::from_secs(2));
    let (stats, stop) = (consumer.stats(), CancellationToken::new());
    let running = consumer.run_in_transactions(bed.progress(), stop.clone(), handler);
    let running = tokio::spawn(running);
    until("the first attempt", 1, || stats.failed.get() == 1).await;
    // As an owner does whom nobody here has heard of.
    bed.execute(
        "BEGIN;
         UPDATE keylane.consumer_progress SET owner_epoch = owner_epoch + 1;
         INSERT INTO counters VALUES ('0', 1);
         INSERT INTO audit (key, partition, place, number) VALUES ('0', 0, 0, 0);
         UPDATE keylane.consumer_progress SET next_offset = 1 WHERE lane >= 0;
         COMMIT",
    );
    until("it to notice", 1, || stats.fenced.get() == 1).await;
    until("it to take over", 1, || stats.replays_skipped.get() == 1).await;
    stop.cancel();
    ended(running).await.expect("a clean stop");
    bed.assert_exact(1, 1);
    assert_eq!((stats.handled.get(), stats.failed.get()), (0, 1));
}
