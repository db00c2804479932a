//! Commands over HTTP: what is answered is read back by the orchestrator's own codec.

use futures_util::future::BoxFuture;
use keylane::participant::respond;
use keylane_core::saga::Outcome;
use keylane_core::saga::wire::{Attributes, CommandMessage, answer_of};

use super::cases;
use super::commands::Asked;
use super::postgres::{InPostgres, steps};

/// A participant behind its HTTP answers.
struct OverHttp(InPostgres);

impl Asked for OverHttp {
    fn ask<'a>(&'a self, command: CommandMessage) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let attributes = command.attributes();
            let headers: Vec<(String, String)> = attributes.to_http().collect();
            let headers = headers
                .iter()
                .map(|(name, text)| (name.as_str(), text.as_bytes()));
            let body = command.body().to_string();
            let answer = respond(self.0.participant.as_ref(), headers, body.as_bytes()).await;
            let told = answer
                .headers
                .iter()
                .map(|(name, text)| (name.as_str(), text.as_bytes()));
            let told = Attributes::from_http(told);
            answer_of(
                command.op,
                answer.status,
                told.as_ref(),
                answer.body.as_bytes(),
            )
        })
    }

    fn effects<'a>(&'a self, saga: &'a str) -> BoxFuture<'a, (u64, u64)> {
        self.0.effects(saga)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_comes_to_the_same_over_http() {
    if keylane_parts::quick() {
        return;
    }
    let over_http = OverHttp(InPostgres::new("participant_http", steps()).await);
    cases::all("http", &over_http).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_command_is_no_verdict() {
    if keylane_parts::quick() {
        return;
    }
    let over_http = OverHttp(InPostgres::new("participant_not", steps()).await);
    let participant = over_http.0.participant.as_ref();
    let nothing = respond(participant, [("ce-id", &b"x"[..])], b"{}").await;
    assert_eq!(nothing.status, 400);
    assert!(nothing.body.contains("KL-SAGA-101"), "{}", nothing.body);
    let mut unknown = super::commands::asking("s", keylane_core::saga::Op::Action);
    unknown.type_name = "no.such.v1".to_owned();
    let outcome = over_http.ask(unknown).await;
    assert!(matches!(outcome, Outcome::Unclear(why) if why.contains("no.such.v1")));
}
