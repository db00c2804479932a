//! The consumer for any handler, on real Kafka and on embedded logs: order, retries, dead letters, progress over restarts and moves.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use keylane::consumer::{Batch, Consumer, Health, Record};
use keylane_core::consume::KeepOrder;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::Committed;
use tokio_util::sync::CancellationToken;

use crate::consumer_bed::{Noting, Seen, Topic, ended, number_of, until};

type Gauge = Arc<AtomicU64>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_key_are_handled_in_order_whatever_fails_and_however_many_go_side_by_side() {
    for topic in Topic::of_each_log("consumer-order", 3).await {
        topic.fill(0..3000, 3, |number| number % 40).await;
        let (seen, stop) = (Seen::default(), CancellationToken::new());
        let consumer = topic.consumer().concurrency(100);
        let stats = consumer.stats();
        let (noting, stopping) = (seen.clone(), stop.clone());
        let running = tokio::spawn(consumer.run(stopping, move |record: Record| {
            let (seen, number) = (noting.clone(), number_of(&record));
            // Each seventh fails at first, each eleventh panics at first, each thirteenth before there is anything to await.
            assert!(!number.is_multiple_of(13) || record.attempts > 0, "not yet");
            async move {
                tokio::time::sleep(Duration::from_micros(number * 7919 % 1500)).await;
                if number.is_multiple_of(7) && record.attempts < 2 {
                    return Err("not yet");
                }
                assert!(!number.is_multiple_of(11) || record.attempts > 0, "not yet");
                assert_eq!(record.header("kind"), Some(&Bytes::from_static(b"test")));
                seen.note(&record);
                Ok(())
            }
        }));
        until("all records", || seen.count() >= 3000).await;
        until("all to be committed", || stats.held.get() == 0).await;
        assert_eq!(stats.health(), Health::Well);
        stop.cancel();
        ended(running).await.expect("a clean stop");
        assert_eq!((seen.count(), seen.numbers().len()), (3000, 3000));
        seen.assert_in_order();
        assert_eq!(stats.handled.get(), 3000);
        assert!(stats.failed.get() > 3000 / 7);
        // Who comes next finds nothing to do but what is new.
        topic.fill(3000..3010, 3, |number| number % 40).await;
        let later = Noting::by(topic.consumer());
        until("what is new", || later.seen.count() >= 10).await;
        assert_eq!(later.stopped().await.numbers(), (3000..3010).collect());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_above_a_record_that_hangs_is_not_done_again_after_a_crash() {
    for topic in Topic::of_each_log("consumer-map", 2).await {
        topic.fill(0..500, 2, |number| number % 50).await;
        let seen = Seen::default();
        let noting = seen.clone();
        let consumer = topic.consumer().concurrency(10);
        let stats = consumer.stats();
        let running = tokio::spawn(consumer.run(
            CancellationToken::new(),
            move |record: Record| {
                let seen = noting.clone();
                async move {
                    if number_of(&record) == 0 {
                        std::future::pending::<()>().await;
                    }
                    seen.note(&record);
                    Ok::<(), &str>(())
                }
            },
        ));
        // Of key 0 there are ten records; the first hangs, nine stand behind it.
        until("all but one key", || seen.count() == 490).await;
        until("only that key to be held", || stats.held.get() == 10).await;
        until("the hanging handler to be told", || {
            stats.oldest_ms.get() > 500
        })
        .await;
        assert_eq!(stats.map_left_out.get(), 0);
        // As by a crash: nothing is said to anybody.
        running.abort();
        let again = Noting::by(topic.consumer());
        until("the rest", || again.seen.count() >= 10).await;
        let again = again.stopped().await;
        let of_the_key: BTreeSet<u64> = (0..500).step_by(50).collect();
        assert_eq!(again.numbers(), of_the_key);
        again.assert_in_order();
    }
}

/// So many records of a topic, by their numbers.
async fn letters_in(topic: &Topic, count: usize) -> Vec<Record> {
    let (letters, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
    let (noting, stopping) = (letters.clone(), stop.clone());
    let running = tokio::spawn(topic.consumer().run(stopping, move |record: Record| {
        noting.lock().expect("nobody panics").push(record);
        async { Ok::<(), &str>(()) }
    }));
    let found = || letters.lock().expect("nobody panics").len();
    until("the letters", || found() == count).await;
    stop.cancel();
    ended(running).await.expect("a clean stop");
    let mut letters = letters.lock().expect("nobody panics").clone();
    letters.sort_by_key(number_of);
    letters
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_its_last_attempt_a_record_goes_to_the_dead_letters_and_its_key_goes_on() {
    for topic in Topic::of_each_log("consumer-letters", 1).await {
        let dead = topic.beside("consumer-letters-dead", 4).await;
        topic.fill(0..20, 1, |number| number % 2).await;
        let (seen, stop) = (Seen::default(), CancellationToken::new());
        let consumer = topic
            .consumer()
            .attempts(3)
            .dead_letter(dead.name)
            .attempt_timeout(Duration::from_millis(300));
        let stats = consumer.stats();
        let (noting, stopping) = (seen.clone(), stop.clone());
        let running = tokio::spawn(consumer.run(stopping, move |record: Record| {
            let seen = noting.clone();
            async move {
                match number_of(&record) {
                    4 => Err("bad record"),
                    5 => std::future::pending().await,
                    _ => {
                        seen.note(&record);
                        Ok(())
                    }
                }
            }
        }));
        until("all but two", || seen.count() == 18).await;
        until("two letters", || stats.dead_lettered.get() == 2).await;
        stop.cancel();
        ended(running).await.expect("a clean stop");
        seen.assert_in_order();
        assert_eq!((stats.failed.get(), stats.timed_out.get()), (6, 3));
        let letters = letters_in(&dead, 2).await;
        let text = |record: &Record, name: &str| {
            let value = record.header(name).expect("a header");
            String::from_utf8(value.to_vec()).expect("a text")
        };
        let told: Vec<(u64, String, String, String)> = letters
            .iter()
            .map(|letter| {
                (
                    number_of(letter),
                    text(letter, "keylane.dead.id"),
                    text(letter, "keylane.dead.attempts"),
                    text(letter, "keylane.dead.error"),
                )
            })
            .collect();
        let word = |number: u64, error: &str| {
            (
                number,
                format!("{}-0-{number}", topic.name),
                "3".to_owned(),
                error.to_owned(),
            )
        };
        assert_eq!(
            told,
            [word(4, "bad record"), word(5, "it took longer than it may")]
        );
        assert_eq!(text(&letters[0], "kind"), "test");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_word_about_it_a_last_failed_attempt_ends_the_consumer_and_nothing_is_lost() {
    for topic in Topic::of_each_log("consumer-stops", 1).await {
        topic.fill(0..3, 1, |number| number).await;
        let consumer = topic.consumer().attempts(2).order(KeepOrder::Partition);
        let running = tokio::spawn(consumer.run(
            CancellationToken::new(),
            |record: Record| async move {
                match number_of(&record) {
                    1 => Err("bad record"),
                    _ => Ok(()),
                }
            },
        ));
        let error = ended(running).await.expect_err("it stops");
        let expected = format!(
            "KL-CONSUME-004: {}-0-1 failed 2 times, the last time with: bad record",
            topic.name
        );
        assert_eq!(error.to_string(), expected);
        let again = Noting::by(topic.consumer());
        until("the rest", || again.seen.count() >= 2).await;
        let again = again.stopped().await;
        assert_eq!(again.numbers(), BTreeSet::from([1, 2]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_keep_each_keys_order_and_lose_nothing() {
    let Some(topic) = Topic::new("consumer-moves", 6).await else {
        return;
    };
    topic.fill(0..6000, 6, |number| number % 60).await;
    let seen = Seen::default();
    // Nobody dies: a session that ends because the machine is slow would look like it.
    let member = || {
        topic
            .consumer()
            .session_timeout(Duration::from_secs(30))
            .concurrency(40)
    };
    let start = || {
        let (noting, stop) = (seen.clone(), CancellationToken::new());
        let stopping = stop.clone();
        let running = tokio::spawn(member().run(stopping, move |record: Record| {
            let seen = noting.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                seen.note(&record);
                Ok::<(), &str>(())
            }
        }));
        (running, stop)
    };
    let mut members = vec![start()];
    let mut wanted = 500;
    for leaver in [None, Some(0), None, Some(1), Some(0)] {
        until("progress", || seen.count() >= wanted).await;
        wanted = seen.count() + 500;
        members.push(start());
        if let Some(leaver) = leaver {
            let (running, stop) = members.remove(leaver);
            stop.cancel();
            ended(running).await.expect("a clean stop");
        }
    }
    until("all records", || seen.numbers().len() == 6000).await;
    for (running, stop) in members {
        stop.cancel();
        ended(running).await.expect("a clean stop");
    }
    seen.assert_in_order();
    // Nobody crashed: what was given up was committed before.
    assert_eq!(seen.count(), 6000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_consumer_hands_nothing_out_and_goes_on_where_it_stood() {
    let Some(topic) = Topic::new("consumer-pause", 1).await else {
        return;
    };
    let consumer = topic.consumer();
    let stats = consumer.stats();
    stats.pause(true);
    let noting = Noting::by(consumer);
    topic.fill(0..10, 1, |number| number).await;
    until("the records to be there", || stats.held.get() == 10).await;
    assert_eq!((noting.seen.count(), stats.health()), (0, Health::Paused));
    stats.pause(false);
    until("all records", || noting.seen.count() == 10).await;
    noting.stopped().await;
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_told_at_once() {
    let Some(topic) = Topic::new("consumer-there", 1).await else {
        return;
    };
    let consumer = Consumer::kafka(topic.bootstrap(), "nobody").topic("consumer-not-there");
    let handler = |_: Record| async { Ok::<(), &str>(()) };
    let ended = consumer.run(CancellationToken::new(), handler).await;
    let error = ended.expect_err("it ends");
    assert!(
        error
            .to_string()
            .contains("KL-CONSUME-002: topic consumer-not-there is not there"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_gone_end_the_consumer_unless_it_is_to_go_on() {
    for topic in Topic::of_each_log("consumer-gap", 1).await {
        topic.fill(0..5, 1, |number| number).await;
        let partition = TopicPartition::new(topic.name, 0);
        let group = keylane_core::publish::GroupSettings {
            name: topic.name.to_owned(),
            protocol: Default::default(),
            session_timeout_ms: 3_000,
            instance_id: None,
        };
        // A group that claims to be where the topic never was.
        let mut member = topic
            .log
            .join(&group, &[topic.name.into()])
            .await
            .expect("joined");
        member.news().await.expect("news");
        member.answer().await.expect("answered");
        let kept = member.committed(vec![partition.clone()]).await;
        assert_eq!(kept.expect("an answer"), []);
        let beyond = Committed {
            partition,
            offset: Offset(99),
            metadata: String::new(),
        };
        member.commit(vec![beyond]).await.expect("kept");
        member.leave().await;
        let handler = |_: Record| async { Ok::<(), &str>(()) };
        let ended_with = topic
            .consumer()
            .run(CancellationToken::new(), handler)
            .await;
        let error = ended_with.expect_err("it stops").to_string();
        assert!(
            error.starts_with("KL-CONSUME-003") && error.contains("goes on at 99"),
            "{error}"
        );
        let noting = Noting::by(topic.consumer().on_gap(keylane::consumer::OnGap::GoOn));
        until("what is there", || noting.seen.count() == 5).await;
        noting.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_consumers_under_one_name_one_gives_way_and_the_other_goes_on() {
    let Some(topic) = Topic::new("consumer-twins", 2).await else {
        return;
    };
    let named = || Noting::by(topic.consumer().instance_id("one-name"));
    let (one, other) = (named(), named());
    until("one of them to end", || {
        one.running.is_finished() || other.running.is_finished()
    })
    .await;
    let (gone, stays) = match one.running.is_finished() {
        true => (one, other),
        false => (other, one),
    };
    let error = ended(gone.running).await.expect_err("it gives way");
    assert!(
        error.to_string().contains("as instance one-name"),
        "{error}"
    );
    topic.fill(0..20, 2, |number| number).await;
    until("the other to go on", || stays.seen.count() >= 20).await;
    stays.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_of_batches_gets_what_is_there_of_one_key_in_order() {
    let Some(topic) = Topic::new("consumer-batches-plain", 2).await else {
        return;
    };
    topic.fill(0..600, 2, |number| number % 10).await;
    let (seen, stop) = (Seen::default(), CancellationToken::new());
    let consumer = topic.consumer().attempts(2).skip();
    let stats = consumer.stats();
    let noting = seen.clone();
    let handler = move |records: Vec<Record>| {
        let seen = noting.clone();
        async move {
            assert!((1..=20).contains(&records.len()));
            assert!(records.iter().all(|record| record.key == records[0].key));
            if records.iter().any(|record| number_of(record) == 33) {
                return Err("bad record");
            }
            for record in &records {
                seen.note(record);
            }
            Ok(())
        }
    };
    let running = tokio::spawn(consumer.run_batches(Batch::OfOneKey(20), stop.clone(), handler));
    until("all but one", || seen.count() >= 599).await;
    until("that one", || stats.skipped.get() == 1).await;
    stop.cancel();
    ended(running).await.expect("a clean stop");
    seen.assert_in_order();
    assert_eq!((seen.count(), stats.failed.get()), (599, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_and_the_concurrency_change_while_it_runs() {
    let Some(topic) = Topic::new("consumer-rate", 1).await else {
        return;
    };
    topic.fill(0..4000, 1, |number| number).await;
    // So slow that after the burst nothing more is begun in any test's time.
    let consumer = topic.consumer().rate(0.001, 20);
    let (stats, stop) = (consumer.stats(), CancellationToken::new());
    let (seen, now, most) = (Seen::default(), Gauge::default(), Gauge::default());
    let (noting, in_progress, highest) = (seen.clone(), now.clone(), most.clone());
    let handler = move |record: Record| {
        let (seen, now, most) = (noting.clone(), in_progress.clone(), highest.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
            now.fetch_sub(1, Relaxed);
            seen.note(&record);
            Ok::<(), &str>(())
        }
    };
    let running = tokio::spawn(consumer.run(stop.clone(), handler));
    until("the burst", || stats.handled.get() == 20).await;
    until("it to be told", || stats.service_us.get() >= 1000).await;
    assert_eq!(seen.count(), 20);
    stats.set_concurrency(3);
    most.store(0, Relaxed);
    stats.set_rate(None);
    until("many more", || seen.count() >= 600).await;
    assert_eq!(most.load(Relaxed), 3);
    stats.set_concurrency(50);
    until("all", || seen.count() == 4000).await;
    assert!((4..=50).contains(&most.load(Relaxed)));
    stop.cancel();
    ended(running).await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hottest_keys_are_told_with_the_bound_that_they_set() {
    let Some(topic) = Topic::new("consumer-hot", 1).await else {
        return;
    };
    // Of ten records five are of key 0, the rest of one key each.
    let key = |number: u64| if number.is_multiple_of(2) { 0 } else { number };
    topic.fill(0..400, 1, key).await;
    let consumer = topic.consumer();
    let (stats, stop) = (consumer.stats(), CancellationToken::new());
    let handler = async |_: Record| {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok::<(), &str>(())
    };
    let running = tokio::spawn(consumer.run(stop.clone(), handler));
    until("all records", || stats.handled.get() == 400).await;
    until("them to be told", || {
        stats.held.get() == 0 && !stats.hot_keys().is_empty()
    })
    .await;
    stop.cancel();
    ended(running).await.expect("a clean stop");
    let hottest = stats.hot_keys().remove(0);
    assert_eq!((&hottest.key[..], hottest.share), (&b"0"[..], 0.5));
    let bound = hottest.records_per_second_max.expect("a bound");
    assert!((1.0..=2000.0).contains(&bound), "{bound}");
}
