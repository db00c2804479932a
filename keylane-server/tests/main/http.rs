//! Health, metrics and JSON over HTTP, asked of the real process as a load balancer, Prometheus or a script would.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::bed::{Bed, left_out, postgres};
use crate::gate::Gate;
use crate::running::Running;

const TOKEN: &str = "a-token-of-24-characters";
const TABLES: &str = "create table t(id int primary key, v text);";

/// An answer.
pub struct Answer {
    pub code: u16,
    head: String,
    pub body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// Asks as plainly as can be. `None` while nobody listens.
fn ask(place: &str, path: &str, token: Option<&str>) -> Option<Answer> {
    send(place, &format!("GET {path}"), &bearer(token), "")
}

fn bearer(token: Option<&str>) -> String {
    token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    })
}

/// With these lines of headers.
fn send(place: &str, what: &str, headers: &str, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(place).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .ok()?;
    write!(
        stream,
        "{what} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        code,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

pub fn answer(place: &str, path: &str) -> Answer {
    ask(place, path, Some(TOKEN)).expect("an answer")
}

/// Where the process serves; it leaves a note, as the port may be any.
fn served(bed: &Bed, road: &Running) -> String {
    let note = bed.folder.path().join(".keylane/http.json");
    let mut place = String::new();
    bed.wait(road, "the note of the address", || {
        let read: Option<Value> = std::fs::read(&note)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        place = read
            .and_then(|note| Some(note["listen"].as_str()?.to_owned()))
            .unwrap_or_default();
        !place.is_empty()
    });
    place
}

/// Whether `/readyz` answers so, and has a word on this pipeline in its reasons.
fn is_ready(bed: &Bed, place: &str, word: &str) -> bool {
    let ready = answer(place, "/readyz");
    let told = ready.json();
    assert_eq!(told["ready"], ready.code == 200, "{told}");
    match ready.code {
        200 => true,
        503 => {
            let reason = &told["not_ready"][0];
            assert_eq!(reason["name"], bed.name, "{told}");
            !reason.to_string().contains(word)
        }
        code => unreachable!("/readyz answers {code}"),
    }
}

#[test]
fn a_pipeline_is_ready_once_its_copy_is_applied_and_not_while_a_part_is_away() {
    if left_out() {
        return;
    }
    let mut bed = Bed::new("http_ready", TABLES);
    bed.http = "listen: \"127.0.0.1:0\"".to_owned();
    bed.origin_sql("insert into t select id, repeat('x', 50) from generate_series(1, 20000) id");
    let mut gate = Gate::to(&bed.replica_url());
    let mut wiring = bed.wiring();
    wiring.replica = postgres(&gate.through(&bed.replica_url()));
    wiring.capture = "chunk_rows: 500".to_owned();
    bed.configure(&[wiring]);
    let road = bed.start(&[]);
    let place = served(&bed, &road);
    assert_eq!(answer(&place, "/healthz").json()["ok"], true);
    bed.wait(&road, "the replica to be named", || {
        !is_ready(&bed, &place, "KL-APPLY-001")
    });
    gate.open();
    bed.wait(&road, "readiness", || is_ready(&bed, &place, ""));
    assert_eq!(
        bed.replica_sql("select count(*) from t"),
        "20000",
        "ready means copied"
    );
    gate.shut();
    bed.origin_sql("insert into t values (0, 'y')");
    bed.wait(&road, "the replica to be named again", || {
        !is_ready(&bed, &place, "KL-APPLY-001")
    });
    assert_eq!(
        answer(&place, "/healthz").code,
        200,
        "it is alive all the same"
    );
    gate.open();
    bed.wait(&road, "readiness", || is_ready(&bed, &place, ""));
    bed.settle(&road);
    assert_eq!(bed.replica_sql("select v from t where id = 0"), "y");
    road.terminate();
    assert!(
        ask(&place, "/healthz", None).is_none(),
        "nobody serves after the end"
    );
}

/// The names of an exposition's samples; each line is as the format has it.
fn samples(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut families = BTreeSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            match (words.next(), words.next()) {
                (Some("EOF"), None) => {}
                (Some("HELP" | "TYPE" | "UNIT"), Some(family)) => {
                    families.insert(family.to_owned());
                }
                _ => unreachable!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = series.split_once('{').expect("a sample has labels");
        let of = ["pipeline=\"", "channel=\""];
        assert!(
            of.iter().any(|of| labels.starts_with(of)) && labels.ends_with("\"}"),
            "{line}"
        );
        let is_of = |family: &String| *family == name || format!("{family}_total") == name;
        assert!(families.iter().any(is_of), "{line} has no family");
        names.insert(name.to_owned());
    }
    names
}

#[test]
fn metrics_and_json_are_told_to_who_has_the_token_and_say_what_status_says() {
    if left_out() {
        return;
    }
    let mut bed = Bed::new("http_told", TABLES);
    bed.http = format!("listen: \"127.0.0.1:0\", auth_token: {TOKEN}");
    bed.configure(&[bed.wiring()]);
    let road = bed.start(&[]);
    let place = served(&bed, &road);
    asks_for_its_token(&place);
    bed.origin_sql("insert into t values (1, 'a'), (2, 'b')");
    bed.settle(&road);
    tells_metrics(&place);
    bed.wait(&road, "both to say the same", || {
        let told = answer(&place, "/v1/status").json();
        steady(&told) == steady(&bed.json(&["status", "--format", "json"], 0))
    });
    let parked = bed.json(&["parked", "list", "--format", "json"], 0);
    assert_eq!(answer(&place, "/v1/parked").json(), parked);
    assert!(!road.log().contains(TOKEN), "{}", road.log());
    road.terminate();
}

#[test]
fn the_number_of_threads_is_told_and_asked_for_over_http_while_they_work() {
    if left_out() {
        return;
    }
    let mut bed = Bed::new("http_threads", TABLES);
    bed.http = format!("listen: \"127.0.0.1:0\", auth_token: {TOKEN}");
    bed.configure(&[bed.wiring()]);
    let road = bed.start(&[]);
    let place = served(&bed, &road);
    bed.settle(&road);
    let path = "/v1/threads/http_threads";
    let send = |headers: &str, body: &str| {
        let answer = send(&place, &format!("PUT {path}"), headers, body);
        answer.expect("an answer")
    };
    let put = |token, body: &str| send(&bearer(token), body);
    assert_eq!(put(None, "{\"threads\": 3}").code, 401);
    for (body, asked) in [
        ("{\"threads\": 3}", "3"),
        ("{\"threads\": \"auto\"}", "auto"),
        ("{\"threads\": \"2\"}", "2"),
    ] {
        let taken = put(Some(TOKEN), body);
        assert_eq!(taken.code, 200, "{}", taken.body);
        assert_eq!(taken.json()["asked"], asked, "{}", taken.body);
        let told = answer(&place, path).json();
        let shown = bed.json(&["threads", "http_threads", "--format", "json"], 0);
        assert_eq!((&told["asked"], &told), (&asked.into(), &shown));
    }
    assert_eq!(answer(&place, path).json()["threads"], 2);
    for body in [
        "",
        "{}",
        "{\"threads\": 0}",
        "{\"threads\": 1.5}",
        "{\"threads\": \"many\"}",
    ] {
        let refused = put(Some(TOKEN), body);
        let told = refused.json()["error"].to_string();
        assert!(
            refused.code == 400 && told.contains("1 to 1024"),
            "{body}: {told}"
        );
    }
    assert_eq!(answer(&place, "/v1/threads/other").code, 404);
    // A page of another site in a browser that may reach it, and its own.
    for (site, code) in [
        ("http://elsewhere.example", 403),
        ("null", 403),
        (&*format!("http://{place}"), 200),
    ] {
        let headers = format!("{}Origin: {site}\r\n", bearer(Some(TOKEN)));
        let answered = send(&headers, "{\"threads\": 2}");
        assert_eq!(answered.code, code, "{site}: {}", answered.body);
    }
    assert_eq!(answer(&place, path).json()["asked"], "2");
    road.terminate();
}

fn asks_for_its_token(place: &str) {
    for path in [
        "/metrics",
        "/v1/status",
        "/v1/parked",
        "/v1/threads/http_told",
    ] {
        for token in [None, Some("a-token-of-24-characterz"), Some("")] {
            let refused = ask(place, path, token).expect("an answer");
            assert_eq!(refused.code, 401, "{path} {token:?}");
            assert!(
                refused.head.contains("www-authenticate: bearer"),
                "{}",
                refused.head
            );
            assert!(refused.body.contains("http.auth_token"), "{}", refused.body);
        }
        assert_eq!(answer(place, path).code, 200, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        let open = ask(place, path, None).expect("an answer");
        assert_ne!(open.code, 401, "{path}");
    }
    let nothing = ask(place, "/nothing", Some(TOKEN)).expect("an answer");
    assert!(
        nothing.code == 404 && nothing.body.contains("/v1/status"),
        "{}",
        nothing.body
    );
}

fn tells_metrics(place: &str) {
    let metrics = answer(place, "/metrics");
    assert!(
        metrics
            .head
            .contains("content-type: application/openmetrics-text"),
        "{}",
        metrics.head
    );
    assert!(metrics.body.ends_with("# EOF\n"), "{}", metrics.body);
    let names = samples(&metrics.body);
    for stage in ["capture", "publish", "consume", "apply"] {
        let prefix = format!("keylane_{stage}_");
        assert!(
            names.iter().any(|name| name.starts_with(&prefix)),
            "{stage}: {names:?}"
        );
    }
    let reference = std::fs::read_to_string("../docs/reference/http.md").expect("the reference");
    for name in &names {
        assert!(
            reference.contains(&format!("`{name}`")),
            "{name} is not in docs/reference/http.md"
        );
    }
}

/// What does not move from one moment to the next.
fn steady(status: &Value) -> Value {
    let mut status = status.clone();
    let pipeline = &mut status["pipelines"][0];
    for moving in [
        "captured_per_s",
        "applied_per_s",
        "lag_ms",
        "lag_changes",
        "retained_bytes",
        "transactions",
        "hot_keys",
    ] {
        assert!(pipeline.get(moving).is_some(), "{moving} is told");
        pipeline[moving] = Value::Null;
    }
    pipeline["processes"][0]["updated"] = Value::Null;
    status
}

#[test]
fn an_address_that_others_reach_needs_a_token_and_one_that_is_taken_is_named() {
    if left_out() {
        return;
    }
    let mut bed = Bed::new("http_address", TABLES);
    bed.http = "listen: \"0.0.0.0:0\"".to_owned();
    bed.configure(&[bed.wiring()]);
    for command in [&["run"][..], &["check"], &["status"]] {
        let refused = bed.run(command);
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{command:?}: {stderr}");
        for word in ["keylane.yaml:", "KL-CONFIG-", "http.auth_token"] {
            assert!(stderr.contains(word), "{word} is not in: {stderr}");
        }
    }
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = stranger.local_addr().expect("its address").to_string();
    bed.http = format!("listen: \"{taken}\"");
    bed.configure(&[bed.wiring()]);
    let refused = bed.run(&["run"]);
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    for word in ["KL-HTTP-001", &taken, "http.listen"] {
        assert!(stderr.contains(word), "{word} is not in: {stderr}");
    }
    drop(stranger);

    // Two halves share the address: one tells of both, and the other takes it over.
    let capture = bed.start(&["--only", "capture"]);
    bed.wait(&capture, "the first half to serve", || {
        ask(&taken, "/healthz", None).is_some()
    });
    let apply = bed.start(&["--only", "apply"]);
    bed.wait(&apply, "the first half to tell of both", || {
        let status = answer(&taken, "/v1/status").json();
        status["pipelines"][0]["state"] == "caught_up"
    });
    assert_eq!(answer(&taken, "/healthz").json()["pid"], capture.pid());
    capture.kill9();
    bed.wait(&apply, "the second half to take the address over", || {
        ask(&taken, "/healthz", None).is_some_and(|answer| answer.json()["pid"] == apply.pid())
    });
    let ready = answer(&taken, "/readyz");
    assert_eq!(ready.code, 503);
    assert!(ready.body.contains("capture"), "{}", ready.body);
    apply.terminate();
}
