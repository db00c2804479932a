//! What each kind of answer comes to, in one attempt.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use keylane::slack::SlackChannel;
use keylane_core::notify::{Answer, Channel as _, Entry, Message, samples};
use keylane_parts::{Authority, Behaviour, Receiver, end_with_this_process, free_port, wait_until};

use super::bed::{PATIENCE, slack, webhook};

fn entry(message: Message) -> Entry {
    Entry {
        number: 1,
        id: "0a1b2c3d-1".to_owned(),
        message,
        attempts: 1,
        may_have_come: false,
    }
}

#[tokio::test]
async fn every_message_is_taken_by_a_receiver_that_keeps_to_slacks_limits() {
    let receiver = Receiver::start(Behaviour::Slack).expect("a port");
    let channel = slack(&receiver);
    let samples = samples("shop", true);
    for message in samples.clone() {
        let sent = entry(message);
        assert_eq!(channel.send(&sent).await, Answer::Taken, "{sent:?}");
    }
    let received = receiver.received();
    assert_eq!(received.len(), samples.len());
    for one in received {
        let kind = one.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{kind}");
    }
}

#[tokio::test]
async fn an_answer_is_told_from_silence_and_a_refusal_from_an_outage() {
    let mut receiver = Receiver::start(Behaviour::Slack).expect("a port");
    let channel = slack(&receiver);
    let sent = entry(samples("shop", false).remove(0));
    let check = async |behaviour: Behaviour, expect: &dyn Fn(&Answer) -> bool| {
        receiver.from_now_on(behaviour.clone());
        let answer = channel.send(&sent).await;
        assert!(expect(&answer), "{behaviour:?}: {answer:?}");
        let words = answer.why();
        let url_shown = words.contains("hooksecret") || words.contains("/services/");
        assert!(!url_shown, "{words}");
    };
    let refused = |word: &'static str| move |answer: &Answer| matches!(answer, Answer::Refused { why } if why.ends_with(word));
    let unknown = |answer: &Answer| matches!(answer, Answer::Unknown { .. });
    check(Behaviour::Slack, &|answer| *answer == Answer::Taken).await;
    check(Behaviour::Answer(429, "", Some(7)), &|answer| {
        matches!(
            answer,
            Answer::Later {
                after_ms: Some(7_000),
                ..
            }
        )
    })
    .await;
    for status in [500, 503, 504] {
        check(Behaviour::Answer(status, "<html>", None), &|answer| {
            matches!(answer, Answer::Later { after_ms: None, why } if *why == format!("HTTP {status}"))
        })
        .await;
    }
    for (status, word) in [
        (400, "invalid_payload"),
        (404, "no_service"),
        (410, "channel_is_archived"),
        (403, "action_prohibited"),
    ] {
        check(Behaviour::Answer(status, word, None), &refused(word)).await;
    }
    check(Behaviour::Answer(302, "", None), &refused("HTTP 302")).await;
    // Words of a body that may hold what was sent are not shown.
    let body = "your message 'shop: public.orders' is wrong";
    check(Behaviour::Answer(400, body, None), &refused("HTTP 400")).await;
    // The status line was there: it was taken.
    check(Behaviour::DieInBody, &|answer| *answer == Answer::Taken).await;
    check(Behaviour::DieUnanswered, &unknown).await;
    check(Behaviour::DieUnread, &unknown).await;
    check(Behaviour::Hang, &unknown).await;
    receiver.close();
    let answer = channel.send(&sent).await;
    assert!(matches!(answer, Answer::Away { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_webhook_is_signed_and_names_the_message_the_same_at_every_attempt() {
    let receiver = Receiver::start(Behaviour::Take).expect("a port");
    let sent = entry(samples("shop", false).remove(0));
    let signed = webhook(&receiver, Some("hunter2"));
    for _ in 0..2 {
        assert_eq!(signed.send(&sent).await, Answer::Taken);
    }
    assert_eq!(webhook(&receiver, None).send(&sent).await, Answer::Taken);
    let received = receiver.received();
    for one in &received {
        let kind = one.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/cloudevents+json"), "{kind}");
        assert!(one.body.contains(r#""id":"0a1b2c3d-1""#), "{}", one.body);
    }
    let header = received[0]
        .header("keylane-signature")
        .expect("it is signed");
    let at = header
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(','))
        .and_then(|(at, _)| at.parse().ok())
        .expect("its time");
    let expect = keylane::webhook::signature("hunter2", at, received[0].body.as_bytes());
    assert_eq!(header, expect);
    assert_eq!(received[2].header("keylane-signature"), None);
}

#[tokio::test]
async fn over_https_an_impostor_is_told_nothing() {
    if keylane_parts::quick() {
        eprintln!("left out: needs openssl");
        return;
    }
    let authority = Authority::new("nobody's authority").expect("openssl");
    let impostor = authority
        .issue("impostor", &["localhost"])
        .expect("openssl");
    let port = free_port().expect("a port");
    let address = format!("127.0.0.1:{}", port.port());
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &address])
        .arg("-cert")
        .arg(&impostor.certificate)
        .arg("-key")
        .arg(&impostor.key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl starts");
    end_with_this_process(&server).expect("it is watched");
    wait_until("the impostor to listen", PATIENCE, || {
        Ok(TcpStream::connect(&address).is_ok())
    })
    .expect("it listens");
    let url = format!("https://localhost:{}/services/hooksecret", port.port());
    let channel = SlackChannel::new(&url, "test").expect("a URL");
    let answer = channel.send(&entry(samples("shop", false).remove(0))).await;
    let Answer::Away { why } = &answer else {
        unreachable!("{answer:?}");
    };
    assert!(why.contains("certificate"), "{why}");
    server.kill().expect("it ends");
    let told = server.wait_with_output().expect("its output").stdout;
    assert!(told.is_empty(), "{}", String::from_utf8_lossy(&told));
}
