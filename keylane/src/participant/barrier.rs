//! The rows of the barrier, in words that both databases share.

use keylane_core::saga::{Op, Outcome, Rows, Undone, Verdict};
use serde_json::Value;

use crate::outbox::{Outbox, OutboxEvent};

/// The table's name. Its statement is part of the contract with participants in other languages.
pub(crate) const TABLE: &str = "keylane_barrier";
/// What marks a row whose transaction goes on; it is committed only by a handler that ends its transaction itself.
pub(crate) const OPEN: &str = "open";
/// The row of the action.
pub(crate) const ACTION: &str = "action";
/// The row of the undo.
pub(crate) const UNDO: &str = "undo";

/// A row to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub op: &'static str,
    pub verdict: &'static str,
    pub reply: String,
}

/// What is told, in the same transaction, of an outcome that changed the step's rows.
pub(crate) struct Telling<'t> {
    pub outbox: &'t Outbox,
    pub tell: &'t (dyn Fn(&Outcome) -> Option<OutboxEvent> + Sync),
}

/// The rows as they are stored: of each the operation, the verdict and the reply.
///
/// # Errors
/// In words, if one means nothing.
pub(crate) fn rows_of(stored: Vec<(String, String, String)>) -> Result<Rows, String> {
    let mut rows = Rows::default();
    for (op, verdict, reply) in stored {
        let reply: Value = serde_json::from_str(&reply)
            .map_err(|_| format!("the {op}'s reply in {TABLE} is no JSON"))?;
        let unknown = || match verdict.as_str() {
            OPEN => format!(
                "a handler ended the transaction of its {op} itself: nobody knows what came of it; see {TABLE}"
            ),
            _ => format!("{TABLE} holds a verdict {verdict:?} on an {op:?}, which means nothing"),
        };
        match op.as_str() {
            ACTION => rows.action = Some((Verdict::named(&verdict).ok_or_else(unknown)?, reply)),
            UNDO => rows.undo = Some((Undone::named(&verdict).ok_or_else(unknown)?, reply)),
            _ => return Err(unknown()),
        }
    }
    Ok(rows)
}

/// What is to be written so that `rows` become `new`.
pub(crate) fn changes(rows: &Rows, new: &Rows) -> Vec<Written> {
    let mut changes = Vec::new();
    if rows.action != new.action
        && let Some((verdict, reply)) = &new.action
    {
        changes.push(Written {
            op: ACTION,
            verdict: verdict.code(),
            reply: reply.to_string(),
        });
    }
    if rows.undo != new.undo
        && let Some((undone, reply)) = &new.undo
    {
        changes.push(Written {
            op: UNDO,
            verdict: undone.code(),
            reply: reply.to_string(),
        });
    }
    changes
}

/// What marks an operation before its handler runs: only a handler that ends the transaction itself commits it, and nobody runs the operation again then.
pub(crate) fn opened(op: Op) -> Written {
    Written {
        op: match op {
            Op::Compensate => UNDO,
            Op::Action | Op::Fence => ACTION,
        },
        verdict: OPEN,
        reply: "null".to_owned(),
    }
}

/// What is answered to a command that is too old.
pub(crate) fn expired() -> String {
    "the command has expired: it is not carried out any more".to_owned()
}
