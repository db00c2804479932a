//! What is kept, over deaths and between processes.

use std::sync::Arc;

use keylane::sqlite::notify::{SqliteOutbox, Turn};
use keylane::workers::stats::now_us;
use keylane_core::notify::{
    Answer, Answered, DailyAt, Detail, DigestOrder, Next, Outbox, PipelineLine, Quiet, SampleKey,
    State, ValuePair, Verdict,
};

use super::bed::{Bed, figures, observe, report, told_to};

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

async fn next(outbox: &Arc<SqliteOutbox>, channel: &str, now_us: i64) -> Next {
    outbox.next(channel, now_us).await.expect("a look")
}

fn answered(number: i64, answer: Answer, at_us: i64) -> Answered {
    Answered {
        number,
        answer,
        at_us,
        chance: 1.0,
        pace_ms: 0,
    }
}

fn later(after_ms: Option<u64>) -> Answer {
    Answer::Later {
        after_ms,
        why: "HTTP 503".to_owned(),
    }
}

#[tokio::test]
async fn a_change_and_its_message_are_kept_together_and_a_repeated_run_makes_no_other() {
    let bed = Bed::new();
    let terms = told_to(&["ops", "audit"]);
    let diverged = report("orders", "r1", Verdict::Diverged, 7);
    {
        let outbox = bed.open().await;
        let taken = observe(&outbox, &terms, diverged.clone()).await;
        assert_eq!(taken.messages.len(), 1);
    }
    // After a death nobody knows whether the call came through.
    let outbox = bed.open().await;
    let again = observe(&outbox, &terms, diverged).await;
    assert_eq!((again.messages.len(), again.quiet), (0, Some(Quiet::Known)));
    let repeat = observe(
        &outbox,
        &terms,
        report("orders", "r2", Verdict::Diverged, 9),
    )
    .await;
    assert_eq!(repeat.quiet, Some(Quiet::Repeat(2)));
    let kept = outbox.kept().await.expect("a look");
    let channels: Vec<&str> = kept.iter().map(|one| &*one.channel).collect();
    assert_eq!(channels, ["ops", "audit"]);
    assert_eq!(kept[0].entry.id, kept[1].entry.id, "one message, one name");
    let state = kept[0].entry.message.news.state();
    assert_eq!(state, Some(State::Diverged));
}

#[tokio::test]
async fn values_are_not_even_kept_unless_they_are_asked_for() {
    let bed = Bed::new();
    let outbox = bed.open().await;
    let mut diverged = report("orders", "r1", Verdict::Diverged, 1);
    diverged.keys = vec![SampleKey {
        key: "{\"id\":1}".to_owned(),
        values: vec![ValuePair {
            column: "name".to_owned(),
            origin: "rowmarker".to_owned(),
            replica: String::new(),
        }],
    }];
    observe(&outbox, &told_to(&["ops"]), diverged).await;
    assert_eq!(outbox.kept().await.expect("a look").len(), 1);
    for entry in std::fs::read_dir(bed.folder()).expect("its folder") {
        let path = entry.expect("a file").path();
        let bytes = std::fs::read(&path).expect("it is read");
        let held = bytes.windows(9).any(|window| window == b"rowmarker");
        assert!(!held, "{}", path.display());
    }
}

#[tokio::test]
async fn an_attempt_that_was_begun_and_not_answered_says_later_that_it_may_have_come() {
    let bed = Bed::new();
    let terms = told_to(&["ops"]);
    let outbox = bed.open().await;
    observe(
        &outbox,
        &terms,
        report("orders", "r1", Verdict::Diverged, 7),
    )
    .await;
    let Next::Send(first) = next(&outbox, "ops", now_us()).await else {
        unreachable!("it waits to be sent");
    };
    assert!(!first.may_have_come);
    drop(outbox);
    let outbox = bed.open().await;
    let Next::Send(second) = next(&outbox, "ops", now_us()).await else {
        unreachable!("it waits to be sent");
    };
    assert_eq!((second.id.clone(), second.attempts), (first.id, 2));
    assert!(second.may_have_come);
    let number = second.number;
    let taken = answered(number, Answer::Taken, now_us());
    outbox.answered("ops", taken).await.expect("it is noted");
    assert_eq!(next(&outbox, "ops", now_us()).await, Next::Idle);
    assert_eq!(figures(&outbox, "ops").await.taken, 1);
}

#[tokio::test]
async fn a_pause_that_was_asked_for_is_kept_to_over_a_restart() {
    let bed = Bed::new();
    let terms = told_to(&["ops"]);
    let outbox = bed.open().await;
    for table in ["a", "b"] {
        observe(&outbox, &terms, report(table, "r1", Verdict::Diverged, 7)).await;
    }
    let now = now_us();
    let Next::Send(first) = next(&outbox, "ops", now).await else {
        unreachable!("it waits to be sent");
    };
    let asked = answered(first.number, later(Some(90_000)), now);
    outbox.answered("ops", asked).await.expect("it is noted");
    drop(outbox);
    let outbox = bed.open().await;
    let until = now + 90 * SECOND_US;
    assert_eq!(next(&outbox, "ops", now).await, Next::Wait(until));
    assert_eq!(next(&outbox, "ops", until - 1).await, Next::Wait(until));
    let told = figures(&outbox, "ops").await;
    assert_eq!((told.waiting, &*told.why), (2, "KL-NOTIFY-001: HTTP 503"));
    let Next::Send(again) = next(&outbox, "ops", until).await else {
        unreachable!("its pause is over");
    };
    assert_eq!(again.number, first.number, "in their order");
    assert!(!again.may_have_come, "it was answered");
}

#[tokio::test]
async fn a_message_that_fails_again_and_again_only_holds_up_those_of_its_own_subject() {
    let bed = Bed::new();
    let terms = told_to(&["ops"]);
    let outbox = bed.open().await;
    observe(&outbox, &terms, report("bad", "r1", Verdict::Diverged, 7)).await;
    observe(&outbox, &terms, report("bad", "r2", Verdict::Equal, 0)).await;
    observe(&outbox, &terms, report("good", "r1", Verdict::Diverged, 7)).await;
    let mut now = now_us();
    let mut sent = Vec::new();
    while sent.last() != Some(&3) {
        match next(&outbox, "ops", now).await {
            Next::Send(entry) => {
                sent.push(entry.number);
                let answer = match entry.number {
                    1 => later(None),
                    _ => Answer::Taken,
                };
                let answered = answered(entry.number, answer, now);
                outbox.answered("ops", answered).await.expect("it is noted");
            }
            Next::Wait(until) => now = until,
            Next::Idle => unreachable!("messages wait"),
        }
        assert!(sent.len() < 20, "the third never comes: {sent:?}");
    }
    assert_eq!(sent.iter().filter(|number| **number == 2).count(), 0);
    assert_eq!(
        figures(&outbox, "ops").await.waiting,
        2,
        "neither is given up"
    );
}

#[tokio::test]
async fn too_many_messages_and_too_old_ones_are_folded_into_one_that_says_so() {
    let bed = Bed::new();
    let terms = told_to(&["ops"]);
    let outbox = bed.open().await;
    let mut observations = Vec::new();
    for number in 0..1_500 {
        let diverged = report(&format!("t{number}"), "r1", Verdict::Diverged, 1);
        let at_us = now_us();
        observations.push(keylane_core::notify::Observation::of_table(diverged, at_us));
    }
    for many in observations.chunks(400) {
        let taken = outbox.observe(many.to_vec(), terms.clone(), now_us()).await;
        taken.expect("they are taken in");
    }
    let told = figures(&outbox, "ops").await;
    assert!((800..=1_000).contains(&told.waiting), "{told:?}");
    let Next::Send(first) = next(&outbox, "ops", now_us()).await else {
        unreachable!("it waits to be sent");
    };
    let Detail::Folded(folded) = first.message.detail else {
        unreachable!("{first:?}");
    };
    assert_eq!(folded.messages, told.folded);
    assert_eq!(folded.messages + told.waiting - 1, 1_500, "none is lost");
    let back = answered(first.number, later(None), now_us());
    outbox.answered("ops", back).await.expect("it is noted");

    let old = now_us() + 8 * DAY_US;
    let none = outbox.observe(Vec::new(), terms, old).await;
    none.expect("it is looked at");
    let kept = outbox.kept().await.expect("a look");
    assert_eq!(kept.len(), 1);
    let Detail::Folded(folded) = &kept[0].entry.message.detail else {
        unreachable!("{kept:?}");
    };
    assert_eq!(folded.messages, 1_500);
}

#[tokio::test]
async fn a_digest_is_made_once_a_day_for_each_channel_with_the_pipelines_it_hears_of() {
    let bed = Bed::new();
    let mut terms = (*told_to(&["ops"])).clone();
    let mut other = terms.general.clone();
    other.channels = vec!["audit".into()];
    terms.of.insert("other".into(), other);
    let terms = Arc::new(terms);
    let line = |name: &str| PipelineLine {
        name: name.into(),
        state: "streaming".to_owned(),
        why: String::new(),
        lag_ms: None,
        parked: None,
    };
    let order = DigestOrder {
        at: DailyAt::read("09:00").expect("a time"),
        pipelines: vec![line("shop"), line("other")],
        channels: vec!["ops".into(), "audit".into()],
    };
    let outbox = bed.open().await;
    observe(
        &outbox,
        &terms,
        report("orders", "r1", Verdict::Diverged, 7),
    )
    .await;
    let other_process = bed.open().await;
    let due = async |outbox: &Arc<SqliteOutbox>, now_us| {
        let due = outbox.digest(order.clone(), terms.clone(), now_us).await;
        due.expect("a look")
    };
    let now = now_us();
    assert!(!due(&outbox, now).await, "the first day is not told");
    assert!(!due(&other_process, now).await);
    assert!(due(&other_process, now + DAY_US).await);
    assert!(!due(&outbox, now + DAY_US).await, "another has made it");
    let kept = outbox.kept().await.expect("a look");
    let digests: Vec<_> = kept
        .iter()
        .filter_map(|one| match &one.entry.message.detail {
            Detail::Digest(digest) => Some((&*one.channel, digest)),
            _ => None,
        })
        .collect();
    assert_eq!(digests.len(), 2);
    for (channel, digest) in digests {
        let names: Vec<&str> = digest.pipelines.iter().map(|line| &*line.name).collect();
        let (pipeline, open) = match channel {
            "ops" => ("shop", 1),
            _ => ("other", 0),
        };
        assert_eq!((names, digest.open.len()), (vec![pipeline], open));
    }
}

#[tokio::test]
async fn one_holds_the_turn_until_it_lets_go() {
    let bed = Bed::new();
    let take = || Turn::take(bed.folder()).expect("a lock");
    let first = take();
    assert!(first.is_some());
    assert!(take().is_none());
    drop(first);
    assert!(take().is_some());
}

#[tokio::test]
async fn a_file_that_is_no_outbox_is_refused_with_its_code() {
    let bed = Bed::new();
    std::fs::write(
        bed.folder().join("notify.db"),
        "not a database, but a long text".repeat(99),
    )
    .expect("a file");
    let Err(error) = SqliteOutbox::open(bed.folder()).await else {
        unreachable!("it opens");
    };
    let words = error.to_string();
    assert!(words.starts_with("KL-NOTIFY-003: the outbox "), "{words}");
    assert!(words.contains("is damaged"), "{words}");
}
