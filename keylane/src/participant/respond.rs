//! Commands over HTTP, whatever serves it: headers and body in, status, headers and body out.

use keylane_core::saga::Outcome;
use keylane_core::saga::wire::{AnswerMessage, Attributes, CommandMessage, WireError, status_of};
use serde_json::json;

use super::carry::CarryOut;

/// What is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body, in JSON.
    pub body: String,
}

/// Carries out the command of a request (`POST`, any path) and answers it. A request that is no command is answered 400, one whose step this participant does not have 503: neither is taken for a
/// verdict by who asked.
pub async fn respond<'h>(
    participant: &dyn CarryOut,
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    body: &[u8],
) -> HttpAnswer {
    let read = Attributes::from_http(headers).and_then(|it| CommandMessage::read(&it, body));
    let command = match read {
        Ok(command) => command,
        Err(why) => return unreadable(&why),
    };
    let outcome = participant.carry_out(&command).await;
    answer(&command, outcome, participant.source())
}

fn answer(command: &CommandMessage, outcome: Outcome, source: &str) -> HttpAnswer {
    let status = status_of(command.op, &outcome);
    let message = AnswerMessage::to(command, outcome, source);
    HttpAnswer {
        status,
        headers: message.attributes().to_http().collect(),
        body: message.body().to_string(),
    }
}

fn unreadable(why: &WireError) -> HttpAnswer {
    HttpAnswer {
        status: 400,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: json!({"error": format!("KL-SAGA-101: this is no command: {why}")}).to_string(),
    }
}
