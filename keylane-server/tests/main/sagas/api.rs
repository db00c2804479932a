//! Sagas over HTTP, as a service's own code would ask for them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::bed::{Bed, wait};
use super::participants::Manners;

/// One request. Status and body.
pub(super) fn asked(
    place: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, Value) {
    let mut stream = TcpStream::connect(place).expect("somebody listens");
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let code = head
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse().ok())
        .expect("a status");
    (code, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Begins a trip, or asks for it again.
fn begun(place: &str, key: &str, body: &str) -> (u16, Value) {
    let header = format!("Idempotency-Key: {key}\r\n");
    asked(place, "POST", "/v1/sagas", &header, body)
}

/// The saga, once it is in a state.
fn in_state(place: &str, path: &str, state: &str) -> Value {
    let mut shown = Value::Null;
    wait(&format!("it to be {state}"), || {
        shown = asked(place, "GET", path, "", "").1;
        shown["state"] == state
    });
    shown
}

#[test]
fn a_saga_begins_once_for_each_key_and_another_content_is_refused() {
    let bed = Bed::sqlite(1);
    let serving = bed.serve();
    let place = bed.address(&serving);
    let wanted = r#"{"definition": "trip", "data": {"price": 3}}"#;
    let first = begun(&place, "k-1", wanted);
    assert_eq!(first.0, 202, "{}", first.1);
    let again = r#"{"data": {"price": 3}, "definition": "trip"}"#;
    assert_eq!(begun(&place, "k-1", again), first);
    let other = r#"{"definition": "trip", "data": {"price": 4}}"#;
    let (code, told) = begun(&place, "k-1", other);
    assert_eq!(code, 422);
    let error = told["error"].as_str().unwrap_or_default();
    assert!(error.contains("KL-SAGA-204"), "{told}");
    assert_ne!(begun(&place, "k-2", other).1["id"], first.1["id"]);
    let path = format!("/v1/sagas/{}", first.1["id"].as_str().expect("an id"));
    let shown = in_state(&place, &path, "completed");
    assert_eq!(shown["key"], "k-1");
    assert_eq!(shown["style"], "orchestration");
    assert_eq!(shown["definition"], "trip");
    let lines = shown["timeline"].as_array().expect("lines");
    let what = |line: Option<&Value>| line.map(|it| it["what"].clone());
    assert_eq!(what(lines.first()), Some(json!("started")));
    assert_eq!(what(lines.last()), Some(json!("completed")));
    let (code, list) = asked(&place, "GET", "/v1/sagas?state=completed&key=k-1", "", "");
    assert_eq!((code, &list["sagas"][0]["id"]), (200, &first.1["id"]));
    // After the end too.
    assert_eq!(begun(&place, "k-1", wanted), first);
    let body = r#"{"actor": "a", "reason": "b"}"#;
    let (code, told) = asked(&place, "POST", &format!("{path}/cancel"), "", body);
    assert_eq!(code, 409, "{told}");
    serving.terminate();
}

#[test]
fn what_is_asked_wrongly_is_told_what_is_wrong_with_it() {
    let bed = Bed::sqlite(5);
    let serving = bed.serve();
    let place = bed.address(&serving);
    let by_somebody = r#"{"actor": "a", "reason": "b"}"#;
    for (method, path, body, status) in [
        ("POST", "/v1/sagas", "{", 400),
        ("POST", "/v1/sagas", "[]", 400),
        (
            "POST",
            "/v1/sagas",
            r#"{"definition": "trip", "dta": 1}"#,
            400,
        ),
        ("POST", "/v1/sagas", r#"{"definition": "nowhere"}"#, 422),
        (
            "POST",
            "/v1/sagas",
            r#"{"definition": "trip", "version": 9}"#,
            422,
        ),
        ("GET", "/v1/sagas?state=odd", "", 400),
        ("GET", "/v1/sagas?sort=up", "", 400),
        ("GET", "/v1/sagas/nowhere", "", 404),
        ("POST", "/v1/sagas/nowhere/retry", by_somebody, 404),
        ("POST", "/v1/sagas/nowhere/explode", "{}", 404),
        ("POST", "/v1/sagas/nowhere/skip", by_somebody, 400),
        ("POST", "/v1/sagas/nowhere/retry", r#"{"actor": "a"}"#, 400),
        ("POST", "/v1/sagas/nowhere/replies", "{}", 400),
    ] {
        let (code, told) = asked(&place, method, path, "", body);
        assert_eq!(code, status, "{method} {path} {body}: {told}");
        let error = told["error"].as_str().unwrap_or_default();
        assert!(!error.is_empty(), "{path}: {told}");
    }
    serving.terminate();
}

#[test]
fn somebody_cancels_over_http_and_the_timeline_says_who_and_why() {
    let bed = Bed::sqlite(2);
    bed.participants.behaves(
        "money",
        Manners {
            is_down: true,
            ..Manners::default()
        },
    );
    let serving = bed.serve();
    let place = bed.address(&serving);
    let (_, begun) = asked(&place, "POST", "/v1/sagas", "", r#"{"definition": "trip"}"#);
    let path = format!("/v1/sagas/{}", begun["id"].as_str().expect("an id"));
    wait("it to stand at the pivot", || {
        asked(&place, "GET", &path, "", "").1["step"] == "charge"
    });
    let body = r#"{"actor": "anna", "reason": "the customer called"}"#;
    let (code, told) = asked(&place, "POST", &format!("{path}/cancel"), "", body);
    assert_eq!(code, 200, "{told}");
    bed.participants.behaves("money", Manners::default());
    let shown = in_state(&place, &path, "compensated");
    let lines = shown["timeline"].as_array().expect("lines");
    let asked = lines
        .iter()
        .find(|it| it["what"] == "asked")
        .expect("it is noted");
    assert_eq!(
        (&asked["actor"], &asked["reason"]),
        (&json!("anna"), &json!("roll_back: the customer called"))
    );
    assert!(
        bed.participants
            .effects()
            .values()
            .all(|(done, undone)| done == undone)
    );
    serving.terminate();
}
