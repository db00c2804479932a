//! A change of the row key (or of the order key) is a delete of the old row and an insert of the new one, in two lanes.

use crate::model::{Change, Op, Row, Value, key_text};

/// Splits an update whose row key or order key changed into delete(old) and insert(new); returns other changes as they are. Positions are consecutive
/// from the change's own.
///
/// An incomplete new row (unchanged out-of-line values were not sent) goes first, as a *move* that names its old row, and the delete follows it: only the
/// replica's old row holds the missing columns.
pub fn split_key_change(change: Change) -> Vec<Change> {
    let (Op::Update, Some(before), Some(after)) = (change.op, &change.before, &change.after) else {
        return vec![change];
    };
    let schema = &change.schema;
    let differs = |columns: &[usize]| match (
        key_text(schema, columns, before),
        key_text(schema, columns, after),
    ) {
        (Some(old), Some(new)) => old != new,
        _ => false,
    };
    if !schema.has_key() || !(differs(&schema.key) || differs(&schema.order_key)) {
        return vec![change];
    }
    let after = filled(before, after);
    let complete = after.iter().all(Value::is_present);
    let next = change.position.successor();
    let delete = Change {
        op: Op::Delete,
        after: None,
        moved_from: None,
        ..change.clone()
    };
    let insert = Change {
        op: Op::Insert,
        before: None,
        after: Some(after),
        moved_from: (!complete).then(|| before.clone()),
        ..change
    };
    if complete {
        vec![
            delete,
            Change {
                position: next,
                ..insert
            },
        ]
    } else {
        vec![
            insert,
            Change {
                position: next,
                ..delete
            },
        ]
    }
}

/// The row after, with what it does not carry taken from the row before where that one has it (a full replica identity).
fn filled(before: &Row, after: &Row) -> Row {
    after
        .iter()
        .zip(before)
        .map(|(new, old)| {
            if new.is_present() {
                new.clone()
            } else {
                old.clone()
            }
        })
        .collect()
}
