//! A record as librdkafka holds it, copied out: key, value and header share one allocation.

use bytes::Bytes;
use keylane_core::model::Offset;
use keylane_core::publish::{HEADER_NAME, RawRecord};
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

pub(super) fn raw_record(message: &BorrowedMessage<'_>) -> RawRecord {
    let (key, value) = (message.key(), message.payload());
    let headers = message.headers();
    let keylane = headers.and_then(|headers| {
        let own = headers.iter().find(|header| header.key == HEADER_NAME);
        own.and_then(|header| header.value)
    });
    let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let mut copy = Vec::with_capacity(len(key) + len(value) + len(keylane));
    for part in [key, value, keylane].into_iter().flatten() {
        copy.extend_from_slice(part);
    }
    let mut copy = Bytes::from(copy);
    let mut next = |part: Option<&[u8]>| part.map(|part| copy.split_to(part.len()));
    RawRecord {
        offset: Offset(u64::try_from(message.offset()).unwrap_or(0)),
        key: next(key),
        value: next(value),
        keylane: next(keylane),
        timestamp_ms: match message.timestamp() {
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => ms,
            Timestamp::NotAvailable => 0,
        },
    }
}
