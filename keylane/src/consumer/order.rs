//! What a record is ordered by.

use keylane_core::model::OrderHash;
use keylane_core::publish::{Header, RawRecord, RecordKind};

/// The hash of a record's key; of Keylane's own records that of what they are partitioned by: an order and its items have keys of their own and one order, also in one topic. Two keys of one
/// hash keep one order, which does no harm.
pub(super) fn order_of(record: &RawRecord) -> Option<OrderHash> {
    let key = record.key.as_ref()?;
    let header = record.keylane.as_ref().map(|raw| Header::decode(raw));
    let order = header.and_then(|header| header.ok()?.order);
    Some(order.unwrap_or_else(|| OrderHash::of(key)))
}

/// Whether a record is no event but the beginning of a capturer among events: there is nothing in it to handle.
pub(super) fn is_beginning(record: &RawRecord) -> bool {
    let header = record.keylane.as_ref().map(|raw| Header::decode(raw));
    matches!(
        header,
        Some(Ok(Header {
            kind: RecordKind::Open,
            source: Some(_),
            ..
        }))
    )
}

#[cfg(test)]
mod tests {
    use keylane_core::model::{Epoch, Offset, Position};
    use keylane_core::publish::SourceId;

    use super::*;
    use bytes::Bytes;

    fn record(key: &'static str, order: Option<OrderHash>, by_keylane: bool) -> RawRecord {
        let mut header = Header::plain(RecordKind::Change, Epoch(1), Position::ZERO);
        header.order = order;
        RawRecord {
            offset: Offset(0),
            key: Some(Bytes::from_static(key.as_bytes())),
            value: None,
            keylane: by_keylane.then(|| header.encode().into()),
            headers: Vec::new(),
            timestamp_ms: 0,
        }
    }

    #[test]
    fn an_item_keeps_its_order_with_the_order_it_follows() {
        let order = record("{\"id\":7}", None, true);
        let place = OrderHash::of(b"{\"id\":7}");
        let item = record(
            "{\"id\":1,\"__dbz__physicalTableIdentifier\":\"t\"}",
            Some(place),
            true,
        );
        assert_eq!(order_of(&order), order_of(&item));
        let other = record("{\"id\":8}", None, true);
        assert_ne!(order_of(&order), order_of(&other));
    }

    #[test]
    fn anybody_elses_record_goes_by_its_key() {
        let record = record("a", None, false);
        assert_eq!(order_of(&record), Some(OrderHash::of(b"a")));
        let broken = RawRecord {
            keylane: Some(Bytes::from_static(b"?")),
            ..record.clone()
        };
        assert_eq!(order_of(&broken), order_of(&record));
    }

    #[test]
    fn the_beginning_of_a_capturer_among_events_is_no_event() {
        let record = |kind: RecordKind, source: Option<SourceId>| {
            let mut header = Header::plain(kind, Epoch(1), Position::ZERO);
            header.source = source;
            let mut record = record("k", None, true);
            record.keylane = Some(header.encode().into());
            record
        };
        let source = Some(SourceId(7));
        assert!(is_beginning(&record(RecordKind::Open, source)));
        assert!(!is_beginning(&record(RecordKind::Change, source)));
        assert!(!is_beginning(&record(RecordKind::Open, None)));
    }
}
