//! What every store of sagas promises, on each.

use keylane_core::saga::{
    Batch, Definition, Event, Filter, Op, Operation, Outcome, ParkedAnswer, Participant, Reply,
    State, Step, StoreErrorKind, Wanted, Written, check, shard_of,
};
use serde_json::{Value, json};

use super::bed::{Kept, answer, begins, driven, id_in, ids, kept, moves, numbers, ok, plan};

/// A yes of every step.
fn to_its_end() -> Vec<Event> {
    let steps = ["reserve", "hold", "charge", "ship"];
    let numbered = steps.into_iter().zip(1..);
    numbered
        .map(|(step, number)| ok(step, json!(number)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_is_kept_for_ever_and_another_one_under_its_version_is_refused() {
    for bed in Kept::all().await {
        let first = kept(&plan());
        bed.store.register(&first).await.expect("new");
        bed.store.register(&first).await.expect("the same again");
        let other = Definition::new("order", 1).step(Step::retriable(
            "ship",
            Participant::Named("shop".into()),
            "ship.v2",
        ));
        let other = kept(&check(other).expect("it keeps the rules"));
        let refused = bed.store.register(&other).await.expect_err(bed.name);
        assert_eq!(refused.kind, StoreErrorKind::Refused);
        assert!(
            refused.message.contains("saga order version 1"),
            "{refused}"
        );
        let again = bed.again().await;
        assert_eq!(again.definitions().await.expect("read"), [first]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_as_it_was_decided() {
    for bed in Kept::all().await {
        // Texts that are awkward to some database.
        let data = json!({"name": "\u{0}\u{1F682} ' \" \\ €", "n": 12345678901234567890_u64, "x": 1.0, "none": null});
        let change = begins(&plan(), "s-1", Some("k ' €"), data, 7);
        let begun = change.decision.saga.clone();
        let numbers = numbers(bed.committed(change).await).expect("it is new");
        assert_eq!(numbers.len(), 2);
        assert_eq!(bed.saga("s-1").await.as_ref(), Some(&begun), "{}", bed.name);
        let end = driven(
            &bed,
            begun,
            vec![
                ok("reserve", json!({"seat": ["7a"]})),
                ok("hold", Value::Null),
            ],
        )
        .await;
        assert_eq!(bed.saga("s-1").await, Some(end.saga), "{}", bed.name);
        let unsent = bed
            .store
            .unsent(&(0..16).collect::<Vec<_>>(), &[], 10)
            .await;
        let unsent = unsent.expect("read");
        // The later command to a step takes the place of the earlier one; these steps have others.
        let mut steps: Vec<&str> = unsent.iter().map(|it| it.command.step.as_str()).collect();
        steps.sort_unstable();
        assert_eq!(steps, ["charge", "hold", "reserve"]);
        let charge = unsent.iter().find(|it| it.command.step == "charge");
        assert_eq!(charge.map(|it| &it.command), end.commands.first());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_from_old_rows_writes_nothing() {
    for bed in Kept::all().await {
        let begun = bed.begun("s-1", None).await;
        let first = moves(&begun, ok("reserve", json!(1)), 2_000_000, None);
        let second = moves(
            &begun,
            answer("reserve", Op::Action, Outcome::Rejected("no".into())),
            2_000_001,
            None,
        );
        let now = first.decision.saga.clone();
        assert!(matches!(bed.committed(first).await, Written::Done(_)));
        assert_eq!(bed.committed(second).await, Written::Stale, "{}", bed.name);
        assert_eq!(bed.saga("s-1").await, Some(now));
        let shown = bed.store.show("s-1").await.expect("read").expect("there");
        let what: Vec<&str> = shown
            .timeline
            .iter()
            .map(|line| line.what.as_str())
            .collect();
        assert_eq!(
            what,
            ["started", "action_sent", "action_sent", "done"],
            "{}",
            bed.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stale_decision_of_a_batch_keeps_no_other_from_being_written() {
    for bed in Kept::all().await {
        let (one, other) = (bed.begun("s-1", None).await, bed.begun("s-2", None).await);
        driven(&bed, one.clone(), vec![ok("hold", json!(0))]).await;
        let batch = Batch {
            changes: vec![
                moves(&one, ok("reserve", json!(1)), 3_000_000, None),
                moves(&other, ok("reserve", json!(2)), 3_000_000, None),
            ],
            ..Batch::default()
        };
        let written = bed.store.commit(&batch).await.expect("written");
        assert_eq!(written[0], Written::Stale, "{}", bed.name);
        assert!(matches!(written[1], Written::Done(_)), "{}", bed.name);
        let replies = async |id| {
            bed.saga(id)
                .await
                .and_then(|saga| saga.steps[0].reply.clone())
        };
        assert_eq!(
            (replies("s-1").await, replies("s-2").await),
            (None, Some(json!(2)))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_starts_one_saga_also_after_it_has_ended() {
    for bed in Kept::all().await {
        let saga = bed.begun("s-1", Some("k")).await;
        let again = |id: &str, request| begins(&plan(), id, Some("k"), json!({}), request);
        let taken = Written::Taken {
            id: "s-1".into(),
            request: 7,
        };
        assert_eq!(bed.committed(again("s-2", 7)).await, taken, "{}", bed.name);
        let no = answer("reserve", Op::Action, Outcome::Rejected("no".into()));
        let noop = |step| answer(step, Op::Compensate, Outcome::Noop);
        driven(&bed, saga, vec![no, noop("reserve"), noop("hold")]).await;
        assert_eq!(bed.saga("s-1").await, None);
        assert_eq!(bed.committed(again("s-3", 8)).await, taken, "{}", bed.name);
        // Two at once.
        let two = |id: &str| begins(&plan(), id, Some("other"), json!({}), 1);
        let batch = Batch {
            changes: vec![two("s-4"), two("s-5")],
            ..Batch::default()
        };
        let written = bed.store.commit(&batch).await.expect("written");
        let done = written.iter().filter(|it| matches!(it, Written::Done(_)));
        let is_taken = |it: &&Written| matches!(it, Written::Taken { request: 1, .. });
        assert_eq!(
            (done.count(), written.iter().filter(is_taken).count()),
            (1, 1),
            "{}",
            bed.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_ended_leaves_the_living_and_is_shown_and_listed_all_the_same() {
    for bed in Kept::all().await {
        let saga = bed.begun("s-1", Some("k")).await;
        bed.begun("s-2", None).await;
        let end = driven(&bed, saga, to_its_end()).await;
        let found = bed
            .store
            .read(&ids(["s-1", "s-2", "s-3"]))
            .await
            .expect("read");
        assert_eq!(found.sagas.len(), 1);
        assert_eq!(
            found.ended.iter().collect::<Vec<_>>(),
            ["s-1"],
            "{}",
            bed.name
        );
        let shown = bed.store.show("s-1").await.expect("read").expect("there");
        assert_eq!(shown.saga, end.saga, "{}", bed.name);
        assert_eq!(
            shown.timeline.last().map(|line| line.what.as_str()),
            Some("completed")
        );
        let unsent = bed
            .store
            .unsent(&[shard_of("s-1")], &[], 10)
            .await
            .expect("read");
        assert!(
            unsent.iter().all(|it| it.command.saga != "s-1"),
            "{}",
            bed.name
        );
        let list = async |states: &[State]| {
            let filter = Filter {
                states: states.to_vec(),
                limit: 10,
                ..Filter::default()
            };
            let listed = bed.store.list(&filter).await.expect("listed");
            listed
                .into_iter()
                .map(|it| (it.id, it.state))
                .collect::<Vec<_>>()
        };
        assert_eq!(list(&[]).await, [("s-2".to_owned(), State::Running)]);
        assert_eq!(
            list(&[State::Completed]).await,
            [("s-1".to_owned(), State::Completed)]
        );
        assert_eq!(list(&State::ALL).await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_ended_is_not_counted_and_is_forgotten_with_its_key() {
    for bed in Kept::all().await {
        let saga = bed.begun("s-1", Some("k")).await;
        bed.begun("s-2", None).await;
        driven(&bed, saga, to_its_end()).await;
        let figures = bed.store.figures().await.expect("counted");
        let counts: Vec<(State, u64)> = figures
            .counts
            .iter()
            .map(|it| (it.state, it.sagas))
            .collect();
        assert_eq!(counts, [(State::Running, 1)], "{}", bed.name);
        assert_eq!(bed.store.forget(i64::MAX, i64::MAX).await, Ok(1));
        assert_eq!(bed.store.show("s-1").await, Ok(None));
        let reused = begins(&plan(), "s-9", Some("k"), json!({}), 9);
        assert!(
            matches!(bed.committed(reused).await, Written::Done(_)),
            "{}",
            bed.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_are_found_by_what_is_due_and_by_whom_they_wait_for() {
    for bed in Kept::all().await {
        let saga = bed.begun(&id_in(3), None).await;
        let due_us = saga.next_us().expect("something is due");
        let wanted = |shards: &[u16], due_us| Wanted {
            shards: shards.to_vec(),
            due_us: Some(due_us),
            limit: 10,
            ..Wanted::default()
        };
        let found = async |wanted: &Wanted| bed.store.read(wanted).await.expect("read").sagas;
        assert_eq!(
            found(&wanted(&[3], due_us)).await,
            std::slice::from_ref(&saga),
            "{}",
            bed.name
        );
        assert_eq!(found(&wanted(&[3], due_us - 1)).await, []);
        assert_eq!(found(&wanted(&[2, 4], due_us)).await, []);
        let waits = |name: &str| Wanted {
            shards: vec![3],
            waiting_for: vec![name.into()],
            limit: 10,
            ..Wanted::default()
        };
        assert_eq!(found(&waits("shop")).await, [], "it was asked once");
        let again = moves(&saga, Event::Due, due_us + 60_000_000 - 1, None);
        let now = again.decision.saga.clone();
        assert!(matches!(bed.committed(again).await, Written::Done(_)));
        if now.steps.iter().any(|row| row.tries > 1) {
            assert_eq!(found(&waits("shop")).await, [now], "{}", bed.name);
        }
        assert_eq!(found(&waits("bank")).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_leaves_the_outbox_only_by_its_own_number() {
    for bed in Kept::all().await {
        let id = id_in(5);
        let change = begins(&plan(), &id, None, json!({}), 0);
        let saga = change.decision.saga.clone();
        let first = numbers(bed.committed(change).await).expect("it is new");
        let retry = Event::Operation {
            operation: Operation::Retry {
                step: Some("hold".into()),
            },
            actor: "somebody".into(),
            reason: "why not".into(),
        };
        let second = numbers(bed.committed(moves(&saga, retry, 3_000_000, None)).await)
            .expect("it is as it was read");
        let sent = async |numbers: Vec<i64>| {
            let batch = Batch {
                sent: numbers,
                ..Batch::default()
            };
            bed.store.commit(&batch).await.expect("deleted");
            let unsent = bed.store.unsent(&[5], &[], 10).await.expect("read");
            unsent
                .into_iter()
                .map(|it| (it.number, it.command.attempt))
                .collect::<Vec<_>>()
        };
        assert_eq!(sent(first).await, [(second[0], 2)], "{}", bed.name);
        assert_eq!(bed.store.unsent(&[4], &[], 10).await, Ok(vec![]));
        assert_eq!(
            bed.store.unsent(&[5], &["shop".into()], 10).await,
            Ok(vec![])
        );
        assert_eq!(sent(second).await, [], "{}", bed.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_saga_that_is_not_known_waits_for_it() {
    for bed in Kept::all().await {
        let answer = |value| ParkedAnswer {
            saga: "s-1".into(),
            reply: Reply {
                step: "hold".into(),
                op: Op::Action,
                outcome: Outcome::Ok(value),
            },
            at_us: 5,
        };
        let batch = Batch {
            park: vec![answer(json!(1)), answer(json!({"seat": 2}))],
            ..Batch::default()
        };
        bed.store.commit(&batch).await.expect("parked");
        let asked = Wanted {
            parked: true,
            limit: 10,
            ..Wanted::default()
        };
        let parked = async || bed.store.read(&asked).await.expect("read").parked;
        assert_eq!(parked().await, [], "{}", bed.name);
        bed.begun("s-1", None).await;
        assert_eq!(parked().await, [answer(json!({"seat": 2}))], "{}", bed.name);
        let batch = Batch {
            unpark: vec!["s-1".into()],
            ..Batch::default()
        };
        bed.store.commit(&batch).await.expect("unparked");
        assert_eq!(parked().await, [], "{}", bed.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_and_refused_is_noted_with_who_and_why() {
    for bed in Kept::all().await {
        let saga = bed.begun("s-1", None).await;
        let skip = Event::Operation {
            operation: Operation::Skip {
                step: "nowhere".into(),
            },
            actor: "anna".into(),
            reason: "a test\u{0}".into(),
        };
        let change = moves(&saga, skip, 2_000_000, None);
        assert_eq!(change.decision.saga.revision, saga.revision);
        assert!(matches!(bed.committed(change).await, Written::Done(_)));
        let shown = bed.store.show("s-1").await.expect("read").expect("there");
        let told: Vec<_> = shown
            .timeline
            .iter()
            .filter(|line| line.actor.as_deref() == Some("anna"))
            .collect();
        let what: Vec<&str> = told.iter().map(|line| line.what.as_str()).collect();
        assert_eq!(what, ["asked", "refused"], "{}", bed.name);
        assert!(
            told[0]
                .reason
                .as_deref()
                .is_some_and(|why| why.starts_with("skip: a test"))
        );
        assert_eq!(bed.saga("s-1").await, Some(saga));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_on_behind_the_last_and_keep_to_their_filter() {
    for bed in Kept::all().await {
        for number in 0..7 {
            bed.begun(&format!("s-{number}"), Some(&format!("k-{number}")))
                .await;
        }
        let list = async |filter: Filter| {
            let listed = bed.store.list(&filter).await.expect("listed");
            listed.into_iter().map(|it| it.id).collect::<Vec<_>>()
        };
        let some = |limit, behind: Option<&str>| Filter {
            limit,
            behind: behind.map(str::to_owned),
            ..Filter::default()
        };
        let first = list(some(4, None)).await;
        assert_eq!(first, ["s-6", "s-5", "s-4", "s-3"], "{}", bed.name);
        assert_eq!(
            list(some(4, Some("s-3"))).await,
            ["s-2", "s-1", "s-0"],
            "{}",
            bed.name
        );
        let of = |change: &dyn Fn(&mut Filter)| {
            let mut filter = some(10, None);
            change(&mut filter);
            filter
        };
        assert_eq!(list(of(&|it| it.key = Some("k-2".into()))).await, ["s-2"]);
        assert_eq!(
            list(of(&|it| it.step = Some("hold".into()))).await.len(),
            7,
            "{}",
            bed.name
        );
        assert_eq!(
            list(of(&|it| it.step = Some("charge".into()))).await.len(),
            0
        );
        assert_eq!(
            list(of(&|it| it.definition = Some("other".into())))
                .await
                .len(),
            0
        );
        assert_eq!(
            list(of(&|it| it.started_before_us = Some(1_000_000)))
                .await
                .len(),
            0
        );
        assert_eq!(
            list(of(&|it| it.started_before_us = Some(1_000_001)))
                .await
                .len(),
            7
        );
    }
}
