//! What was heard of choreographed sagas, in stores of both kinds: alike in any order, with any repetition, and by several at once.

use std::collections::BTreeMap;

use keylane_core::model::Offset;
use keylane_core::saga::{
    Choreographies, Choreography, ChoreographyStep, Filter, Heard, Line, Listed, Patience, Said,
    Signal, SignalKind, State, Style, Track, TrackStore, shard_of,
};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

use super::bed::{Kept, begins, plan};

const STEPS: [&str; 4] = ["a", "b", "c", "d"];
const SAGAS: usize = 40;

/// placed → a → {b, c}, b → d.
fn known() -> Choreographies {
    let step = |id: &str, consumes: &str| ChoreographyStep {
        id: id.into(),
        consumes: vec![consumes.into()],
        emits: vec![format!("{id}.done")],
    };
    let four = Choreography {
        name: "four".into(),
        topics: vec!["events".into()],
        begins: vec!["placed".into()],
        steps: vec![
            step("a", "placed"),
            step("b", "a.done"),
            step("c", "a.done"),
            step("d", "b.done"),
        ],
        ..Choreography::default()
    };
    Choreographies::new(vec![four], Patience::default())
}

fn placed(subject: &str, at_us: i64) -> Heard {
    Heard {
        type_name: "placed".into(),
        service: "/shop".into(),
        subject: Some(subject.into()),
        at_us,
        ..Heard::default()
    }
}

fn said(step: &str, said: Said, at_us: i64) -> Heard {
    Heard {
        type_name: format!("{step}.{}", said.code()),
        step: Some((step.into(), said)),
        service: format!("/{step}"),
        at_us,
        ..Heard::default()
    }
}

/// Anything that may be heard, of some sagas: also what contradicts itself, and what no choreography knows.
fn history(chance: &mut StdRng) -> Vec<(String, Heard)> {
    let mut all = Vec::new();
    for number in 0..SAGAS {
        for _ in 0..chance.random_range(1..12) {
            let at_us = chance.random_range(1..1_000);
            let step = *STEPS.choose(chance).expect("one");
            let step = if number % 10 == 9 { "unheard-of" } else { step };
            let event = match chance.random_range(0..10) {
                0 => placed(&format!("k{}", chance.random_range(0..3)), at_us),
                1 => Heard {
                    type_name: "aborted".into(),
                    aborts: true,
                    at_us,
                    ..Heard::default()
                },
                2 => Heard {
                    by_hand: true,
                    ..said(step, Said::Undone, at_us)
                },
                3 => Heard {
                    next: Some(vec!["d".into(), "e".into()]),
                    service: "/another".into(),
                    ..said(step, Said::Done, at_us)
                },
                _ => said(step, *Said::ALL.choose(chance).expect("one"), at_us),
            };
            all.push((format!("s{number}"), event));
        }
    }
    all
}

/// Joins events in batches of any size.
async fn hear(store: &dyn TrackStore, events: &[(String, Heard)], chance: &mut StdRng) {
    let mut rest = events;
    while !rest.is_empty() {
        let (batch, more) = rest.split_at(chance.random_range(1..=rest.len().min(30)));
        rest = more;
        let mut tracks: BTreeMap<String, Track> = BTreeMap::new();
        for (saga, heard) in batch {
            tracks.entry(saga.clone()).or_default().hear(heard);
        }
        store.join(&tracks, &known()).await.expect("it is written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_the_same_to_the_byte_in_any_order_with_any_repetition_and_by_several_at_once() {
    for kept in Kept::all().await {
        let other = kept.again().await;
        for seed in 0..12 {
            let mut chance = StdRng::seed_from_u64(seed);
            let events = history(&mut chance);
            kept.drop_tracks().await;
            hear(&*kept.store, &events, &mut chance).await;
            let expect = kept.track_rows().await;
            assert!(
                expect.len() > SAGAS / 2,
                "{}: {} rows",
                kept.name,
                expect.len()
            );
            // Everything comes to both, in an order of its own, and some of it again.
            let mut orders = [events.clone(), events.clone()];
            for order in &mut orders {
                let again = order.len() / 2;
                order.extend_from_within(..again);
                order.shuffle(&mut chance);
            }
            kept.drop_tracks().await;
            let (mut one, mut two) = (StdRng::seed_from_u64(seed), StdRng::seed_from_u64(!seed));
            tokio::join!(
                hear(&*kept.store, &orders[0], &mut one),
                hear(&*other, &orders[1], &mut two)
            );
            assert_eq!(kept.track_rows().await, expect, "{} seed {seed}", kept.name);
        }
    }
}

#[tokio::test]
async fn rows_that_other_choreographies_made_are_made_anew() {
    for kept in Kept::all().await {
        let mut chance = StdRng::seed_from_u64(7);
        let events = history(&mut chance);
        hear(&*kept.store, &events, &mut chance).await;
        let expect = kept.track_rows().await;
        let none = Choreographies::default();
        while kept.store.renew(&none).await.expect("it is written") > 0 {}
        assert_ne!(kept.track_rows().await, expect, "{}", kept.name);
        while kept.store.renew(&known()).await.expect("it is written") > 0 {}
        assert_eq!(kept.track_rows().await, expect, "{}", kept.name);
    }
}

/// One that has completed, one that runs, one that is late since long ago, one that nobody knows; and one that is driven.
async fn some(kept: &Kept) -> i64 {
    let now_us = keylane::workers::stats::now_us();
    let done = STEPS.map(|step| ("done".to_owned(), said(step, Said::Done, 20)));
    let mut events = vec![
        ("done".to_owned(), placed("k-done", 10)),
        ("late".to_owned(), placed("k-late", 30)),
        ("runs".to_owned(), placed("k-runs", now_us)),
        ("boat".to_owned(), said("boat", Said::Done, 40)),
    ];
    events.extend(done);
    hear(&*kept.store, &events, &mut StdRng::seed_from_u64(1)).await;
    let driven = begins(&plan(), "driven", Some("k"), serde_json::Value::Null, 1);
    kept.committed(driven).await;
    now_us
}

#[tokio::test]
async fn sagas_of_both_styles_are_listed_together() {
    for kept in Kept::all().await {
        some(&kept).await;
        let list = async |change: fn(&mut Filter)| -> Vec<String> {
            let mut filter = Filter {
                limit: 10,
                ..Filter::default()
            };
            change(&mut filter);
            let listed = kept.store.list(&filter).await.expect("a list");
            listed.into_iter().map(|it| it.id).collect()
        };
        let all = |it: &mut Filter| it.states = State::ALL.to_vec();
        // The youngest first.
        assert_eq!(
            list(all).await,
            ["runs", "driven", "boat", "late", "done"],
            "{}",
            kept.name
        );
        assert_eq!(list(|_| {}).await, ["runs", "driven", "boat", "late"]);
        assert_eq!(list(|it| it.states = vec![State::Stuck]).await, ["late"]);
        assert_eq!(
            list(|it| it.states = vec![State::Completed]).await,
            ["done"]
        );
        assert_eq!(
            list(|it| it.step = Some("a".into())).await,
            ["runs", "late"]
        );
        assert_eq!(list(|it| it.key = Some("k-late".into())).await, ["late"]);
        assert_eq!(
            list(|it| it.definition = Some("four".into())).await,
            ["runs", "late"]
        );
        assert_eq!(
            list(|it| it.started_before_us = Some(41)).await,
            ["boat", "late"]
        );
        assert_eq!(list(|it| it.behind = Some("boat".into())).await, ["late"]);
        assert_eq!(oldest_open(&kept).await, expected_late(), "{}", kept.name);
        check_figures(&kept).await;
    }
}

/// The last of the list.
async fn oldest_open(kept: &Kept) -> Listed {
    let filter = Filter {
        limit: 10,
        ..Filter::default()
    };
    let listed = kept.store.list(&filter).await;
    listed.expect("a list").pop().expect("one")
}

fn expected_late() -> Listed {
    Listed {
        id: "late".into(),
        style: Style::Choreography,
        key: Some("k-late".into()),
        definition: Some("four".into()),
        version: None,
        state: State::Stuck,
        step: Some("a".into()),
        attempts: 0,
        why: Some("a was set going and has not ended in time".into()),
        started_us: 30,
        updated_us: 30,
    }
}

async fn check_figures(kept: &Kept) {
    let counts = kept.store.figures().await.expect("figures").counts;
    let counts: Vec<_> = counts
        .iter()
        .map(|it| {
            (
                it.style.code(),
                it.definition.as_deref(),
                it.state.code(),
                it.sagas,
            )
        })
        .collect();
    let driven = ("orchestration", Some("order"), "running", 1);
    let known = ["running", "stuck"].map(|state| ("choreography", Some("four"), state, 1));
    let unknown = ("choreography", None, "running", 1);
    assert_eq!(counts.len(), 4, "{counts:?}");
    for expect in [driven, known[0], known[1], unknown] {
        assert!(
            counts.contains(&expect),
            "{}: {expect:?} in {counts:?}",
            kept.name
        );
    }
}

#[tokio::test]
async fn one_that_ended_is_forgotten_with_what_was_asked_of_it() {
    for kept in Kept::all().await {
        let now_us = some(&kept).await;
        let abort = signal("done", "events");
        kept.store
            .signal("done", &[asked()], &[abort])
            .await
            .expect("it is noted");
        assert_eq!(
            kept.store.forget(20, 0).await.expect("nothing is so old"),
            0
        );
        assert!(kept.store.tracked("done").await.expect("read").is_some());
        assert_eq!(
            kept.store.forget(now_us, 0).await.expect("it is forgotten"),
            1
        );
        assert_eq!(kept.store.tracked("done").await.expect("read"), None);
        assert!(kept.store.tracked("late").await.expect("read").is_some());
        let shards: Vec<u16> = (0..16).collect();
        assert_eq!(
            kept.store.unsent_signals(&shards, 10).await.expect("read"),
            []
        );
    }
}

fn signal(saga: &str, topic: &str) -> Signal {
    Signal {
        saga: saga.into(),
        kind: SignalKind::Abort,
        topic: topic.into(),
        actor: "ann".into(),
        reason: "why".into(),
        at_us: 50,
    }
}

fn asked() -> Line {
    Line {
        at_us: 50,
        what: "asked".into(),
        step: None,
        attempt: None,
        actor: Some("ann".into()),
        reason: Some("roll_back: why".into()),
    }
}

#[tokio::test]
async fn a_signal_waits_until_it_is_sent_and_is_there_once() {
    for kept in Kept::all().await {
        some(&kept).await;
        let store = &kept.store;
        let both = [signal("late", "one"), signal("late", "two")];
        for _ in 0..2 {
            store
                .signal("late", &[asked()], &both)
                .await
                .expect("it is noted");
        }
        let own = [shard_of("late")];
        let others: Vec<u16> = (0..16).filter(|it| *it != own[0]).collect();
        assert_eq!(store.unsent_signals(&others, 10).await.expect("read"), []);
        let unsent = store.unsent_signals(&own, 10).await.expect("read");
        let signals: Vec<Signal> = unsent.iter().map(|it| it.signal.clone()).collect();
        assert_eq!(signals, both, "{}", kept.name);
        let [first, second] = [unsent[0].number, unsent[1].number];
        store
            .try_signal(first, 3, Offset(77))
            .await
            .expect("it is noted");
        let unsent = store.unsent_signals(&own, 1).await.expect("read");
        assert_eq!(unsent[0].tried_at, Some((3, Offset(77))));
        store.signal_sent(first).await.expect("it is noted");
        store.signal_sent(second).await.expect("it is noted");
        assert_eq!(store.unsent_signals(&own, 10).await.expect("read"), []);
        let tracked = store
            .tracked("late")
            .await
            .expect("read")
            .expect("it is there");
        assert_eq!(tracked.asked, [asked(), asked()]);
        assert_eq!(tracked.told, both.map(|it| (it, true)));
        let what: Vec<String> = tracked.timeline().into_iter().map(|it| it.what).collect();
        assert_eq!(what, ["heard", "asked", "asked"]);
        // Told again, it is looked for from where it goes out again.
        store
            .signal("late", &[], &[signal("late", "one")])
            .await
            .expect("it is noted");
        let unsent = store.unsent_signals(&own, 10).await.expect("read");
        assert_eq!((unsent.len(), unsent[0].tried_at), (1, None));
    }
}
