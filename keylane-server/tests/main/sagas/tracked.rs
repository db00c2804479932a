//! Sagas that nobody drives, as the commands and HTTP tell of them, in SQLite and without a cluster.

use std::collections::BTreeMap;

use keylane::sqlite::saga::SqliteSagas;
use keylane_core::saga::{Choreographies, Heard, Patience, Said, Track, TrackStore};
use keylane_server::config::parse_choreography;
use serde_json::{Value, json};

use super::api::asked;
use super::bed::Bed;

const ORDER: &str = "
choreography: order
topics: [orders]
begins: [order.placed]
steps:
  - { id: stock, consumes: [order.placed] }
  - { id: payment, consumes: [stock.done] }
";

/// What was heard of a saga: that it began, and what was said of these steps.
fn track(said: &[(&str, Said)]) -> Track {
    let now_us = keylane::workers::stats::now_us();
    let mut track = Track::default();
    track.hear(&Heard {
        type_name: "order.placed".into(),
        subject: Some("order 7".into()),
        at_us: now_us,
        ..Heard::default()
    });
    for (step, said) in said {
        track.hear(&Heard {
            type_name: format!("{step}.{}", said.code()),
            step: Some(((*step).to_owned(), *said)),
            service: format!("/{step}"),
            at_us: now_us + 1,
            ..Heard::default()
        });
    }
    track
}

/// A bed in whose store these were heard, by its choreography or by none.
fn heard(is_known: bool) -> Bed {
    let bed = Bed::sqlite(11);
    std::fs::write(bed.folder.path().join("order.yaml"), ORDER).expect("written");
    let mut known = Vec::new();
    if is_known {
        bed.configure("choreographies: [order.yaml]");
        known.push(parse_choreography(ORDER, "order.yaml").expect("it is right"));
    }
    let known = Choreographies::new(known, Patience::default());
    let done = [("stock", Said::Done), ("payment", Said::Done)];
    let tracks = BTreeMap::from([
        ("all".to_owned(), track(&done)),
        ("half".to_owned(), track(&done[..1])),
    ]);
    let path = bed.folder.path().join("saga.db");
    bed.runtime.block_on(async {
        let store = SqliteSagas::open(path).await.expect("a file");
        store.join(&tracks, &known).await.expect("it is written");
    });
    bed
}

/// A command's exit code and what it printed.
fn told(bed: &Bed, arguments: &[&str]) -> (Option<i32>, Value) {
    let (json, code) = bed.json(&[&["saga"], arguments].concat());
    (code, json)
}

fn ids(list: &Value) -> Vec<&str> {
    let sagas = list["sagas"].as_array().expect("a list");
    sagas.iter().filter_map(|it| it["id"].as_str()).collect()
}

#[test]
fn a_choreographed_saga_is_listed_and_shown_beside_those_that_are_driven() {
    let bed = heard(true);
    bed.begin(["driven".to_owned()].into_iter());
    let list = |more: &[&str]| told(&bed, &[&["list"], more].concat()).1;
    let open = list(&[]);
    assert_eq!(ids(&open), ["driven", "half"]);
    let styles: Vec<&Value> = open["sagas"].as_array().expect("a list").iter().collect();
    assert_eq!(styles[0]["style"], "orchestration");
    assert_eq!(styles[1]["style"], "choreography");
    assert_eq!(styles[1]["timeline"].as_array().map(Vec::len), Some(2));
    assert_eq!(ids(&list(&["--step", "payment"])), ["half"]);
    assert_eq!(
        ids(&list(&["--key", "order 7", "--state", "all"])),
        ["half", "all"]
    );
    let (code, half) = told(&bed, &["show", "half"]);
    assert_eq!(code, Some(0));
    let members = ["id", "definition", "state", "step", "key", "attempts"];
    let members: Vec<&Value> = members.iter().map(|it| &half[*it]).collect();
    let expect = json!(["half", "order", "running", "payment", "order 7", 0]);
    assert_eq!(json!(members), expect);
    let next = half["next"][0].as_str().unwrap_or_default();
    assert!(
        next.starts_with("payment: its service does it, else it is late at "),
        "{half}"
    );
    assert_eq!(half["steps"][0]["services"], json!(["/stock"]));
}

#[test]
fn what_is_asked_of_one_is_noted_and_waits_to_be_told() {
    let bed = heard(true);
    let ask = |verb: &str, id: &str, more: &[&str]| {
        let asked = [&[verb, id, "--reason", "why", "--actor", "ann"], more].concat();
        told(&bed, &asked)
    };
    let (code, refused) = ask("skip", "half", &["--step", "payment"]);
    assert_eq!(code, Some(1));
    let why = refused["refused"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("compensate the saga"), "{refused}");
    // Also of one that has completed. It stands as it will once that is heard.
    for id in ["half", "all"] {
        let (code, asked) = ask("compensate", id, &[]);
        assert_eq!(code, Some(0));
        assert_eq!(asked["asked"][0]["state"], "compensating");
        assert_eq!(
            asked["asked"][0]["noted"],
            json!(["abort is told to topic orders"])
        );
        assert_eq!(
            ask("compensate", id, &[]).0,
            Some(1),
            "it cannot be had twice"
        );
    }
    let (_, half) = told(&bed, &["show", "half"]);
    let lines = half["timeline"].as_array().expect("lines");
    let asked = lines.iter().filter(|line| line["actor"] == "ann");
    let asked: Vec<&Value> = asked.map(|line| &line["what"]).collect();
    assert_eq!(asked, ["asked", "refused", "asked", "asked", "refused"]);
}

#[test]
fn without_a_cluster_no_participant_reads_a_topic_and_serve_says_so() {
    let bed = Bed::sqlite(11);
    bed.configure("reply_topic: answers");
    let served = bed.keylane(&["saga", "serve"]);
    assert_eq!(served.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&served.stderr).into_owned();
    assert!(stderr.contains("log.kafka"), "{stderr}");
}

#[test]
fn over_http_they_are_told_of_alike() {
    let bed = heard(false);
    let serving = bed.serve();
    let place = bed.address(&serving);
    let get = |path: &str| asked(&place, "GET", path, "", "");
    // By no choreography it is not known whether one has ended whose events announce nothing.
    let (code, list) = get("/v1/sagas?step=payment");
    assert_eq!((code, ids(&list).len()), (200, 0));
    assert_eq!(ids(&get("/v1/sagas").1), ["half", "all"]);
    let (code, half) = get("/v1/sagas/half");
    assert_eq!(
        (code, &half["definition"], &half["style"]),
        (200, &Value::Null, &json!("choreography"))
    );
    let body = r#"{"actor": "a", "reason": "b"}"#;
    let (code, refused) = asked(&place, "POST", "/v1/sagas/half/compensate", "", body);
    assert_eq!(code, 409);
    let why = refused["error"].as_str().unwrap_or_default();
    assert!(
        why.contains("KL-SAGA-205") && why.contains("saga.tracker.signal"),
        "{refused}"
    );
    assert_eq!(
        asked(&place, "POST", "/v1/sagas/none/compensate", "", body).0,
        404
    );
    serving.terminate();
}
