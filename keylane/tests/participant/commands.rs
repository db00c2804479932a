//! Commands to the step that every participant of these tests has: it counts its effects by saga.

use futures_util::future::BoxFuture;
use keylane_core::saga::wire::CommandMessage;
use keylane_core::saga::{Op, Outcome, StepKind};
use serde_json::{Value, json};

/// The type of the step's action and of its fence.
pub const ACTION: &str = "count.add.v1";
/// The type of its undo.
pub const UNDO: &str = "count.take.v1";
/// Its table, in words that both databases take: how often each saga's action and undo took effect, one row for each time.
pub const EFFECTS: &str =
    "CREATE TABLE IF NOT EXISTS effects (saga text NOT NULL, what text NOT NULL)";

/// A command. `input` says how the action ends: `{"end": "ok" | "no" | "error"}`.
pub fn command(saga: &str, op: Op, input: Value) -> CommandMessage {
    let type_name = match op {
        Op::Action | Op::Fence => ACTION,
        Op::Compensate => UNDO,
    };
    CommandMessage {
        saga: saga.to_owned(),
        definition: "counting".to_owned(),
        version: 1,
        step: "count".to_owned(),
        op,
        kind: StepKind::Compensatable,
        attempt: 1,
        type_name: type_name.to_owned(),
        source: "/tests".to_owned(),
        input,
        reply: None,
        reply_to: None,
        // In the year 2200.
        expires_us: 7_258_118_400_000_000,
        traceparent: None,
    }
}

/// A command whose action would take effect.
pub fn asking(saga: &str, op: Op) -> CommandMessage {
    command(saga, op, json!({"end": "ok"}))
}

/// A participant, as the cases see it.
pub trait Asked: Send + Sync {
    /// What it answers.
    fn ask<'a>(&'a self, command: CommandMessage) -> BoxFuture<'a, Outcome>;

    /// How often a saga's action and its undo took effect.
    fn effects<'a>(&'a self, saga: &'a str) -> BoxFuture<'a, (u64, u64)>;
}
