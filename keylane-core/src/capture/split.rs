//! A change of the row key is a delete of the old row and an insert of the new one, in two lanes.
//!
//! A change of the order key alone stays one update, in the new order key's lane: its stamp names the row's last change, wherever that is, so the two keep
//! their order without a delete in the old lane. A delete there would fail where other rows refer to the row (order items to an order that goes to another
//! customer), and would lose the columns that were not sent.

use crate::model::{Change, Op, Row, TableSchema, Value, key_text};

/// Splits an update whose row key changed into delete(old) and insert(new); returns other changes as they are. Positions are consecutive
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
    if !schema.has_key() || !differs(&schema.key) {
        return vec![change];
    }
    let after = filled(before, after);
    let complete = after.iter().all(Value::is_present);
    let next = change.position.successor();
    let delete = Change {
        op: Op::Delete,
        after: None,
        moved_from: (!complete).then(|| key_of(schema, before)),
        ..change.clone()
    };
    let insert = Change {
        op: Op::Insert,
        before: None,
        after: Some(after),
        moved_from: Some(if complete {
            key_of(schema, before)
        } else {
            before.clone()
        }),
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

/// The row's key columns alone.
fn key_of(schema: &TableSchema, row: &Row) -> Row {
    let cell = |(index, value): (usize, &Value)| {
        if schema.key.contains(&index) {
            value.clone()
        } else {
            Value::Absent
        }
    };
    row.iter().enumerate().map(cell).collect()
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::apply::{WriteKind, single};
    use crate::model::{Column, Position, TableName};

    fn update(before: Row, after: Row) -> Change {
        let column = |name: &str| Column {
            name: name.into(),
            type_name: "integer".into(),
            nullable: true,
            generated: false,
        };
        Change {
            schema: Arc::new(TableSchema {
                id: Default::default(),
                table: TableName::new("public", "orders"),
                columns: vec![column("id"), column("customer"), column("note")],
                key: vec![0],
                order_key: vec![1],
                uniques: Vec::new(),
                references: Vec::new(),
                referenced: vec![vec![0]],
            }),
            op: Op::Update,
            before: Some(before),
            after: Some(after),
            moved_from: None,
            position: Position::new(7, 3),
            tx: 1,
            committed_at_us: 0,
        }
    }

    fn row(id: i32, customer: i32, note: Value) -> Row {
        vec![
            Value::number(id.to_string()),
            Value::number(customer.to_string()),
            note,
        ]
    }

    #[test]
    fn a_change_of_the_order_key_alone_stays_one_update() {
        let change = update(row(1, 1, Value::Absent), row(1, 2, Value::Absent));
        assert_eq!(split_key_change(change.clone()), vec![change]);
    }

    #[test]
    fn a_row_that_takes_a_new_key_is_deleted_then_inserted() {
        let change = update(row(1, 1, Value::Absent), row(2, 1, Value::Null));
        let parts = split_key_change(change);
        let told: Vec<_> = parts
            .iter()
            .map(|part| (part.op, part.position.ordinal))
            .collect();
        assert_eq!(told, [(Op::Delete, 3), (Op::Insert, 4)]);
    }

    #[test]
    fn an_incomplete_row_that_takes_a_new_key_moves_before_its_old_key_is_deleted() {
        let change = update(row(1, 1, Value::Absent), row(2, 1, Value::Absent));
        let parts = split_key_change(change);
        let told: Vec<_> = parts
            .iter()
            .map(|part| (part.op, part.renames().is_some()))
            .collect();
        assert_eq!(told, [(Op::Insert, true), (Op::Delete, false)]);
        // The row is not missed there: it was taken along.
        let delete = single(&parts[1], 0);
        assert_eq!(delete.kind, WriteKind::Delete { expected: false });
    }
}
