//! What a change is stamped with.

use std::sync::Arc;

use super::{Place, WriteSet};
use crate::model::{
    Change, Column, ForeignKey, Op, OrderHash, Position, Row, SchemaId, TableName, TableSchema,
    Value,
};
use crate::publish::Stamp;

fn schema(
    name: &str,
    columns: &[&str],
    references: Vec<ForeignKey>,
    referenced: Vec<Vec<usize>>,
) -> Arc<TableSchema> {
    let column = |name: &&str| Column {
        name: (*name).into(),
        type_name: "integer".into(),
        nullable: false,
        generated: false,
    };
    Arc::new(TableSchema {
        id: SchemaId(0),
        table: TableName::new("public", name),
        columns: columns.iter().map(column).collect(),
        key: vec![0],
        order_key: vec![0],
        uniques: Vec::new(),
        references,
        referenced,
    })
}

fn parents() -> Arc<TableSchema> {
    schema("parents", &["id", "version"], Vec::new(), vec![vec![0]])
}

fn children() -> Arc<TableSchema> {
    let parent = ForeignKey {
        columns: vec![1],
        parent: TableName::new("public", "parents"),
        parent_columns: vec!["id".into()],
    };
    schema("children", &["id", "parent"], vec![parent], Vec::new())
}

fn row(values: [&str; 2]) -> Row {
    values.map(|value| Value::Text(value.into())).into()
}

/// Stamps a history, each change in a place of its own, at positions that count from 1.
fn stamps(history: Vec<(Op, Arc<TableSchema>, [&str; 2])>) -> Vec<Stamp> {
    let mut write_set = WriteSet::new(1000, Position::ZERO);
    let numbered = history.into_iter().zip(1_u32..);
    let stamp = |((op, schema, values), number): ((Op, Arc<TableSchema>, [&str; 2]), u32)| {
        let deletes = op == Op::Delete;
        let change = Change {
            before: deletes.then(|| row(values)),
            after: (!deletes).then(|| row(values)),
            moved_from: None,
            position: Position::new(u64::from(number), 0),
            tx: u64::from(number),
            committed_at_us: 0,
            op,
            schema,
        };
        let place = Place {
            topic_hash: 0,
            partition: number,
            order: OrderHash(number),
        };
        write_set.stamp(&change, place)
    };
    numbered.map(stamp).collect()
}

/// The places that a stamp names, and its floor.
fn named(stamp: &Stamp) -> (Vec<u32>, Position) {
    let names = stamp.dependencies.iter().map(|it| it.partition);
    (names.collect(), stamp.floor)
}

#[test]
fn a_child_depends_on_the_change_since_which_its_parent_is_there_and_not_on_the_parents_updates() {
    let stamps = stamps(vec![
        (Op::Insert, parents(), ["1", "0"]),
        (Op::Update, parents(), ["1", "1"]),
        (Op::Update, parents(), ["1", "2"]),
        (Op::Insert, children(), ["7", "1"]),
    ]);
    assert_eq!(
        named(&stamps[2]),
        (vec![2], Position::ZERO),
        "a row's changes depend on its last"
    );
    assert_eq!(named(&stamps[3]), (vec![1], Position::ZERO));
}

#[test]
fn a_child_of_a_parent_that_was_there_before_the_history_depends_on_nothing_of_it() {
    let stamps = stamps(vec![
        (Op::Update, parents(), ["1", "1"]),
        (Op::Insert, children(), ["7", "1"]),
    ]);
    assert_eq!(named(&stamps[1]), (vec![], Position::ZERO));
}

#[test]
fn a_child_of_a_parent_that_came_again_depends_on_its_coming_again() {
    let stamps = stamps(vec![
        (Op::Insert, parents(), ["1", "0"]),
        (Op::Delete, parents(), ["1", "0"]),
        (Op::Insert, parents(), ["1", "5"]),
        (Op::Update, parents(), ["1", "6"]),
        (Op::Insert, children(), ["7", "1"]),
    ]);
    assert_eq!(named(&stamps[4]), (vec![3], Position::ZERO));
}

#[test]
fn a_parents_delete_depends_on_the_references_to_it_though_they_do_not_on_its_updates() {
    let stamps = stamps(vec![
        (Op::Insert, parents(), ["1", "0"]),
        (Op::Update, parents(), ["1", "1"]),
        (Op::Insert, children(), ["7", "1"]),
        (Op::Delete, parents(), ["1", "1"]),
    ]);
    let (mut names, floor) = named(&stamps[3]);
    names.sort_unstable();
    assert_eq!((names, floor), (vec![2, 3], Position::ZERO));
}
