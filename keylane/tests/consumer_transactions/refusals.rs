//! What must not have changed since the group was here last.

use keylane::consumer::{OnGap, PostgresProgress, StartAt};
use keylane_core::consume::KeepOrder;
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, count, until};
use crate::consumer_bed::ended;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_lanes_another_topic_and_a_gap_are_refused_with_the_way_out() {
    let Some(bed) = Bed::new("consumer-refusals", 1).await else {
        return;
    };
    bed.topic.fill(0..10, 1, |number| number).await;
    let counting = bed.counting(bed.topic.consumer());
    until("all records", 1, || bed.audited() == 10).await;
    counting.stopped().await;
    let refused = async |progress: PostgresProgress| {
        let consumer = bed.topic.consumer();
        let running = consumer.run_in_transactions(progress, CancellationToken::new(), count);
        ended(tokio::spawn(running))
            .await
            .expect_err("refused")
            .to_string()
    };
    let way_out = format!(
        "DELETE FROM keylane.consumer_progress WHERE consumer_group = '{0}' AND topic = '{0}'",
        bed.topic.name
    );
    let error = refused(bed.progress().lanes(8)).await;
    for word in [
        "KL-CONSUME-006",
        "with 8 lanes per partition, and was with 16",
        &way_out,
    ] {
        assert!(error.contains(word), "{error}");
    }
    bed.execute("UPDATE keylane.consumer_progress SET topic_id = 'another' WHERE lane = -1");
    let error = refused(bed.progress()).await;
    assert!(
        error.contains("was deleted and created again") && error.contains(&way_out),
        "{error}"
    );
    bed.execute(&way_out);
    bed.execute("TRUNCATE counters, audit");
    let counting = bed.counting(bed.topic.consumer());
    until("all records anew", 1, || bed.audited() == 10).await;
    counting.stopped().await;
    bed.execute("UPDATE keylane.consumer_progress SET next_offset = 99 WHERE lane = -1");
    let error = refused(bed.progress()).await;
    assert!(
        error.contains("KL-CONSUME-003") && error.contains("goes on at 99"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_contradict_transactions_are_refused_at_once() {
    let Some(bed) = Bed::new("consumer-settings", 1).await else {
        return;
    };
    let consumers = [
        bed.topic.consumer().order(KeepOrder::Unordered),
        bed.topic.consumer().on_gap(OnGap::GoOn),
    ];
    for consumer in consumers {
        let counting = bed.counting(consumer);
        let error = ended(counting.running).await.expect_err("refused");
        assert!(error.to_string().starts_with("KL-CONSUME-007"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_begins_behind_the_newest_record_stays_there_though_it_handles_nothing() {
    let Some(bed) = Bed::new("consumer-latest", 1).await else {
        return;
    };
    bed.topic.fill(0..10, 1, |number| number).await;
    let latest = || bed.topic.consumer().start_at(StartAt::Latest);
    let counting = bed.counting(latest());
    let begun = "SELECT count(*) FROM pg_tables WHERE schemaname = 'keylane' AND tablename = 'consumer_progress'";
    until("the table", 1, || bed.number(begun) == 1).await;
    let low =
        "SELECT coalesce(max(next_offset), -1) FROM keylane.consumer_progress WHERE lane = -1";
    until("a beginning", 1, || bed.number(low) == 10).await;
    counting.stopped().await;
    bed.topic.fill(10..12, 1, |number| number).await;
    let counting = bed.counting(latest());
    until("what came meanwhile", 1, || bed.audited() == 2).await;
    counting.stopped().await;
}
