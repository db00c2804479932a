//! `keylane notify`: try a channel, see what messages look like, see and resolve what was not told.

mod arguments;
pub(super) use arguments::{NotifyArguments, run};

mod test;

mod preview;

mod outbox;
