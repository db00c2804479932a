//! Groups of an embedded log: one process reads, the one that joined last; over restarts, kill -9 and replacements.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use keylane::LogSettings;
use keylane::consumer::{Consumer, PostgresProgress, Record, Redrive, Transaction};
use keylane::embedded::EmbeddedOptions;
use keylane_core::model::{Offset, TopicPartition};
use keylane_core::publish::{
    Committed, GroupMember, GroupNews, GroupProtocol, GroupSettings, Membership,
};
use tokio_util::sync::CancellationToken;

use crate::consumer_bed::{Noting, PATIENCE, Topic, ended, number_of, until};

const JOB: &str = "KEYLANE_TEST_CONSUME";
/// So long nothing is heard of a process before another goes on.
const SESSION: Duration = Duration::from_secs(1);
/// Handlers of the child process.
const SIDE_BY_SIDE: usize = 4;
/// What the child has done before its handlers hang.
const DONE: u64 = 20;

fn file_of(topic: &Topic) -> PathBuf {
    match &topic.settings {
        LogSettings::Embedded(options) => options.path.clone(),
        LogSettings::Kafka(_) => unreachable!("the log is embedded"),
    }
}

fn number(file: &Path, sql: &str) -> Option<i64> {
    let file = rusqlite::Connection::open(file).expect("a file");
    // Before the first commit there may be no such table.
    file.query_row(sql, [], |row| row.get(0)).ok()
}

fn tables(file: &Path) -> Option<i64> {
    number(
        file,
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table'",
    )
}

async fn member(topic: &Topic) -> Box<dyn GroupMember> {
    let group = GroupSettings {
        name: "readers".into(),
        protocol: GroupProtocol::Classic,
        session_timeout_ms: SESSION.as_millis() as u32,
        instance_id: None,
    };
    // As another process has it.
    let log = topic.settings.open().await.expect("a log");
    let member = log.join(&group, &[Arc::from(topic.name)]).await;
    member.expect("joined")
}

async fn news(member: &mut Box<dyn GroupMember>) -> GroupNews {
    let news = tokio::time::timeout(PATIENCE, member.news()).await;
    member.answer().await.expect("an answer is taken");
    news.expect("news in time").expect("news")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_last_is_the_member_and_nothing_is_kept_of_what_another_says() {
    let topic = Topic::embedded("groups", 2).await;
    let file = file_of(&topic);
    let all: Vec<TopicPartition> = (0..2)
        .map(|it| TopicPartition::new(topic.name, it))
        .collect();
    let at = |offset: u64| -> Vec<Committed> {
        let partition = all[1].clone();
        let (offset, metadata) = (Offset(offset), format!("at {offset}"));
        vec![Committed {
            partition,
            offset,
            metadata,
        }]
    };
    assert_eq!(tables(&file), Some(3), "as before there were groups");
    let mut first = member(&topic).await;
    assert_eq!(news(&mut first).await, GroupNews::Take(all.clone()));
    // Who never asks keeps its progress elsewhere: the file hears nothing of it.
    assert_eq!(first.commit(at(1)).await, Ok(Membership::Outsider));
    assert_eq!(tables(&file), Some(3));
    assert_eq!(first.committed(all.clone()).await, Ok(vec![]));
    assert_eq!(first.commit(at(2)).await, Ok(Membership::Member));

    let mut second = member(&topic).await;
    assert_eq!(news(&mut second).await, GroupNews::Take(all.clone()));
    assert_eq!(
        first.commit(at(3)).await,
        Ok(Membership::Member),
        "not asked yet"
    );
    assert_eq!(second.committed(all.clone()).await, Ok(at(3)));
    // Asking again is no joining.
    assert_eq!(first.committed(all.clone()).await, Ok(at(3)));
    assert_eq!(first.commit(at(99)).await, Ok(Membership::Outsider));
    assert_eq!(news(&mut first).await, GroupNews::Lost(all.clone()));
    assert_eq!(first.commit(at(99)).await, Ok(Membership::Outsider));
    assert_eq!(second.commit(at(5)).await, Ok(Membership::Member));

    // One that says nothing learns it too; and one that has left is followed by who stands by.
    let mut third = member(&topic).await;
    assert_eq!(news(&mut third).await, GroupNews::Take(all.clone()));
    assert_eq!(third.committed(all.clone()).await, Ok(at(5)));
    assert_eq!(news(&mut second).await, GroupNews::Lost(all.clone()));
    drop(first);
    third.leave().await;
    assert_eq!(news(&mut second).await, GroupNews::Take(all.clone()));
    assert_eq!(second.committed(all.clone()).await, Ok(at(5)));
    assert_eq!(second.commit(at(6)).await, Ok(Membership::Member));
    assert_eq!(number(&file, "PRAGMA user_version"), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_was_replaced_handles_nothing_until_the_other_has_gone() {
    let topic = Topic::embedded("replaced", 2).await;
    topic.fill(0..50, 2, |number| number % 10).await;
    let quick = || topic.consumer().session_timeout(SESSION);
    let start = |consumer: Consumer| (consumer.stats(), Noting::by(consumer));
    let (first_has, first) = start(quick());
    until("the first records", || first.seen.count() == 50).await;
    let kept = "SELECT sum(next_offset) FROM group_offsets";
    let file = file_of(&topic);
    until("them to be committed", || number(&file, kept) == Some(50)).await;

    let (second_has, second) = start(quick());
    until("the first to lose everything", || {
        first_has.partitions.get() == 0
    })
    .await;
    until("the second to have it", || second_has.partitions.get() == 2).await;
    topic.fill(50..80, 2, |number| number % 10).await;
    until("the next records", || second.seen.count() == 30).await;
    assert_eq!(first.seen.count(), 50);
    assert_eq!(second.stopped().await.numbers(), (50..80).collect());

    topic.fill(80..100, 2, |number| number % 10).await;
    until("the last records", || first.seen.count() == 70).await;
    let seen = first.stopped().await;
    seen.assert_in_order();
    assert_eq!(seen.numbers(), (0..50).chain(80..100).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_comes_later_is_read_once_it_is_there_and_holds_up_no_other() {
    let topic = Topic::embedded("comes", 1).await;
    let later = format!("later-{}", std::process::id());
    let consumer = || topic.consumer().topic(&*later);
    let noting = Noting::by(consumer());
    topic.fill(0..10, 1, |number| number).await;
    until("the records of the one", || noting.seen.count() == 10).await;
    let beside = topic.beside("later", 2).await;
    assert_eq!(beside.name, later);
    beside.fill(10..30, 2, |number| number).await;
    until("those of the other", || noting.seen.count() == 30).await;
    assert_eq!(noting.stopped().await.numbers(), (0..30).collect());
    beside.fill(30..35, 2, |number| number).await;
    let again = Noting::by(consumer());
    until("what is new", || again.seen.count() == 5).await;
    assert_eq!(again.stopped().await.numbers(), (30..35).collect());
}

/// Not a test of its own: what a child process does, if it was started as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_consumes() {
    let Ok(job) = std::env::var(JOB) else { return };
    let (file, topic) = job.split_once(' ').expect("a file and a topic");
    let handler = |record: Record| async move {
        let number = number_of(&record);
        if number >= DONE {
            println!("handling {number}");
            std::io::stdout().flush().expect("the parent reads");
            std::future::pending::<()>().await;
        }
        Ok::<(), &str>(())
    };
    let consumer = Consumer::embedded(EmbeddedOptions::at(file), "mailer");
    let consumer = consumer.topic(topic).concurrency(SIDE_BY_SIDE);
    let consumer = consumer.commit_interval(Duration::from_millis(50));
    let consumer = consumer.session_timeout(SESSION);
    let ended = consumer.run(CancellationToken::new(), handler).await;
    unreachable!("it hangs: {ended:?}");
}

fn child(file: &Path, topic: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "embedded_consumer::child_that_consumes",
            "--nocapture",
        ])
        .env(JOB, format!("{} {topic}", file.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("started")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_who_stood_by_handles_what_was_not_done_and_nothing_else() {
    let topic = Topic::embedded("killed", 1).await;
    let file = file_of(&topic);
    let standing_by = Consumer::embedded(EmbeddedOptions::at(&file), "mailer").topic(topic.name);
    let standing_by = standing_by.commit_interval(Duration::from_millis(50));
    let has = standing_by.stats();
    let standing_by = Noting::by(standing_by);
    until("the first to have it", || has.partitions.get() == 1).await;
    let mut child = child(&file, topic.name);
    until("the other to have it", || has.partitions.get() == 0).await;
    topic.fill(0..40, 1, |number| number).await;
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let handling = lines
        .map_while(Result::ok)
        .filter(|line| line.contains("handling "));
    assert_eq!(handling.take(SIDE_BY_SIDE).count(), SIDE_BY_SIDE);
    let kept = "SELECT next_offset FROM group_offsets WHERE group_name = 'mailer'";
    until("what is done to be committed", || {
        number(&file, kept) == i64::try_from(DONE).ok()
    })
    .await;
    child.kill().expect("killed");
    child.wait().expect("reaped");
    until("the rest", || standing_by.seen.count() >= 20).await;
    let handled = standing_by.stopped().await;
    assert_eq!(
        (handled.count(), handled.numbers()),
        (20, (DONE..40).collect())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_for_dead_letters_is_made_and_they_are_put_back_from_it_once() {
    let topic = Topic::embedded("letters", 2).await;
    topic.fill(0..20, 2, |number| number % 4).await;
    let stop = CancellationToken::new();
    let consumer = topic.consumer().attempts(2).dead_letter("letters.dead");
    let stats = consumer.stats();
    let handler = |record: Record| async move {
        match number_of(&record) % 5 {
            0 => Err("bad record"),
            _ => Ok(()),
        }
    };
    let running = tokio::spawn(consumer.run(stop.clone(), handler));
    until("all but four", || stats.handled.get() == 16).await;
    until("four letters", || stats.dead_lettered.get() == 4).await;
    stop.cancel();
    ended(running).await.expect("a clean stop");
    for expect in [4, 0] {
        let redrive = Redrive::new(topic.settings.clone(), "letters.dead");
        let done = redrive.run(CancellationToken::new()).await;
        assert_eq!(done.expect("it runs").put_back, expect);
    }
    let again = Noting::by(topic.consumer());
    until("what was put back", || again.seen.count() == 4).await;
    assert_eq!(again.stopped().await.numbers(), [0, 5, 10, 15].into());
}

#[tokio::test]
async fn in_transactions_an_embedded_log_is_refused() {
    let topic = Topic::embedded("transactions", 1).await;
    let handler = async |_: Record, _: &Transaction| Ok::<(), &str>(());
    let ended = topic
        .consumer()
        .run_in_transactions(
            PostgresProgress::new("postgres://nowhere"),
            CancellationToken::new(),
            handler,
        )
        .await;
    let error = ended.expect_err("it is refused").to_string();
    assert!(
        error.starts_with("KL-CONSUME-007") && error.contains("embedded"),
        "{error}"
    );
}
