//! Somebody who waits for what becomes of a saga, and what they are told if it is written.

use keylane_core::saga::{Decision, Entry, What};

use super::event::{Asked, Incoming, NotAsked};

/// Somebody who waits for what becomes of a saga, and what they are told if it is written.
pub(super) enum Waiter {
    Sent(Incoming),
    Heard(Incoming),
    Ask(Incoming, Vec<Entry>),
}

impl Waiter {
    pub(super) fn incoming(self) -> Incoming {
        match self {
            Waiter::Sent(incoming) | Waiter::Heard(incoming) | Waiter::Ask(incoming, _) => incoming,
        }
    }

    /// It is written, or there was nothing to write.
    pub(super) fn told(self, decision: &Decision) {
        match self {
            Waiter::Heard(Incoming::Heard { done, .. }) => drop(done.send(Ok(()))),
            Waiter::Ask(Incoming::Ask { done, .. }, noted) => {
                let refused = noted.iter().find(|line| line.what == What::Refused);
                let answer = match refused {
                    Some(line) => Err(NotAsked::Refused(line.reason.clone().unwrap_or_default())),
                    None => Ok(Asked {
                        state: decision.saga.state(),
                        noted: noted.iter().map(words).collect(),
                    }),
                };
                let _ = done.send(answer);
            }
            Waiter::Sent(_) | Waiter::Heard(_) | Waiter::Ask(..) => {}
        }
    }
}

fn words(line: &Entry) -> String {
    match &line.step {
        Some(step) => format!("{} {step}", line.what.code()),
        None => line.what.code().to_owned(),
    }
}
