//! What every log promises (`keylane_core::publish::Log`), checked on any log. Each check takes a log and names its own topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use keylane_core::model::{Epoch, Offset, Position, TopicPartition};
use keylane_core::publish::{
    Committed, GroupMember, GroupNews, GroupProtocol, GroupSettings, Header, Log, LogConsumer,
    LogErrorKind, Membership, NewRecord, RawRecord, RecordKind, TopicInfo, TopicSpec,
};

/// Everything, in one topic family named by `prefix`.
pub(crate) async fn check_log(log: Arc<dyn Log>, prefix: &str) {
    topics_are_created_once_and_verified(&*log, &format!("{prefix}-topics")).await;
    records_come_back_as_they_were_appended(&*log, &format!("{prefix}-records")).await;
    appends_keep_their_order_and_tell_their_offsets(&*log, &format!("{prefix}-order")).await;
    a_read_is_bounded_and_ends_at_the_end(&*log, &format!("{prefix}-read")).await;
    a_consumer_reads_each_partition_in_order_and_only_where_there_is_room(
        &*log,
        &format!("{prefix}-consumer"),
    )
    .await;
    an_assigned_partition_starts_anew_where_it_is_assigned_again(&*log, &format!("{prefix}-anew"))
        .await;
    a_waiting_consumer_is_woken_by_a_record(&*log, &format!("{prefix}-woken")).await;
    the_only_member_of_a_group_is_named_for_everything(&*log, &format!("{prefix}-member")).await;
}

/// The partitions that the next news names this member for; news of none is answered and passed over.
async fn taken(member: &mut dyn GroupMember) -> Vec<TopicPartition> {
    loop {
        let news = tokio::time::timeout(Duration::from_secs(30), member.news());
        let news = news.await.expect("news in time").expect("news");
        member.answer().await.expect("an answer is taken");
        let mut taken = match news {
            GroupNews::Take(taken) => taken,
            GroupNews::GiveUp(_) | GroupNews::Lost(_) => unreachable!("nobody else joined"),
        };
        if !taken.is_empty() {
            taken.sort();
            return taken;
        }
    }
}

async fn the_only_member_of_a_group_is_named_for_everything(log: &dyn Log, topic: &str) {
    let (first, second) = (format!("{topic}-1"), format!("{topic}-2"));
    for name in [&first, &second] {
        log.ensure_topics(&[spec(name, 3)]).await.expect("created");
    }
    let group = GroupSettings {
        name: topic.to_owned(),
        protocol: GroupProtocol::Classic,
        session_timeout_ms: 10_000,
        instance_id: None,
    };
    let all_of = |name: &str| -> Vec<TopicPartition> {
        (0..3).map(|it| TopicPartition::new(name, it)).collect()
    };
    let topics = [Arc::from(&*first), Arc::from(&*second)];
    let mut member = log.join(&group, &topics[..1]).await.expect("joined");
    assert_eq!(taken(&mut *member).await, all_of(&first));
    member.subscribe(&topics).await.expect("subscribed");
    assert_eq!(taken(&mut *member).await, all_of(&second));
    let frontiers = |offset: u64| -> Vec<Committed> {
        let committed = |partition| Committed {
            partition,
            offset: Offset(offset),
            metadata: format!("up to {offset}"),
        };
        all_of(&first).into_iter().map(committed).collect()
    };
    let kept = member.committed(all_of(&first)).await.expect("an answer");
    assert_eq!(kept, []);
    // What is said last is kept, whichever answer is waited for first.
    let (earlier, later) = (member.commit(frontiers(5)), member.commit(frontiers(9)));
    assert_eq!(later.await, Ok(Membership::Member));
    assert_eq!(earlier.await, Ok(Membership::Member));
    let kept = member.committed(all_of(&first)).await;
    assert_eq!(kept, Ok(frontiers(9)));
    member.leave().await;
    // Who comes next need not wait for anybody's session.
    let mut next = log.join(&group, &topics).await.expect("joined");
    let mut all = all_of(&first);
    all.extend(all_of(&second));
    assert_eq!(taken(&mut *next).await, all);
    assert_eq!(next.committed(all).await, Ok(frontiers(9)));
    next.leave().await;
}

pub(crate) fn spec(name: &str, partitions: u32) -> TopicSpec {
    TopicSpec {
        name: Arc::from(name),
        partitions,
        replication_factor: 1,
        settings: vec![
            ("cleanup.policy".to_owned(), "delete".to_owned()),
            // The records are of 2023: a broker's retention would take them half a minute after its start.
            ("retention.ms".to_owned(), "-1".to_owned()),
        ],
    }
}

/// Of all records. A broker forgets the producer of records that are a day old.
static BEGAN_MS: std::sync::LazyLock<i64> = std::sync::LazyLock::new(|| {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.expect("a clock that is set").as_millis() as i64
});

/// The `number`-th record of a partition; its position says which it is.
pub(crate) fn numbered(partition: &TopicPartition, number: u64) -> NewRecord {
    let position = Position::new(number, 0);
    NewRecord {
        partition: partition.clone(),
        key: Some(Bytes::from(format!("{{\"id\":{number}}}"))),
        value: Some(Bytes::from(format!("value {number} {}", "x".repeat(180)))),
        headers: Vec::new(),
        keylane: Header::plain(RecordKind::Change, Epoch(1), position).encode(),
        timestamp_ms: *BEGAN_MS,
    }
}

pub(crate) fn number_of(record: &RawRecord) -> u64 {
    let header = record.keylane.as_ref().expect("every test record has one");
    Header::decode(header).expect("as written").position.commit
}

pub(crate) async fn append(
    log: &dyn Log,
    partition: &TopicPartition,
    numbers: std::ops::Range<u64>,
) {
    let records = numbers.map(|number| numbered(partition, number)).collect();
    let ticket = log.append(records).await.expect("the log takes records");
    ticket.await.expect("the log makes them durable");
}

/// Reads a partition to its end.
pub(crate) async fn read_all(log: &dyn Log, partition: &TopicPartition) -> Vec<RawRecord> {
    let (mut all, mut from) = (Vec::new(), Offset(0));
    loop {
        let records = log.read(partition, from, 100_000).await.expect("readable");
        let Some(last) = records.last() else {
            return all;
        };
        from = last.offset.next();
        all.extend(records);
    }
}

async fn topics_are_created_once_and_verified(log: &dyn Log, topic: &str) {
    assert_eq!(log.describe_topic(topic).await.expect("an answer"), None);
    let first = log.ensure_topics(&[spec(topic, 3)]).await.expect("created");
    assert!(first[0].created);
    assert_eq!((&*first[0].name, first[0].partitions), (topic, 3));
    let second = log.ensure_topics(&[spec(topic, 3)]).await.expect("found");
    assert!(!second[0].created);
    assert_eq!(second[0].id, first[0].id);
    let described = log.describe_topic(topic).await.expect("an answer");
    // How large a record may be is told by who is asked for the topic alone.
    let described = described.map(|described| TopicInfo {
        record_bytes_max: None,
        ..described
    });
    assert_eq!(described, Some(second[0].clone()));
    let error = log
        .ensure_topics(&[spec(topic, 4)])
        .await
        .expect_err("keys would move");
    assert_eq!(error.kind, LogErrorKind::TopicMismatch, "{error}");
    assert!(error.message.contains(topic), "{error}");
}

async fn records_come_back_as_they_were_appended(log: &dyn Log, topic: &str) {
    log.ensure_topics(&[spec(topic, 1)]).await.expect("created");
    let partition = TopicPartition::new(topic, 0);
    let whole = NewRecord {
        headers: vec![("other".into(), Bytes::from_static(b"\x00\xff"))],
        ..numbered(&partition, 1)
    };
    let tombstone = NewRecord {
        value: None,
        ..numbered(&partition, 2)
    };
    let keyless = NewRecord {
        key: None,
        value: Some(Bytes::new()),
        ..numbered(&partition, 3)
    };
    let wanted = vec![whole, tombstone, keyless];
    let ticket = log.append(wanted.clone()).await.expect("taken");
    ticket.await.expect("durable");
    let found = read_all(log, &partition).await;
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found.key, wanted.key);
        assert_eq!(found.value, wanted.value);
        assert_eq!(found.keylane.as_deref(), Some(wanted.keylane.as_bytes()));
        assert_eq!(found.timestamp_ms, wanted.timestamp_ms);
    }
    let nothing = log.append(Vec::new()).await.expect("nothing is taken too");
    assert_eq!(nothing.await.expect("durable at once"), []);
}

async fn appends_keep_their_order_and_tell_their_offsets(log: &dyn Log, topic: &str) {
    log.ensure_topics(&[spec(topic, 2)]).await.expect("created");
    let partitions = [TopicPartition::new(topic, 0), TopicPartition::new(topic, 1)];
    let mut tickets = Vec::new();
    for batch in 0..50 {
        // Three records an append, spread over both partitions.
        let records = (0..3)
            .map(|part| {
                let number = batch * 3 + part;
                numbered(&partitions[(number % 2) as usize], number)
            })
            .collect();
        tickets.push(log.append(records).await.expect("taken"));
    }
    let mut told: BTreeMap<u64, Offset> = BTreeMap::new();
    for (batch, ticket) in (0..50).zip(tickets) {
        let offsets = ticket.await.expect("durable");
        told.extend((0..3).map(|part| batch * 3 + part).zip(offsets));
    }
    for (index, partition) in (0..2).zip(&partitions) {
        let found = read_all(log, partition).await;
        let numbers: Vec<u64> = found.iter().map(number_of).collect();
        let wanted: Vec<u64> = (0..150).filter(|number| number % 2 == index).collect();
        assert_eq!(numbers, wanted);
        for record in &found {
            assert_eq!(told.get(&number_of(record)), Some(&record.offset));
        }
        let bounds = log.bounds(partition).await.expect("an answer");
        assert_eq!(bounds.start, Offset(0));
        assert_eq!(
            found.last().map(|record| record.offset.next()),
            Some(bounds.end)
        );
    }
}

async fn a_read_is_bounded_and_ends_at_the_end(log: &dyn Log, topic: &str) {
    log.ensure_topics(&[spec(topic, 1)]).await.expect("created");
    let partition = TopicPartition::new(topic, 0);
    let empty = log
        .read(&partition, Offset(0), 1000)
        .await
        .expect("an answer");
    assert!(empty.is_empty());
    append(log, &partition, 0..100).await;
    let some = log
        .read(&partition, Offset(10), 1000)
        .await
        .expect("readable");
    assert!((1..=5).contains(&some.len()), "{} records", some.len());
    assert_eq!(number_of(&some[0]), 10);
    let one = log.read(&partition, Offset(99), 1).await.expect("readable");
    assert_eq!(one.iter().map(number_of).collect::<Vec<_>>(), [99]);
    let end = log.bounds(&partition).await.expect("an answer").end;
    let began = Instant::now();
    let none = log.read(&partition, end, 1000).await.expect("an answer");
    assert!(none.is_empty());
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    // What was the end goes on.
    append(log, &partition, 100..101).await;
    let next = log.read(&partition, end, 1000).await.expect("readable");
    assert_eq!(next.iter().map(number_of).collect::<Vec<_>>(), [100]);
}

async fn a_consumer_reads_each_partition_in_order_and_only_where_there_is_room(
    log: &dyn Log,
    topic: &str,
) {
    log.ensure_topics(&[spec(topic, 3)]).await.expect("created");
    let partitions: Vec<_> = (0..3)
        .map(|part| TopicPartition::new(topic, part))
        .collect();
    for partition in &partitions {
        append(log, partition, 0..200).await;
    }
    let mut consumer = log.consumer(topic, 1 << 20).await.expect("opened");
    for partition in &partitions {
        consumer
            .assign(partition, Offset(20))
            .await
            .expect("assigned");
    }
    // The first partition has no room for a while: the others are read to their ends.
    let others: Vec<_> = partitions[1..]
        .iter()
        .map(|partition| (partition.clone(), 2000))
        .collect();
    let found = fetch_until(&mut *consumer, &others, 2 * 180).await;
    assert_eq!(found.len(), 2);
    let all: Vec<_> = partitions
        .iter()
        .map(|partition| (partition.clone(), 2000))
        .collect();
    let mut rest = fetch_until(&mut *consumer, &all, 180).await;
    rest.extend(found);
    for partition in &partitions {
        let wanted: Vec<u64> = (20..200).collect();
        assert_eq!(rest.get(partition), Some(&wanted), "{partition}");
    }
    let ends: BTreeMap<_, _> = consumer.ends().into_iter().collect();
    let end = log.bounds(&partitions[0]).await.expect("an answer").end;
    assert_eq!(ends.get(&partitions[0]), Some(&end));
    consumer.unassign(&partitions[0]).await.expect("given up");
    append(log, &partitions[0], 200..210).await;
    let none = consumer.fetch(&all, Duration::from_millis(300)).await;
    assert!(none.expect("an answer").is_empty());
}

async fn an_assigned_partition_starts_anew_where_it_is_assigned_again(log: &dyn Log, topic: &str) {
    log.ensure_topics(&[spec(topic, 1)]).await.expect("created");
    let partition = TopicPartition::new(topic, 0);
    append(log, &partition, 0..500).await;
    let mut consumer = log.consumer(topic, 1 << 20).await.expect("opened");
    let room = [(partition.clone(), 1000)];
    for from in [0u64, 400, 100, 499, 0] {
        consumer
            .assign(&partition, Offset(from))
            .await
            .expect("assigned");
        let mut wanted = from;
        let few = (500 - from).min(20) as usize;
        while wanted < from + few as u64 {
            let found = fetch_until(&mut *consumer, &room, 1).await;
            for number in found.into_values().flatten() {
                assert_eq!(number, wanted, "assigned at {from}");
                wanted += 1;
            }
        }
    }
}

async fn a_waiting_consumer_is_woken_by_a_record(log: &dyn Log, topic: &str) {
    log.ensure_topics(&[spec(topic, 1)]).await.expect("created");
    let partition = TopicPartition::new(topic, 0);
    let mut consumer = log.consumer(topic, 1 << 20).await.expect("opened");
    consumer
        .assign(&partition, Offset(0))
        .await
        .expect("assigned");
    let room = [(partition.clone(), 1000)];
    let began = Instant::now();
    let none = consumer
        .fetch(&room, Duration::from_millis(200))
        .await
        .expect("an answer");
    assert!(none.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(200));
    // Until its first fetch is on its way a log may take a moment: asked more than once, so that one slow start decides nothing.
    let mut quickest = Duration::MAX;
    for number in 0..5 {
        append(log, &partition, number..number + 1).await;
        let durable = Instant::now();
        let found = fetch_until(&mut *consumer, &room, 1).await;
        assert_eq!(found.get(&partition), Some(&vec![number]));
        quickest = quickest.min(durable.elapsed());
    }
    assert!(quickest < Duration::from_millis(100), "{quickest:?}");
}

/// Whoever calls holds the log up, so that nothing becomes durable, until `release`.
pub(crate) async fn appends_wait_while_the_log_is_held_up(
    log: &dyn Log,
    partition: &TopicPartition,
    in_flight_bytes: usize,
    release: impl FnOnce(),
) {
    let (mut tickets, mut taken_bytes, mut next) = (Vec::new(), 0, 0);
    let waiting = loop {
        let records: Vec<NewRecord> = (next..next + 10)
            .map(|number| numbered(partition, number))
            .collect();
        let bytes: usize = records.iter().map(NewRecord::size_bytes).sum();
        next += 10;
        let mut append = log.append(records);
        match tokio::time::timeout(Duration::from_millis(300), &mut append).await {
            Ok(ticket) => {
                tickets.push(ticket.expect("held up is no failure"));
                taken_bytes += bytes;
                assert!(taken_bytes <= in_flight_bytes, "{taken_bytes} bytes taken");
            }
            Err(_) => {
                assert!(taken_bytes + bytes > in_flight_bytes, "{taken_bytes} bytes");
                break append;
            }
        }
    };
    assert!(tickets.len() > 1, "several appends are in flight");
    release();
    tickets.push(waiting.await.expect("there is room again"));
    for ticket in tickets {
        ticket.await.expect("durable");
    }
    let found = read_all(log, partition).await;
    assert!(found.iter().map(number_of).eq(0..next));
}

/// Fetches until as many records came; numbers in the order they came, by partition.
pub(crate) async fn fetch_until(
    consumer: &mut dyn LogConsumer,
    room: &[(TopicPartition, usize)],
    records: usize,
) -> BTreeMap<TopicPartition, Vec<u64>> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut found: BTreeMap<TopicPartition, Vec<u64>> = BTreeMap::new();
    while found.values().map(Vec::len).sum::<usize>() < records {
        assert!(
            Instant::now() < deadline,
            "waited 30 s for {records} records, got {found:?}"
        );
        let fetched = consumer
            .fetch(room, Duration::from_secs(1))
            .await
            .expect("fetched");
        for (partition, records) in fetched {
            let numbers = records.iter().map(number_of);
            found.entry(partition).or_default().extend(numbers);
        }
    }
    found
}
