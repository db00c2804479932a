//! Choreographed sagas as users see them and act on them: followed from topics by a process that is killed, listed and shown, rolled back, and known to the byte when everything is heard anew.

use keylane_parts::wait_until;
use serde_json::Value;

use super::bed::read;
use super::services::Services;
use crate::bed::{Bed, PATIENCE, left_out};
use crate::running::Running;

pub(super) const EVENTS: &str = "tracked.events";
pub(super) const SIGNAL: &str = "tracked.signal";
const SAGAS: usize = 60;
/// One of the topics is not there, which holds up no other.
const ORDER: &str = "
choreography: order
topics: [tracked.events, tracked.nowhere]
signal: tracked.signal
begins: [order.placed]
steps:
  - { id: stock, consumes: [order.placed] }
  - { id: payment, consumes: [stock.done] }
  - { id: shipping, consumes: [payment.done] }
";

/// Who follows the sagas.
pub(super) struct Tracker {
    pub bed: Bed,
    running: Option<Running>,
}

impl Tracker {
    pub fn start(bed: Bed) -> Tracker {
        std::fs::write(bed.folder.path().join("order.yaml"), ORDER).expect("written");
        let mut tracker = Tracker { bed, running: None };
        tracker.configure("tracked-first");
        // Makes the tables.
        assert_eq!(tracker.count("all"), 0);
        tracker.again();
        tracker
    }

    fn configure(&self, group: &str) {
        let text = format!(
            "version: 1\nhttp: {{ listen: off }}\nlog: {{ kafka: {{ bootstrap: \"{}\" }} }}\nsaga:\n  store: {{ postgres: {{ url: \"{}\" }} }}\n  choreographies: [order.yaml]\n  lease: 1s\n  tracker: {{ group: {group} }}\n",
            self.bed.kafka,
            self.bed.replica_url()
        );
        std::fs::write(self.bed.config(), text).expect("written");
    }

    /// Kills it, and brings it back.
    pub fn again(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill9();
        }
        let command = self.bed.keylane(&["saga", "serve"]);
        self.running = Some(Running::start(command, self.bed.folder.path()));
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    /// How many sagas a list has.
    fn count(&self, state: &str) -> usize {
        let list = ["saga", "list", "--state", state, "--limit", "1000"];
        let listed = self
            .bed
            .json(&[&list[..], &["--format", "json"]].concat(), 0);
        listed["sagas"].as_array().expect("a list").len()
    }

    fn show(&self, id: &str) -> Value {
        self.bed.json(&["saga", "show", id, "--format", "json"], 0)
    }

    /// Waits until the list has so many in each of these states.
    pub fn wait_for(&self, expect: &[(&str, usize)]) {
        let stand = || -> Vec<(&str, usize)> {
            let states = expect.iter();
            states
                .map(|(state, _)| (*state, self.count(state)))
                .collect()
        };
        let came = wait_until("the list to say so", PATIENCE, || Ok(stand() == expect));
        assert!(came.is_ok(), "{:?}\n{}", stand(), self.running().log());
    }

    /// Asks for a saga to be rolled back; kills whoever is to tell it, before and after, and waits until nothing is left of it.
    fn compensate(&mut self, id: &str) {
        let ask = ["saga", "compensate", id, "--reason", "the customer left"];
        let asked = self.bed.run(&[&ask[..], &["--actor", "ann"]].concat());
        let stderr = String::from_utf8_lossy(&asked.stderr);
        assert_eq!(asked.status.code(), Some(0), "{stderr}");
        self.again();
        let unsent = "select count(*) from keylane.saga_signal where tried_at is null";
        let running = self.running();
        self.bed.wait(running, "the abort to be tried", || {
            self.bed.replica_sql(unsent) == "0"
        });
        self.again();
        let running = self.running();
        self.bed.wait(running, "nothing to be left of it", || {
            self.show(id)["state"] == "compensated"
        });
    }

    /// All that is kept of the sagas, to the byte.
    fn rows(&self) -> String {
        let sql = "select string_agg(t::text, E'\\n' order by id) from keylane.saga_track as t";
        self.bed.replica_sql(sql)
    }
}

/// How many aborts of a saga a topic holds.
fn aborts(kafka: &str, saga: &str) -> usize {
    let id = format!("{saga}/abort");
    let records = read(kafka, SIGNAL).with_headers;
    let is_it =
        |headers: &&std::collections::BTreeMap<String, String>| headers.get("ce_id") == Some(&id);
    records.iter().filter(is_it).count()
}

fn words(line: &Value) -> (&str, &str) {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    (text("what"), text("step"))
}

#[test]
fn sagas_that_nobody_drives_are_listed_rolled_back_and_known_to_the_byte() {
    if left_out() {
        return;
    }
    let names = ["track_stock", "track_payment", "track_shipping"];
    let services = Services::start(names, EVENTS, &[SIGNAL]);
    let road = services.capture();
    let mut tracker = Tracker::start(Bed::bare("track_sagas"));
    services.place(&format!(
        "select 's' || n from generate_series(1, {SAGAS}) n"
    ));
    services.place("select 'held'");
    for _ in 0..4 {
        let before = tracker.rows();
        tracker.bed.wait(tracker.running(), "more to be heard", || {
            let now = tracker.rows();
            now != before || tracker.count("ended") == SAGAS
        });
        tracker.again();
    }
    let no = SAGAS / 10;
    tracker.wait_for(&[("completed", SAGAS - no), ("compensated", no), ("open", 1)]);

    let shown = tracker.show("s1");
    assert_eq!(shown["style"], "choreography");
    assert_eq!(shown["definition"], "order");
    assert_eq!(shown["key"], "order s1");
    let timeline: Vec<_> = shown["timeline"]
        .as_array()
        .expect("a list")
        .iter()
        .map(words)
        .collect();
    let done = ["stock", "payment", "shipping"].map(|step| ("done", step));
    assert_eq!(timeline, [&[("heard", "")], &done[..]].concat());
    let held = tracker.show("held");
    assert_eq!(
        (&held["state"], &held["step"]),
        (&"running".into(), &"payment".into())
    );

    // One that has completed, and one that runs.
    tracker.compensate("s1");
    tracker.compensate("held");
    let twice = |number: usize| format!("{number}|{number}");
    assert_eq!(services.effects("did", "= 's1'"), [1, 1, 1].map(twice));
    assert_eq!(services.effects("undid", "= 's1'"), [1, 1, 1].map(twice));
    assert_eq!(services.effects("did", "= 'held'"), [1, 0, 0].map(twice));
    assert_eq!(services.effects("undid", "= 'held'"), [1, 0, 0].map(twice));
    for saga in ["s1", "held"] {
        assert_eq!(aborts(&tracker.bed.kafka, saga), 1, "aborts of {saga}");
    }
    asked_once(&tracker.show("s1"));
    // It cannot be had twice.
    let again = tracker
        .bed
        .run(&["saga", "compensate", "s1", "--reason", "again"]);
    assert_eq!(again.status.code(), Some(1));
    tracker.wait_for(&[
        ("completed", SAGAS - no - 1),
        ("compensated", no + 2),
        ("open", 0),
    ]);

    rebuilt(&mut tracker);
    road.terminate();
}

/// Everything that was known is dropped and heard anew.
fn rebuilt(tracker: &mut Tracker) {
    let expect = tracker.rows();
    tracker.running.take().expect("it runs").terminate();
    tracker.bed.replica_sql("delete from keylane.saga_track");
    tracker.configure("tracked-anew");
    tracker.again();
    tracker
        .bed
        .wait(tracker.running(), "everything to be heard anew", || {
            tracker.rows() == expect
        });
}

/// The timeline has who asked for it, and why.
fn asked_once(shown: &Value) {
    let asked = shown["timeline"].as_array().expect("a list").iter();
    let asked: Vec<&Value> = asked.filter(|line| line["what"] == "asked").collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["actor"], "ann");
    assert_eq!(asked[0]["reason"], "roll_back: the customer left");
}
