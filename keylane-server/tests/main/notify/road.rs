//! A road that is watched while it runs.

use std::process::Child;

use keylane_parts::{Behaviour, Signal, send_signal};
use serde_json::Value;

use super::bed::{Bed, is_clean};
use crate::http::answer;

fn kill9(mut road: Child) {
    send_signal(road.id(), Signal::Kill).expect("SIGKILL reaches it");
    road.wait().expect("it is gone");
}

const PARKED: &str = "shop: 1 key is parked";
const NONE_PARKED: &str = "shop: no key is parked any more";

#[test]
fn a_key_that_is_parked_is_told_once_and_again_when_it_is_resolved() {
    let bed = Bed::new(Behaviour::Slack);
    let road = bed.start(&[], "run.log");
    bed.bad_customer(7);
    assert_eq!(bed.wait_taken(1), [PARKED]);
    // More of the same state tells nothing new; the road is seen to go on.
    bed.bad_customer(8);
    bed.sql("origin.db", "INSERT INTO customers VALUES (9, 'good')");
    bed.wait("the others to be applied", || bed.site.replicated() == 3);
    let discarded = bed.run(&["parked", "discard", "--all", "--yes"]);
    assert_eq!(discarded.code, Some(0), "{}", discarded.stderr);
    assert_eq!(bed.wait_taken(2), [PARKED, NONE_PARKED]);
    bed.terminate(road, "run.log");
    assert_eq!(bed.slack.received().len(), 2);
}

#[test]
fn what_changed_before_a_kill_is_told_after_it_exactly_once() {
    let mut bed = Bed::new(Behaviour::Slack);
    bed.slack.close();
    let road = bed.start(&[], "run-1.log");
    bed.bad_customer(7);
    bed.wait("the message to be kept", || bed.outbox().len() == 1);
    kill9(road);
    bed.slack.open().expect("its port");
    let road = bed.start(&[], "run-2.log");
    assert_eq!(bed.wait_taken(1), [PARKED]);
    bed.terminate(road, "run-2.log");
    let received = bed.slack.received();
    assert_eq!(received.len(), 1);
    let doubted = received[0].body.contains("may have come before");
    assert!(!doubted, "nobody was there to take it");
}

#[test]
fn a_message_that_was_on_its_way_at_a_kill_comes_and_says_that_it_may_have_come_before() {
    let bed = Bed::new(Behaviour::Hang);
    let road = bed.start(&[], "run-1.log");
    bed.bad_customer(7);
    bed.wait("the message to be on its way", || {
        bed.slack.received().len() == 1
    });
    kill9(road);
    bed.slack.from_now_on(Behaviour::Slack);
    let road = bed.start(&[], "run-2.log");
    assert_eq!(bed.wait_taken(1), [PARKED]);
    bed.terminate(road, "run-2.log");
    let taken = bed.slack.taken();
    assert_eq!(taken.len(), 1);
    assert!(
        taken[0].body.contains("may have come before"),
        "{}",
        taken[0].body
    );
}

#[test]
fn of_two_processes_one_tells_and_the_other_takes_over_when_it_is_gone() {
    let bed = Bed::new(Behaviour::Slack);
    let capture = bed.start(&["--only", "capture"], "capture.log");
    let apply = bed.start(&["--only", "apply"], "apply.log");
    bed.bad_customer(7);
    assert_eq!(bed.wait_taken(1), [PARKED]);
    kill9(capture);
    let discarded = bed.run(&["parked", "discard", "--all", "--yes"]);
    assert_eq!(discarded.code, Some(0), "{}", discarded.stderr);
    let titles = bed.wait_taken(2);
    assert_eq!(titles, [PARKED, NONE_PARKED]);
    bed.terminate(apply, "apply.log");
}

#[test]
fn a_half_that_was_killed_is_told_by_the_other() {
    let bed = Bed::new(Behaviour::Slack);
    bed.configure("  rules: { stuck: { for: 2s } }", "");
    let capture = bed.start(&["--only", "capture"], "capture.log");
    let apply = bed.start(&["--only", "apply"], "apply.log");
    bed.wait("both to run", || bed.site.replicated() == 2);
    kill9(capture);
    let gone = "shop: capture does not go on: its process is gone or does not answer";
    assert_eq!(bed.wait_taken(1), [gone]);
    let capture = bed.start(&["--only", "capture"], "capture.log");
    assert_eq!(bed.wait_taken(2), [gone, "shop: capture goes on again"]);
    bed.terminate(capture, "capture.log");
    bed.terminate(apply, "apply.log");
}

#[test]
fn a_replica_that_falls_behind_is_told_once_and_again_when_it_has_caught_up() {
    let bed = Bed::new(Behaviour::Slack);
    bed.configure("  rules: { lag: { above: 2s, for: 1s } }", "");
    let road = bed.start(&[], "run.log");
    bed.wait("the copy to be applied", || bed.site.replicated() == 2);
    // Somebody else writes the replica, so that nothing can be applied.
    let held = rusqlite::Connection::open(bed.site.path("replica.db")).expect("a database");
    held.execute_batch("BEGIN IMMEDIATE").expect("its writer");
    bed.sql("origin.db", "INSERT INTO customers VALUES (9, 'good')");
    let told = bed.wait_taken(1);
    let is_behind =
        |title: &str| title.starts_with("shop: the replica is ") && title.ends_with(" behind");
    assert!(told.iter().all(|title| is_behind(title)), "{told:?}");
    held.execute_batch("ROLLBACK").expect("it lets go");
    let told = bed.wait_taken(2);
    assert_eq!(
        told.last().map(String::as_str),
        Some("shop: the lag is below 2.0 s again")
    );
    bed.terminate(road, "run.log");
    assert_eq!(bed.slack.received().len(), 2);
}

#[test]
fn a_refusal_is_seen_in_the_status_and_in_the_log_and_can_be_tried_again() {
    let bed = Bed::new(Behaviour::Answer(403, "action_prohibited", None));
    let config = bed.site.path("keylane.yaml");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let listening = text.replace("listen: off", "listen: \"127.0.0.1:0\"");
    std::fs::write(&config, listening).expect("it is written");
    let road = bed.start(&[], "run.log");
    bed.bad_customer(7);
    bed.wait("the refusal", || {
        let outbox = bed.outbox();
        outbox.first().is_some_and(|one| one["state"] == "refused")
    });
    let status = bed.json(&["status", "--format", "json"]);
    let channel = &status["notify"]["channels"][0];
    assert_eq!(channel["channel"], "ops", "{status}");
    assert_eq!(channel["kind"], "slack", "{status}");
    assert_eq!(
        (&channel["waiting"], &channel["refused"]),
        (&0.into(), &1.into())
    );
    tells_metrics(&bed);
    let text = bed.run(&["status"]).stdout;
    assert!(text.contains("notify ops: 0 waiting, 1 refused"), "{text}");
    let log = std::fs::read_to_string(bed.site.path("run.log")).expect("its log");
    let code = "KL-NOTIFY-002: the channel refused a message: HTTP 403: action_prohibited";
    assert!(log.contains(code), "{log}");
    bed.slack.from_now_on(Behaviour::Slack);
    let retried = bed.run(&["notify", "retry", "ops"]);
    assert_eq!(retried.code, Some(0), "{}", retried.stderr);
    assert_eq!(bed.wait_taken(1), [PARKED]);
    bed.terminate(road, "run.log");
}

fn tells_metrics(bed: &Bed) {
    let note = std::fs::read(bed.site.path(".keylane/http.json")).expect("its note");
    let note: Value = serde_json::from_slice(&note).expect("JSON");
    let place = note["listen"].as_str().expect("an address");
    let metrics = answer(place, "/metrics").body;
    is_clean("/metrics", &metrics);
    let reference = std::fs::read_to_string("../docs/reference/http.md").expect("the reference");
    for (name, value) in [
        ("keylane_notify_waiting_messages", 0),
        ("keylane_notify_refused_messages", 1),
        ("keylane_notify_taken_messages_total", 0),
        ("keylane_notify_folded_messages_total", 0),
    ] {
        let sample = format!("{name}{{channel=\"ops\"}} {value}");
        assert!(
            metrics.lines().any(|line| line == sample),
            "{sample}: {metrics}"
        );
        assert!(reference.contains(&format!("`{name}`")), "{name}");
    }
    let status: Value = serde_json::from_str(&answer(place, "/v1/status").body).expect("JSON");
    assert_eq!(status["notify"]["channels"][0]["refused"], 1, "{status}");
}
