//! `keylane saga start`, `list`, `show` and what people ask of sagas, as a person and a script type them.

use serde_json::{Value, json};

use super::bed::{Bed, wait};
use super::participants::Manners;

/// Starts a trip under a key; its exit code, stdout and stderr.
fn started(bed: &Bed, data: &str) -> (Option<i32>, String, String) {
    let output = bed.keylane(&["saga", "start", "trip", "--data", data, "--key", "k-1"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_saga_is_started_and_listed_while_nobody_drives_it() {
    let bed = Bed::sqlite(6);
    std::fs::write(bed.folder.path().join("data.json"), r#"{"mail": true}"#).expect("written");
    let (code, id, errors) = started(&bed, "@data.json");
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(started(&bed, "{\"mail\": true}").1, id, "the same again");
    let (code, _, errors) = started(&bed, "{\"mail\": false}");
    assert_eq!(code, Some(1));
    assert!(errors.contains("KL-SAGA-204"), "{errors}");
    let (list, code) = bed.json(&["saga", "list"]);
    assert_eq!(code, Some(0));
    let listed = &list["sagas"][0];
    assert_eq!(
        (&listed["id"], &listed["state"], &listed["step"]),
        (&json!(id), &json!("running"), &json!("reserve"))
    );
    assert_eq!(listed["timeline"][0]["what"], "started", "{list}");
    let serving = bed.serve();
    wait("it to be completed", || {
        bed.json(&["saga", "show", &id]).0["state"] == "completed"
    });
    serving.terminate();
}

#[test]
fn a_saga_that_waits_is_helped_and_its_timeline_says_by_whom() {
    let bed = Bed::sqlite(3);
    bed.participants.behaves(
        "post",
        Manners {
            is_down: true,
            ..Manners::default()
        },
    );
    let id = started(&bed, "{\"mail\": true}").1;
    let serving = bed.serve();
    let show = || bed.json(&["saga", "show", &id]).0;
    wait("it to stand behind the pivot", || show()["step"] == "ship");
    let (refused, code) = bed.json(&[
        "saga", "cancel", &id, "--reason", "too late", "--actor", "anna",
    ]);
    assert_eq!(code, Some(1), "{refused}");
    let why = refused["refused"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("no way back"), "{refused}");
    let skip = [
        "saga",
        "skip",
        "--all",
        "--at",
        "mail",
        "--step",
        "mail",
        "--reason",
        "the address is gone",
    ];
    let (dry, code) = bed.json(&[&skip[..], &["--dry-run"]].concat());
    assert_eq!(
        (code, &dry["sagas"][0]["id"]),
        (Some(0), &json!(id)),
        "{dry}"
    );
    let (asked, code) = bed.json(&skip);
    assert_eq!(
        (code, &asked["asked"][0]["id"]),
        (Some(0), &json!(id)),
        "{asked}"
    );
    bed.participants.behaves("post", Manners::default());
    let (_, code) = bed.json(&["saga", "retry", &id, "--reason", "the post is back"]);
    // It may have gone on by itself.
    assert!(matches!(code, Some(0 | 1)));
    let mut shown = Value::Null;
    wait("it to be completed", || {
        shown = show();
        shown["state"] == "completed"
    });
    assert_told(&shown);
    let text = bed.keylane(&["saga", "show", &id]).stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        text.contains("timeline") && text.contains("completed"),
        "{text}"
    );
    serving.terminate();
}

/// What scripts rely on, and who asked for what.
fn assert_told(shown: &Value) {
    let fields = [
        "id",
        "definition",
        "style",
        "state",
        "step",
        "attempts",
        "started",
        "updated",
        "key",
        "timeline",
    ];
    for field in fields {
        assert!(shown.get(field).is_some(), "{field}: {shown}");
    }
    let lines = shown["timeline"].as_array().expect("lines");
    let actor_of = |word: &str| {
        let is_it = |it: &&Value| it["reason"].as_str().is_some_and(|why| why.contains(word));
        let actor = lines.iter().find(is_it).map(|it| it["actor"].clone());
        actor
            .and_then(|it| it.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    assert_eq!(actor_of("too late"), "anna");
    assert!(!actor_of("the address is gone").is_empty());
}

#[test]
fn waiting_for_a_saga_tells_its_end_by_the_exit_code() {
    let bed = Bed::sqlite(4);
    bed.participants.behaves(
        "money",
        Manners {
            says_no: 100,
            ..Manners::default()
        },
    );
    let serving = bed.serve();
    let (told, code) = bed.json(&["saga", "start", "trip", "--wait"]);
    assert_eq!(
        (code, &told["state"]),
        (Some(1), &json!("compensated")),
        "{told}"
    );
    bed.participants.behaves("money", Manners::default());
    let (told, code) = bed.json(&[
        "saga",
        "start",
        "trip@1",
        "--wait",
        "--data",
        "{\"mail\": false}",
    ]);
    assert_eq!(
        (code, &told["state"]),
        (Some(0), &json!("completed")),
        "{told}"
    );
    assert_eq!(told["steps"][4]["status"], "skipped");
    for (arguments, code) in [
        (vec!["saga", "start", "nowhere"], 2),
        (vec!["saga", "start", "trip", "--data", "{"], 2),
        (vec!["saga", "show", "nowhere"], 1),
        (vec!["saga", "retry", "nowhere", "--reason", "why not"], 1),
        (vec!["saga", "retry", "--reason", "why not"], 2),
        (vec!["saga", "skip", "nowhere", "--reason", "no step"], 2),
        (vec!["saga", "list", "--state", "odd"], 2),
    ] {
        let output = bed.keylane(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(!errors.is_empty(), "{arguments:?}");
    }
    serving.terminate();
}
