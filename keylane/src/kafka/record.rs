//! A record as librdkafka holds it, copied out: key, value and header share one allocation.

use std::sync::Arc;

use bytes::Bytes;
use keylane_core::model::Offset;
use keylane_core::publish::{HEADER_NAME, RawRecord};
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _};

/// With all headers, if asked for: the road needs only its own.
pub(super) fn raw_record(message: &BorrowedMessage<'_>, with_headers: bool) -> RawRecord {
    let (key, value) = (message.key(), message.payload());
    let headers = message.headers();
    let keylane = headers.and_then(|headers| {
        let own = headers.iter().find(|header| header.key == HEADER_NAME);
        own.and_then(|header| header.value)
    });
    let all = headers.filter(|_| with_headers).map(|headers| {
        let pair = |header: Header<'_, &[u8]>| {
            let value = Bytes::copy_from_slice(header.value.unwrap_or_default());
            (Arc::from(header.key), value)
        };
        headers.iter().map(pair).collect()
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
        headers: all.unwrap_or_default(),
        timestamp_ms: match message.timestamp() {
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => ms,
            Timestamp::NotAvailable => 0,
        },
    }
}
