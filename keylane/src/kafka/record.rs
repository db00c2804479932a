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
    let mut copy = in_one([key, value, keylane]);
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

/// In one allocation with its count of owners, if it is small: a `Vec` would be counted in another one.
fn in_one(parts: [Option<&[u8]>; 3]) -> Bytes {
    let parts = parts.map(Option::unwrap_or_default);
    match parts.iter().map(|part| part.len()).sum() {
        0..=55 => Bytes::from_owner(Small::<55>::of(parts)),
        56..=119 => Bytes::from_owner(Small::<119>::of(parts)),
        120..=247 => Bytes::from_owner(Small::<247>::of(parts)),
        _ => Bytes::from(parts.concat()),
    }
}

/// With its length, and the count beside it, as large as what an allocator gives.
struct Small<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> Small<N> {
    /// Of parts that are not longer than `N` together.
    fn of(parts: [&[u8]; 3]) -> Self {
        let (mut len, mut bytes) = (0, [0; N]);
        for part in parts {
            if let Some(place) = bytes.get_mut(len..len + part.len()) {
                place.copy_from_slice(part);
                len += part.len();
            }
        }
        Small {
            len: len as u8,
            bytes,
        }
    }
}

impl<const N: usize> AsRef<[u8]> for Small<N> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_is_what_was_there_however_large() {
        let text: Vec<u8> = (0..300).map(|at| at as u8).collect();
        for len in [0, 1, 54, 55, 56, 118, 119, 120, 246, 247, 248, 300] {
            for key_len in [0, len / 2, len] {
                let (key, value) = text[..len].split_at(key_len);
                for (key, value) in [
                    (Some(key), Some(value)),
                    (None, Some(value)),
                    (Some(key), None),
                ] {
                    let copied = Copied {
                        offset: 7,
                        timestamp_ms: 1,
                        key,
                        value,
                        headers: [("name", Some(&b"its value"[..]))].into_iter(),
                    };
                    let record = copy_of(copied, true);
                    assert_eq!(
                        (record.key.as_deref(), record.value.as_deref()),
                        (key, value)
                    );
                    assert_eq!(record.keylane, None);
                    assert_eq!(record.headers.len(), 1);
                }
            }
        }
    }

    #[test]
    fn the_header_of_keylane_lies_beside_key_and_value() {
        let copied = Copied {
            offset: 7,
            timestamp_ms: 1,
            key: Some(b"key"),
            value: Some(b"value"),
            headers: [(HEADER_NAME, Some(&[9; 100][..]))].into_iter(),
        };
        let record = copy_of(copied, false);
        assert_eq!(record.key.as_deref(), Some(&b"key"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"value"[..]));
        assert_eq!(record.keylane.as_deref(), Some(&[9; 100][..]));
        assert!(record.headers.is_empty());
    }
}
