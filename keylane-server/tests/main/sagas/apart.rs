//! One participant's trouble is nobody else's.

use std::time::{Duration, Instant};

use keylane_core::saga::State;

use super::api::asked;
use super::bed::{Bed, wait};
use super::participants::Manners;

#[test]
fn one_dead_participant_holds_up_no_other_saga_and_its_own_go_on_when_it_is_back() {
    let bed = Bed::sqlite(7);
    let other = "
saga: letter
version: 1
steps:
  - { id: send, kind: retriable, participant: seats, action: send.v1 }
";
    std::fs::write(bed.folder.path().join("letter.yaml"), other).expect("written");
    let path = bed.folder.path().join("keylane.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(
        path,
        text.replace("[trip.yaml]", "[trip.yaml, letter.yaml]"),
    )
    .expect("written");
    // It takes a connection and every time there is, and answers nothing.
    let dead = Manners {
        waits: Some(Duration::from_secs(30)),
        is_down: true,
        ..Manners::default()
    };
    bed.participants.behaves("stock", dead);
    let serving = bed.serve();
    let place = bed.address(&serving);
    bed.begin((0..200).map(|number| format!("trip-{number}")));
    wait("the breaker to open", || {
        let text = crate::http::answer(&place, "/metrics").body;
        text.contains("keylane_saga_participant_left_in_peace{participant=\"stock\"} 1")
    });
    let begun = Instant::now();
    for number in 0..20 {
        let (told, code) = bed.json(&[
            "saga",
            "start",
            "letter",
            "--key",
            &number.to_string(),
            "--wait",
        ]);
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(told["state"], "completed");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        bed.list(&[State::Completed])
            .iter()
            .all(|it| it.definition.as_deref() == Some("letter"))
    );
    bed.participants.behaves("stock", Manners::default());
    wait("all to end", || bed.list(&[]).is_empty());
    serving.terminate();
}

#[test]
fn who_works_long_answers_later_at_the_reply_address() {
    let bed = Bed::sqlite(8);
    let port = keylane_parts::free_port().expect("a port");
    let address = format!("127.0.0.1:{}", port.port());
    drop(port);
    let path = bed.folder.path().join("keylane.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(path, text.replace("127.0.0.1:0", &address)).expect("written");
    bed.configure(&format!("reply_url: 'http://{address}'"));
    let later = Manners {
        answers_later: true,
        ..Manners::default()
    };
    for service in ["stock", "seats", "money", "post"] {
        bed.participants.behaves(service, later);
    }
    let serving = bed.serve();
    bed.begin((0..20).map(|number| format!("trip {number}/ä")));
    wait("all to end", || bed.list(&[State::Completed]).len() == 20);
    assert_eq!(bed.participants.effects().len(), 100);
    assert!(bed.participants.effects().values().all(|it| *it == (1, 0)));
    serving.terminate();
}

#[test]
fn an_answer_that_comes_before_its_saga_waits_for_it() {
    let bed = Bed::sqlite(9);
    // So the answer that waits is the only one there is.
    bed.participants.behaves(
        "stock",
        Manners {
            is_down: true,
            ..Manners::default()
        },
    );
    let serving = bed.serve();
    let place = bed.address(&serving);
    let headers = "ce-correlationid: early\r\nce-sagastep: reserve\r\nce-sagaop: action\r\nce-sagaoutcome: ok\r\n";
    let body = r#"{"by": "stock"}"#;
    let (code, told) = asked(&place, "POST", "/v1/sagas/early/replies", headers, body);
    assert_eq!(code, 202, "{told}");
    bed.begin(std::iter::once("early".to_owned()));
    wait("it to be completed", || {
        bed.list(&[State::Completed]).len() == 1
    });
    serving.terminate();
}
