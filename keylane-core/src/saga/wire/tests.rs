//! Messages that are written and read back, by every way that they travel; and what is no message.

use serde_json::{Value, json};

use super::*;
use crate::saga::definition::StepKind;
use crate::saga::message::{Op, Outcome};

/// SplitMix64: the same for the same seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or_default()
    }

    fn of<T: Clone, const N: usize>(&mut self, all: [T; N]) -> T {
        all[self.below(N)].clone()
    }

    /// Anything but control characters, also what headers cannot hold as it is.
    fn text(&mut self) -> String {
        let letters = [
            'a', 'Z', '7', '-', '/', ' ', '"', '%', '\\', 'ä', '€', '🚂', '=', ',', ':',
        ];
        let count = 1 + self.below(20);
        (0..count).map(|_| self.of(letters)).collect()
    }

    fn name(&mut self) -> String {
        let count = self.below(20);
        let rest = (0..count).map(|_| self.of(['a', '0', '-', '_']));
        std::iter::once('s').chain(rest).collect()
    }

    fn value(&mut self) -> Value {
        match self.below(7) {
            0 => Value::Null,
            1 => json!(self.next()),
            2 => json!(self.text()),
            3 => json!([self.text(), 1.5, true]),
            4 => json!({"input": self.text(), "reply": 1}),
            5 => json!({"a": {"b": [null, self.text()]}}),
            _ => json!(false),
        }
    }

    fn command(&mut self) -> CommandMessage {
        let op = self.of(Op::ALL);
        CommandMessage {
            saga: self.text(),
            definition: self.name(),
            version: 1 + self.below(9) as u32,
            step: self.name(),
            op,
            kind: self.of(StepKind::ALL),
            attempt: 1 + self.below(9) as u32,
            type_name: self.text(),
            source: self.text(),
            input: self.value(),
            reply: (op == Op::Compensate && self.below(2) == 0).then(|| self.value()),
            reply_to: (self.below(2) == 0).then(|| self.text()),
            expires_us: (self.next() >> 12) as i64,
            traceparent: (self.below(2) == 0)
                .then(|| format!("00-{:032x}-{:016x}-01", self.next(), self.next())),
        }
    }

    fn outcome(&mut self) -> Outcome {
        match self.below(7) {
            0 => Outcome::Ok(self.value()),
            1 => Outcome::Rejected(self.text()),
            2 => Outcome::Fenced,
            3 => Outcome::Done(self.value()),
            4 => Outcome::Noop,
            5 => Outcome::Working,
            _ => Outcome::Unclear(self.text()),
        }
    }
}

/// Through both ways that attributes travel.
fn travelled(attributes: &Attributes) -> [Result<Attributes, WireError>; 2] {
    let kafka: Vec<_> = attributes.to_kafka().collect();
    let http: Vec<_> = attributes.to_http().collect();
    for (name, value) in &http {
        let is_plain = value.bytes().all(|it| (b' '..=b'~').contains(&it));
        assert!(is_plain, "{name}: {value}");
    }
    [
        Attributes::from_kafka(
            kafka
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
        ),
        Attributes::from_http(
            http.iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
        ),
    ]
}

#[test]
fn what_is_sent_is_what_is_read_by_every_way() {
    let mut chance = Chance(1);
    for _ in 0..2_000 {
        let command = chance.command();
        let body = command.body().to_string();
        for came in travelled(&command.attributes()) {
            let read = came.and_then(|came| CommandMessage::read(&came, body.as_bytes()));
            assert_eq!(read.as_ref(), Ok(&command));
        }
        let answer = AnswerMessage::to(&command, chance.outcome(), &chance.text());
        let body = answer.body().to_string();
        for came in travelled(&answer.attributes()) {
            let read = came.and_then(|came| AnswerMessage::read(&came, body.as_bytes()));
            assert_eq!(read.as_ref(), Ok(&answer));
        }
    }
}

#[test]
fn an_answer_in_a_response_says_what_the_participant_meant() {
    let mut chance = Chance(2);
    for _ in 0..2_000 {
        let op = chance.of(Op::ALL);
        let outcome = chance.outcome();
        let means_something = matches!(
            (op, &outcome),
            (_, Outcome::Rejected(_) | Outcome::Working)
                | (Op::Action | Op::Compensate, Outcome::Ok(_))
                | (Op::Action | Op::Fence, Outcome::Fenced)
                | (Op::Fence, Outcome::Done(_))
                | (Op::Compensate, Outcome::Noop)
        );
        if !means_something {
            continue;
        }
        let mut command = chance.command();
        command.op = op;
        let answer = AnswerMessage::to(&command, outcome.clone(), "shop");
        let status = status_of(op, &outcome);
        for came in travelled(&answer.attributes()) {
            let body = answer.body().to_string();
            let read = answer_of(op, status, came.as_ref(), body.as_bytes());
            assert_eq!(read, outcome, "{op:?} {status}");
        }
    }
}

#[test]
fn any_bytes_are_a_message_or_an_error() {
    let mut chance = Chance(3);
    for _ in 0..5_000 {
        let command = chance.command();
        let answer = AnswerMessage::to(&command, chance.outcome(), "shop");
        let attributes = if chance.below(2) == 0 {
            command.attributes()
        } else {
            answer.attributes()
        };
        let mut headers: Vec<(String, Vec<u8>)> = attributes
            .to_http()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect();
        for _ in 0..=chance.below(3) {
            let place = chance.below(headers.len());
            let count = chance.below(30);
            let garbage = (0..count).map(|_| chance.next() as u8).collect();
            match chance.below(3) {
                0 => drop(headers.swap_remove(place)),
                1 => headers[place].1 = garbage,
                _ => headers.push((headers[place].0.clone(), garbage)),
            }
        }
        let count = chance.below(40);
        let body: Vec<u8> = (0..count).map(|_| chance.next() as u8).collect();
        let came = Attributes::from_http(
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice())),
        );
        let status = 100 + chance.below(500) as u16;
        let outcome = answer_of(command.op, status, came.as_ref(), &body);
        let is_verdict = !matches!(outcome, Outcome::Unclear(_) | Outcome::Working);
        assert!(
            !is_verdict || matches!(status, 200..=299 | 404 | 409 | 410),
            "{status} {outcome:?}"
        );
        if let Ok(came) = came {
            let _ = CommandMessage::read(&came, &body);
            let _ = AnswerMessage::read(&came, &body);
        }
    }
}

fn plain(op: Op, status: u16, headers: &[(&str, &str)], body: &str) -> Outcome {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    let attributes = Attributes::from_http(headers);
    answer_of(op, status, attributes.as_ref(), body.as_bytes())
}

fn unclear(why: &str) -> Outcome {
    Outcome::Unclear(why.to_owned())
}

/// What responses mean that set no header of ours.
fn plain_responses() -> Vec<(Op, u16, &'static str, Outcome)> {
    vec![
        (
            Op::Action,
            200,
            "{\"seat\":\"7a\"}",
            Outcome::Ok(json!({"seat": "7a"})),
        ),
        (Op::Action, 204, "", Outcome::Ok(Value::Null)),
        (Op::Compensate, 200, "", Outcome::Ok(Value::Null)),
        (
            Op::Action,
            409,
            "\"sold out\"",
            Outcome::Rejected("sold out".into()),
        ),
        (Op::Action, 409, "", Outcome::Rejected(String::new())),
        (Op::Action, 202, "<html>", Outcome::Working),
        (Op::Action, 425, "", Outcome::Working),
        (Op::Action, 404, "", unclear("HTTP 404")),
        (Op::Action, 500, "\"down\"", unclear("HTTP 500: down")),
        (Op::Action, 302, "", unclear("HTTP 302")),
        (Op::Compensate, 404, "", unclear("HTTP 404")),
        (
            Op::Compensate,
            404,
            "{\"sagaoutcome\":\"fenced\"}",
            Outcome::Noop,
        ),
        (
            Op::Compensate,
            410,
            "{\"sagaoutcome\":\"noop\"}",
            Outcome::Noop,
        ),
        (
            Op::Action,
            404,
            "{\"sagaoutcome\":\"fenced\"}",
            unclear("HTTP 404: sagaoutcome fenced"),
        ),
        // To a fence a mere success says nothing: was it done, or kept from being done?
        (Op::Fence, 200, "", unclear("HTTP 200")),
        (
            Op::Fence,
            200,
            "{\"sagaoutcome\":\"fenced\"}",
            Outcome::Fenced,
        ),
        (
            Op::Fence,
            410,
            "{\"sagaoutcome\":\"fenced\"}",
            Outcome::Fenced,
        ),
        // Business data may be called anything: the status has said it all.
        (
            Op::Action,
            200,
            "{\"sagaoutcome\":\"failed\"}",
            Outcome::Ok(json!({"sagaoutcome": "failed"})),
        ),
    ]
}

#[test]
fn a_service_that_knows_only_http_is_understood() {
    for (op, status, body, outcome) in plain_responses() {
        assert_eq!(
            plain(op, status, &[], body),
            outcome,
            "{op:?} {status} {body}"
        );
    }
}

#[test]
fn a_response_that_contradicts_itself_or_is_cut_off_says_nothing() {
    let text = [("content-type", "text/plain; charset=utf-8")];
    assert_eq!(
        plain(Op::Action, 409, &text, "no seat"),
        Outcome::Rejected("no seat".into())
    );
    assert_eq!(
        plain(Op::Action, 200, &text, "7a"),
        Outcome::Ok(json!("7a"))
    );
    let cut_off = plain(
        Op::Action,
        200,
        &[("content-type", "application/json")],
        "{\"seat\":",
    );
    assert!(matches!(cut_off, Outcome::Unclear(_)), "{cut_off:?}");
    let contradicts = plain(Op::Action, 409, &[("ce-sagaoutcome", "ok")], "");
    assert_eq!(contradicts, unclear("HTTP 409: sagaoutcome ok"));
    let large = "\"".to_owned() + &"x".repeat(BODY_BYTES_MAX) + "\"";
    assert!(matches!(
        plain(Op::Action, 200, &[], &large),
        Outcome::Unclear(_)
    ));
}

type Headers = Vec<(String, String)>;

fn a_command() -> CommandMessage {
    Chance(4).command()
}

#[test]
fn what_is_wrong_is_named() {
    let headers = |change: &dyn Fn(&mut Headers)| {
        let mut headers: Vec<_> = a_command().attributes().to_http().collect();
        change(&mut headers);
        Attributes::from_http(
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
        )
        .and_then(|it| CommandMessage::read(&it, b"{}"))
        .map_err(|why| why.to_string())
    };
    let set = |name: &'static str, value: &'static str| {
        headers(&move |all| {
            let one = all.iter_mut().find(|it| it.0 == name);
            one.expect("it is there").1 = value.to_owned();
        })
    };
    assert!(headers(&|_| {}).is_ok());
    assert_eq!(
        set("ce-sagaop", "undo"),
        Err("attribute sagaop is \"undo\", and should be action, compensate or fence".into())
    );
    assert_eq!(
        set("ce-expirytime", "tomorrow"),
        Err("attribute expirytime is \"tomorrow\", and should be a time as in RFC 3339".into())
    );
    assert!(set("ce-sagaver", "0").is_err());
    assert!(set("ce-sagastep", "A Step").is_err());
    assert!(set("ce-correlationid", "").is_err());
    assert_eq!(
        set("ce-source", "%00"),
        Err("attribute source is no text".into())
    );
    assert_eq!(
        set("ce-source", "%FF"),
        Err("attribute source is no text".into())
    );
    assert_eq!(
        headers(&|all| all.retain(|it| it.0 != "ce-correlationid")),
        Err("attribute correlationid is missing".into())
    );
    assert_eq!(
        headers(&|all| all.push(("CE-SagaOp".into(), "fence".into()))),
        Err("attribute sagaop is there twice".into())
    );
    assert_eq!(
        headers(&|all| all.push(("ce-x".into(), "x".repeat(5_000)))),
        Err("attribute x has more than 4096 bytes".into())
    );
    let many = headers(&|all| all.extend((0..100).map(|it| (format!("ce-x{it}"), "1".into()))));
    assert_eq!(many, Err("there are more than 64 attributes".into()));
}

#[test]
fn an_answer_that_says_nothing_is_heard_as_unclear_by_its_saga() {
    let answer = AnswerMessage::to(&a_command(), Outcome::Noop, "shop");
    let mut attributes = answer.attributes();
    attributes.set("sagaoutcome", "perhaps");
    let read = |attributes: &Attributes, body: &[u8]| {
        AnswerMessage::read(attributes, body).map(|it| (it.saga, it.reply.outcome))
    };
    let why = unclear("\"perhaps\" is no outcome");
    assert_eq!(read(&attributes, b""), Ok((answer.saga.clone(), why)));
    let (_, outcome) = read(&answer.attributes(), b"{").expect("it names its saga");
    assert!(matches!(outcome, Outcome::Unclear(why) if why.starts_with("the body is no JSON")));
}

#[test]
fn a_saga_is_one_trace_and_each_attempt_a_span_of_it() {
    let command = crate::saga::Command {
        saga: "s-1".into(),
        step: "pay".into(),
        op: Op::Action,
        attempt: 1,
        kind: StepKind::Pivot,
        participant: crate::saga::Participant::Named("bank".into()),
        type_name: "pay.v1".into(),
        input: Value::Null,
        reply: None,
        expires_us: 0,
    };
    let first = CommandMessage::of(&command, "trip", 2, "keylane");
    let again = CommandMessage::of(
        &crate::saga::Command {
            attempt: 2,
            ..command
        },
        "trip",
        2,
        "keylane",
    );
    assert_eq!(first.id(), again.id());
    let parts = |it: &CommandMessage| {
        let text = it.traceparent.clone().unwrap_or_default();
        let parts: Vec<String> = text.split('-').map(str::to_owned).collect();
        (parts[1].clone(), parts[2].clone())
    };
    assert_eq!(parts(&first).0, parts(&again).0);
    assert_ne!(parts(&first).1, parts(&again).1);
    let came = CommandMessage::read(&first.attributes(), b"null").expect("it is a command");
    assert_eq!(came.traceparent, first.traceparent);
}

#[test]
fn an_undo_without_the_form_has_its_body_as_input() {
    let mut undo = a_command();
    undo.op = Op::Compensate;
    let read =
        CommandMessage::read(&undo.attributes(), b"{\"order\": 7}").expect("it is a command");
    assert_eq!((read.input, read.reply), (json!({"order": 7}), None));
}
