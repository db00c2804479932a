//! Whole lives of messages: a receiver as Slack is on bad days, and what it has taken at the end.

use std::time::Duration;

use keylane::workers::notify::{Channels, deliver};
use keylane_core::notify::{Outbox, Verdict};
use keylane_parts::{Behaviour, Received, Receiver, wait_until};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::bed::{Bed, PATIENCE, figures, observe, report, slack, told_to, webhook};

/// The titles of what was taken, without their severity.
fn titles(taken: &[Received]) -> Vec<String> {
    let title = |one: &Received| {
        let body: Value = serde_json::from_str(&one.body).ok()?;
        let text = body["blocks"][0]["text"]["text"].as_str()?;
        Some(text.split_once("] ")?.1.to_owned())
    };
    taken.iter().filter_map(title).collect()
}

#[tokio::test]
async fn through_every_kind_of_trouble_each_change_is_taken_once_and_in_order() {
    let bed = Bed::new();
    let terms = told_to(&["ops"]);
    let receiver = Receiver::start(Behaviour::Slack).expect("a port");
    receiver.next([
        Behaviour::Answer(429, "", Some(2)),
        Behaviour::Answer(500, "", None),
        Behaviour::Slack,
        Behaviour::DieUnanswered,
        Behaviour::DieInBody,
        Behaviour::Answer(503, "", Some(1)),
        Behaviour::DieUnread,
        Behaviour::Slack,
    ]);
    let outbox = bed.open().await;
    let seen = [
        ("r1", Verdict::Equal, 0),
        ("r2", Verdict::Diverged, 7),
        ("r3", Verdict::Diverged, 7),
        ("r4", Verdict::Stalled, 0),
        ("r5", Verdict::Equal, 0),
        ("r6", Verdict::Diverged, 8),
    ];
    for (run, verdict, different) in seen {
        observe(&outbox, &terms, report("orders", run, verdict, different)).await;
    }
    bed.send(&outbox, "ops", slack(&receiver)).await;
    let expect = [
        "shop: orders: 7 rows diverged",
        "shop: orders: not compared: the road does not come through",
        "shop: orders: equal",
        "shop: orders: 8 rows diverged",
    ];
    assert_eq!(titles(&receiver.taken()), expect);
    let received = receiver.received();
    let early = received.iter().filter(|one| one.is_early).count();
    assert_eq!(early, 0, "Retry-After is waited for");
    let told = figures(&outbox, "ops").await;
    assert_eq!((told.waiting, told.refused, told.taken), (0, 0, 4));
}

#[tokio::test]
async fn a_message_that_is_refused_is_kept_and_holds_up_no_other() {
    let bed = Bed::new();
    let terms = told_to(&["ops"]);
    let receiver = Receiver::start(Behaviour::Slack).expect("a port");
    receiver.next([Behaviour::Answer(404, "no_service", None)]);
    let outbox = bed.open().await;
    for table in ["a", "b"] {
        observe(&outbox, &terms, report(table, "r1", Verdict::Diverged, 7)).await;
    }
    bed.send(&outbox, "ops", slack(&receiver)).await;
    assert_eq!(titles(&receiver.taken()), ["shop: b: 7 rows diverged"]);
    let kept = outbox.kept().await.expect("a look");
    assert_eq!(kept.len(), 1);
    assert!(kept[0].is_refused);
    assert_eq!(kept[0].why, "KL-NOTIFY-002: HTTP 404: no_service");
    let told = figures(&outbox, "ops").await;
    assert_eq!((told.waiting, told.refused), (0, 1));
    // Once the URL is mended.
    let again = outbox.resolve_refused(Some("ops"), false).await;
    assert_eq!(again.expect("it is changed"), 1);
    bed.send(&outbox, "ops", slack(&receiver)).await;
    assert_eq!(receiver.taken().len(), 2);
    assert!(outbox.kept().await.expect("a look").is_empty());
}

#[tokio::test]
async fn a_channel_that_hangs_or_is_away_holds_up_no_other_channel() {
    let bed = Bed::new();
    let terms = told_to(&["ops", "audit"]);
    let (ops, audit) = (
        Receiver::start(Behaviour::Hang).expect("a port"),
        Receiver::start(Behaviour::Take).expect("a port"),
    );
    let outbox = bed.open().await;
    let channels = Channels::from([
        ("ops".into(), slack(&ops)),
        ("audit".into(), webhook(&audit, None)),
    ]);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let sender = outbox.clone();
    let sending = tokio::spawn(async move {
        deliver(sender, &channels, &stopped, Duration::from_millis(10)).await;
    });
    observe(
        &outbox,
        &terms,
        report("orders", "r1", Verdict::Diverged, 7),
    )
    .await;
    let waiting = tokio::task::spawn_blocking(move || {
        let awaited = "the other channel to take it, while the first hangs";
        let hangs = || Ok(audit.taken().len() == 1 && ops.received().len() == 1);
        wait_until(awaited, PATIENCE, hangs).expect("it does");
        (ops, audit)
    });
    let (mut ops, audit) = waiting.await.expect("it ends");
    assert_eq!(ops.taken().len(), 0);
    ops.from_now_on(Behaviour::Slack);
    ops.close();
    observe(&outbox, &terms, report("orders", "r2", Verdict::Equal, 0)).await;
    ops.open().expect("its port");
    let waiting = tokio::task::spawn_blocking(move || {
        let both = || Ok(ops.taken().len() == 2 && audit.taken().len() == 2);
        wait_until("both channels to take both", PATIENCE, both).expect("they do");
        ops
    });
    let ops = waiting.await.expect("it ends");
    let expect = ["shop: orders: 7 rows diverged", "shop: orders: equal"];
    assert_eq!(titles(&ops.taken()), expect);
    let repeated = &ops.taken()[0].body;
    assert!(repeated.contains("may have come before"), "{repeated}");
    stop.cancel();
    sending.await.expect("it ends");
}
