//! Golden bytes: what PostgreSQL sends, written down by hand, and what no server should send.

use super::pgoutput::{Cell, Message, OldTuple, Relation, RelationColumn, decode};

const RELATION: &[u8] =
    b"R\x00\x00\x40\x01public\0Order\0d\x00\x02\x01id\0\x00\x00\x00\x17\xff\xff\xff\xff\x00no te\0\x00\x00\x04\x13\x00\x00\x00\x18";
const INSERT: &[u8] = b"I\x00\x00\x40\x01N\x00\x03t\x00\x00\x00\x0242nu";
const UPDATE: &[u8] = b"U\x00\x00\x40\x01N\x00\x01t\x00\x00\x00\x00";
const UPDATE_KEY: &[u8] =
    b"U\x00\x00\x40\x01K\x00\x02t\x00\x00\x00\x011nN\x00\x02t\x00\x00\x00\x012u";
const DELETE_OLD: &[u8] = b"D\x00\x00\x40\x01O\x00\x01t\x00\x00\x00\x02\xc3\xa9";
const TRUNCATE: &[u8] = b"T\x00\x00\x00\x02\x01\x00\x00\x40\x01\x00\x00\x40\x02";

fn check(bytes: &[u8], expect: Message<'_>) {
    assert_eq!(decode(bytes), Ok(expect));
}

#[test]
fn every_kind_of_message_is_understood() {
    check(
        RELATION,
        Message::Relation(Relation {
            id: 0x4001,
            schema: "public",
            name: "Order",
            replica_identity: b'd',
            columns: vec![
                RelationColumn {
                    in_identity: true,
                    name: "id",
                    type_oid: 23,
                    type_modifier: -1,
                },
                RelationColumn {
                    in_identity: false,
                    name: "no te",
                    type_oid: 1043,
                    type_modifier: 24,
                },
            ],
        }),
    );
    check(
        INSERT,
        Message::Insert {
            relation: 0x4001,
            new: vec![Cell::Text("42"), Cell::Null, Cell::Unchanged],
        },
    );
    check(
        UPDATE,
        Message::Update {
            relation: 0x4001,
            old: None,
            new: vec![Cell::Text("")],
        },
    );
    check(
        UPDATE_KEY,
        Message::Update {
            relation: 0x4001,
            old: Some(OldTuple::Key(vec![Cell::Text("1"), Cell::Null])),
            new: vec![Cell::Text("2"), Cell::Unchanged],
        },
    );
    check(
        DELETE_OLD,
        Message::Delete {
            relation: 0x4001,
            old: OldTuple::Whole(vec![Cell::Text("é")]),
        },
    );
    check(
        TRUNCATE,
        Message::Truncate {
            relations: vec![0x4001, 0x4002],
        },
    );
    check(b"Y\x00\x00\x40\x01public\0mood\0", Message::Nothing);
    check(
        b"O\x00\x00\x00\x00\x00\x00\x00\x01other\0",
        Message::Nothing,
    );
}

#[test]
fn a_message_cut_short_anywhere_is_an_error() {
    for whole in [RELATION, INSERT, UPDATE, UPDATE_KEY, DELETE_OLD, TRUNCATE] {
        for end in 0..whole.len() {
            let cut = whole.get(..end).expect("a prefix");
            assert!(decode(cut).is_err(), "{cut:?}");
        }
        let mut longer = whole.to_vec();
        longer.push(0);
        assert!(decode(&longer).is_err(), "{longer:?}");
    }
}

#[test]
fn no_byte_changed_anywhere_makes_it_panic() {
    for whole in [RELATION, INSERT, UPDATE, UPDATE_KEY, DELETE_OLD, TRUNCATE] {
        for place in 0..whole.len() {
            for byte in 0..=255u8 {
                let mut bytes = whole.to_vec();
                *bytes.get_mut(place).expect("a byte") = byte;
                let _ = decode(&bytes);
            }
        }
    }
}

#[test]
fn what_was_not_asked_for_is_an_error() {
    for bytes in [
        b"".as_slice(),
        b"X",
        b"I\x00\x00\x40\x01O\x00\x00",
        b"D\x00\x00\x40\x01N\x00\x00",
        b"I\x00\x00\x40\x01N\x00\x01b\x00\x00\x00\x00",
        b"I\x00\x00\x40\x01N\x00\x01t\x00\x00\x00\x01\xff",
        b"I\x00\x00\x40\x01N\x00\x01t\xff\xff\xff\xff",
        b"T\xff\xff\xff\xff\x00",
    ] {
        assert!(decode(bytes).is_err(), "{bytes:?}");
    }
}
