//! A record as librdkafka holds it, copied out: key, value and header share one allocation.

use std::sync::Arc;

use bytes::Bytes;
use keylane_core::model::Offset;
use keylane_core::publish::{HEADER_NAME, RawRecord};
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

/// What is copied.
pub(super) struct Copied<'m, H> {
    pub(super) offset: i64,
    /// 0 if there is none.
    pub(super) timestamp_ms: i64,
    pub(super) key: Option<&'m [u8]>,
    pub(super) value: Option<&'m [u8]>,
    pub(super) headers: H,
}

/// Of a message that rdkafka handed out.
pub(super) fn raw_record(message: &BorrowedMessage<'_>, with_headers: bool) -> RawRecord {
    let headers = message.headers();
    let headers = headers.iter().flat_map(|headers| headers.iter());
    let copied = Copied {
        offset: message.offset(),
        timestamp_ms: match message.timestamp() {
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => ms,
            Timestamp::NotAvailable => 0,
        },
        key: message.key(),
        value: message.payload(),
        headers: headers.map(|header| (header.key, header.value)),
    };
    copy_of(copied, with_headers)
}

/// With all headers, if asked for: the road needs only its own.
pub(super) fn copy_of<'m>(
    message: Copied<'m, impl Iterator<Item = (&'m str, Option<&'m [u8]>)>>,
    with_headers: bool,
) -> RawRecord {
    let (key, value) = (message.key, message.value);
    let (mut own, mut headers) = (None, Vec::new());
    for (name, value) in message.headers {
        if name == HEADER_NAME {
            own = own.or(Some(value));
        }
        if with_headers {
            let value = Bytes::copy_from_slice(value.unwrap_or_default());
            headers.push((Arc::from(name), value));
        }
    }
    let keylane = own.flatten();
    let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let mut copy = Vec::with_capacity(len(key) + len(value) + len(keylane));
    for part in [key, value, keylane].into_iter().flatten() {
        copy.extend_from_slice(part);
    }
    let mut copy = Bytes::from(copy);
    let mut next = |part: Option<&[u8]>| part.map(|part| copy.split_to(part.len()));
    RawRecord {
        offset: Offset(u64::try_from(message.offset).unwrap_or(0)),
        key: next(key),
        value: next(value),
        keylane: next(keylane),
        headers,
        timestamp_ms: message.timestamp_ms,
    }
}
