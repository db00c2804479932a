//! Where a table's changes go, and by which key.

use std::sync::Arc;

use crate::model::{Change, KeyText, Op, OrderHash, json_string, key_text_as};

/// The field of a record's key that tells in whose table a row of a shared topic is. Debezium's name for the same.
const TABLE_FIELD: &str = "__dbz__physicalTableIdentifier";

/// Where a table's changes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The topic.
    pub topic: Arc<str>,
    /// Its number of partitions.
    pub partitions: u32,
    /// If the topic is another table's.
    pub guest: Option<Guest>,
}

/// A table whose changes go into another table's topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Stands in the key of its records: rows of two tables may have the same row key.
    pub identifier: Arc<str>,
    /// The names under which the columns of its order key are hashed: those of the host's order key. What follows a row then goes where the row goes, and the host's own
    /// records stay where any producer of theirs would put them. Empty: under their own names.
    pub order_names: Vec<Arc<str>>,
}

impl Route {
    /// A table's own topic.
    pub fn own(topic: impl Into<Arc<str>>, partitions: u32) -> Self {
        Route {
            topic: topic.into(),
            partitions,
            guest: None,
        }
    }

    /// A change's record key, and the hash of its order key. `None` if the change does not carry every column of both.
    pub(super) fn keys(&self, change: &Change) -> Option<(KeyText, OrderHash)> {
        if change.op == Op::Truncate {
            let key = format!("{{\"table\":\"{}\"}}", change.schema.table);
            let order = OrderHash::of(key.as_bytes());
            return Some((key, order));
        }
        let (key, order) = (change.row_key()?, change.order_key()?);
        let Some(guest) = self.guest.as_ref().filter(|_| change.schema.has_key()) else {
            return Some((key, OrderHash::of(order.as_bytes())));
        };
        let schema = &change.schema;
        let order = match guest.order_names.len() == schema.order_key.len() {
            true => key_text_as(
                schema,
                &schema.order_key,
                &guest.order_names,
                change.keyed_row()?,
            )?,
            false => order,
        };
        Some((guest.told_in(key), OrderHash::of(order.as_bytes())))
    }
}

impl Guest {
    /// The row key, with the table in it.
    fn told_in(&self, mut key: KeyText) -> KeyText {
        key.pop();
        if key.len() > 1 {
            key.push(',');
        }
        json_string(&mut key, TABLE_FIELD);
        key.push(':');
        json_string(&mut key, &self.identifier);
        key.push('}');
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Column, Position, SchemaId, TableName, TableSchema, Value};

    fn change(table: &str, columns: &[&str], order_key: usize, row: &[&str]) -> Change {
        let column = |name: &&str| Column {
            name: (*name).into(),
            type_name: "integer".into(),
            nullable: false,
            generated: false,
        };
        let schema = TableSchema {
            id: SchemaId(0),
            table: TableName::new("public", table),
            columns: columns.iter().map(column).collect(),
            key: vec![0],
            order_key: vec![order_key],
            uniques: Vec::new(),
            references: Vec::new(),
            referenced: Vec::new(),
        };
        Change {
            schema: Arc::new(schema.sealed()),
            op: Op::Insert,
            before: None,
            after: Some(row.iter().map(|digits| Value::number(*digits)).collect()),
            moved_from: None,
            position: Position::ZERO,
            tx: 1,
            committed_at_us: 0,
        }
    }

    #[test]
    fn an_item_goes_where_its_order_goes_and_shares_no_key_with_it() {
        let host = Route::own("shop.public.orders", 8);
        let guest = Route {
            guest: Some(Guest {
                identifier: "shop.public.items".into(),
                order_names: vec!["id".into()],
            }),
            ..host.clone()
        };
        for order in 0..100 {
            let order = order.to_string();
            let (key, place) = host
                .keys(&change("orders", &["id"], 0, &[&order]))
                .expect("whole");
            let item = change("items", &["id", "order_id"], 1, &["7", &order]);
            let (item_key, item_place) = guest.keys(&item).expect("whole");
            assert_eq!(place, item_place, "order {order}");
            // A Java producer of orders puts them there too.
            assert_eq!(place, OrderHash::of(key.as_bytes()));
            assert_eq!(
                item_key,
                "{\"id\":7,\"__dbz__physicalTableIdentifier\":\"shop.public.items\"}"
            );
        }
    }

    #[test]
    fn a_guest_with_a_key_of_another_width_is_ordered_by_its_own_names() {
        let route = Route {
            guest: Some(Guest {
                identifier: "x".into(),
                order_names: vec!["a".into(), "b".into()],
            }),
            ..Route::own("t", 8)
        };
        let (_, place) = route
            .keys(&change("items", &["id"], 0, &["7"]))
            .expect("whole");
        assert_eq!(place, OrderHash::of(b"{\"id\":7}"));
    }
}
