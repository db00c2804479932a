//! What a handler gets.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use keylane_core::model::{Offset, OrderHash};

/// A record of a topic, shared: all that [`StoredRecord`] has is there as if it were its own. As large as two pointers and cheap to clone, since each is kept until its handler has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    stored: Arc<StoredRecord>,
    /// How often it was tried before by this process.
    pub attempts: u32,
}

/// A record as the log has it.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: u32,
    /// Its place there.
    pub offset: Offset,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in their order.
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// The log's time of the record, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// What it is ordered by.
    pub(super) order: Option<OrderHash>,
}

impl From<StoredRecord> for Record {
    fn from(stored: StoredRecord) -> Self {
        Record {
            stored: Arc::new(stored),
            attempts: 0,
        }
    }
}

impl Deref for Record {
    type Target = StoredRecord;

    fn deref(&self) -> &StoredRecord {
        &self.stored
    }
}

impl StoredRecord {
    /// A header's value by its name; the first if there are several.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        let found = self.headers.iter().find(|(own, _)| &**own == name);
        found.map(|(_, value)| value)
    }

    /// What tells a repeat of this record: its own `Idempotency-Key` header, else `TOPIC-PARTITION-OFFSET`.
    pub fn id(&self) -> String {
        let own = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
        match own.and_then(|(_, value)| std::str::from_utf8(value).ok()) {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => format!("{}-{}-{}", self.topic, self.partition, self.offset.0),
        }
    }
}
