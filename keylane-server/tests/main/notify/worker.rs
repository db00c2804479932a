//! How a worker tells what it found: the handle, over deaths and beside a running road.

use std::time::Duration;

use keylane_core::notify::{SampleKey, TableReport, ValuePair, Verdict};
use keylane_parts::Behaviour;
use keylane_server::config::Config;
use keylane_server::notify::Notifier;

use super::bed::{Bed, titles};

const WITHIN: Duration = Duration::from_secs(30);

fn report(run: &str, verdict: Verdict, different: u64, repaired: u64) -> TableReport {
    let sample = SampleKey {
        key: "{\"id\":1}".to_owned(),
        values: vec![ValuePair {
            column: "name".to_owned(),
            origin: "rowmarker".to_owned(),
            replica: String::new(),
        }],
    };
    TableReport {
        different,
        repaired,
        rows_origin: 100,
        rows_replica: 100,
        keys: vec![sample],
        ..TableReport::new(Some("shop"), "main.customers", run, verdict)
    }
}

async fn notifier(bed: &Bed) -> Notifier {
    let config = Config::load(&bed.site.path("keylane.yaml")).expect("it is right");
    let opened = Notifier::open(&config).await.expect("the outbox opens");
    opened.expect("there is a channel")
}

/// A handle, by which this was told.
async fn told(bed: &Bed, report: TableReport) -> Notifier {
    let notifier = notifier(bed).await;
    let taken = notifier.tables(vec![report]).await;
    taken.expect("it is taken in");
    notifier
}

#[tokio::test]
async fn a_run_that_is_told_again_after_a_death_is_told_once() {
    let bed = Bed::new(Behaviour::Slack);
    let runs = [
        report("r1", Verdict::Equal, 0, 0),
        report("r2", Verdict::Diverged, 3, 0),
        report("r3", Verdict::Diverged, 3, 0),
        report("r4", Verdict::Equal, 3, 3),
        report("r5", Verdict::Equal, 0, 0),
    ];
    for run in runs {
        for _ in 0..2 {
            // It died before it noted that the run is told.
            told(&bed, run.clone()).await;
        }
    }
    assert_eq!(bed.slack.received().len(), 0, "nobody sends yet");
    notifier(&bed)
        .await
        .deliver(WITHIN)
        .await
        .expect("its turn");
    let expect = [
        "shop: main.customers: 3 rows diverged",
        "shop: main.customers: 3 rows diverged, 3 repaired",
        "shop: main.customers: equal",
    ];
    assert_eq!(titles(&bed.slack.taken()), expect);
    let values = bed
        .slack
        .received()
        .iter()
        .any(|one| one.body.contains("rowmarker"));
    assert!(!values, "keys only");
}

#[tokio::test]
async fn beside_a_running_road_it_is_the_road_that_sends() {
    let bed = Bed::new(Behaviour::Slack);
    let road = bed.start(&[], "run.log");
    // The road has the turn once it has told of this.
    bed.bad_customer(7);
    bed.wait_taken(1);
    bed.slack.from_now_on(Behaviour::Answer(503, "", None));
    let notifier = told(&bed, report("r1", Verdict::Diverged, 3, 0)).await;
    notifier.deliver(WITHIN).await.expect("no turn is no error");
    bed.slack.from_now_on(Behaviour::Slack);
    let titles = bed.wait_taken(2);
    assert_eq!(titles[1..], ["shop: main.customers: 3 rows diverged"]);
    bed.terminate(road, "run.log");
    assert_eq!(bed.slack.taken().len(), 2);
}

#[tokio::test]
async fn with_values_asked_for_they_are_told() {
    let bed = Bed::new(Behaviour::Slack);
    bed.configure("  values: true", "");
    let notifier = told(&bed, report("r1", Verdict::Diverged, 3, 0)).await;
    notifier.deliver(WITHIN).await.expect("its turn");
    let body = &bed.slack.taken()[0].body;
    assert!(body.contains("name: rowmarker at the origin"), "{body}");
}
