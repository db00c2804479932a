//! What carries commands out.

use async_trait::async_trait;
use keylane_core::saga::Outcome;
use keylane_core::saga::wire::CommandMessage;

/// Carries commands out.
///
/// *Once*: of all commands to one operation of one step of one saga, however many and on however many connections, the first that commits decides; all are given its answer. *Durability*:
/// an answer that is a verdict was committed before it is given. *Cancellation*: a call that is dropped takes nothing back that was committed, and commits nothing later.
#[async_trait]
pub trait CarryOut: Send + Sync {
    /// What a command comes to. [`Outcome::Unclear`] where nothing came of it: ask again.
    async fn carry_out(&self, command: &CommandMessage) -> Outcome;

    /// Who answers.
    fn source(&self) -> &str;
}
