//! Whether a younger capturer has opened the control topic before a record of this one.
//!
//! What a capturer stores behind a younger one's opening does not count, and nobody tells it so. Most of what it stores it may lose: it is done again. Not so the
//! beginning of a table's copy, from which on the table's changes are published: the younger one, which knows of no copy, would copy another table first, whose rows
//! these changes may refer to. So the capturer looks back before it publishes any.

use keylane_core::model::{Epoch, Offset, TopicPartition};
use keylane_core::publish::{Acceptance, Header, Log, LogError, LogErrorKind};

use crate::workers::control::control_topic;

/// How much of the control topic is read at a time.
const READ_BYTES: usize = 1 << 20;

/// Reads the control topic behind this session's own opening.
pub(super) struct YoungerWatch {
    partition: TopicPartition,
    epoch: Epoch,
    next: Offset,
    acceptance: Acceptance,
}

impl YoungerWatch {
    /// For a session that opened the control topic at `opened`.
    pub(super) fn new(prefix: &str, epoch: Epoch, opened: Offset) -> Self {
        YoungerWatch {
            partition: TopicPartition::new(control_topic(prefix), 0),
            epoch,
            next: opened.next(),
            acceptance: Acceptance {
                epoch,
                ..Acceptance::default()
            },
        }
    }

    /// Reads on up to this session's own record at `own`.
    ///
    /// # Errors
    /// `SessionOver` if a younger capturer stands before it, else if the log cannot be read.
    pub(super) async fn none_before(&mut self, log: &dyn Log, own: Offset) -> Result<(), LogError> {
        while self.next < own && self.acceptance.epoch == self.epoch {
            let records = match log.read(&self.partition, self.next, READ_BYTES).await {
                Err(error) if error.kind == LogErrorKind::OutOfRange => {
                    let start = log.bounds(&self.partition).await?.start;
                    self.next = start.max(self.next.next());
                    continue;
                }
                other => other?,
            };
            let Some(last) = records.last() else {
                let message = format!("{} gave no records before its end", self.partition);
                return Err(LogError::new(LogErrorKind::Unreachable, message));
            };
            self.next = last.offset.next().min(own);
            for record in records.iter().take_while(|record| record.offset < own) {
                if let Some(Ok(header)) = record.keylane.as_deref().map(Header::decode) {
                    self.acceptance.judge(&header);
                }
            }
        }
        if self.acceptance.epoch == self.epoch {
            return Ok(());
        }
        let message = format!(
            "a younger capturer has opened {}: this session is over",
            self.partition
        );
        Err(LogError::new(LogErrorKind::SessionOver, message))
    }
}
