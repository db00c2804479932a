//! Changes made by hand.

use std::sync::Arc;

use keylane_core::model::{
    Change, Column, Op, Position, Row, SchemaId, TableName, TableSchema, Value,
};

/// A table's shape: columns as `name type`, a `!` at the end for NOT NULL; the first `keys` columns are the key.
pub fn shape(table: &str, keys: usize, columns: &[&str]) -> Arc<TableSchema> {
    let (schema, name) = table.split_once('.').unwrap_or(("public", table));
    let column = |text: &&str| {
        let (name, type_name) = text.split_once(' ').expect("name and type");
        Column {
            name: Arc::from(name),
            type_name: Arc::from(type_name.trim_end_matches('!')),
            nullable: !type_name.ends_with('!'),
            generated: false,
        }
    };
    let shape = TableSchema {
        id: SchemaId::default(),
        table: TableName::new(schema, name),
        columns: columns.iter().map(column).collect(),
        key: (0..keys).collect(),
        order_key: (0..keys).collect(),
        uniques: Vec::new(),
        references: Vec::new(),
        referenced: Vec::new(),
    };
    Arc::new(shape.sealed())
}

/// A row from text: `NULL`, `ABSENT`, else the value, a number where the column is one.
pub fn row(schema: &TableSchema, values: &[&str]) -> Row {
    let value = |(text, column): (&&str, &Column)| match *text {
        "NULL" => Value::Null,
        "ABSENT" => Value::Absent,
        text if matches!(&*column.type_name, "integer" | "bigint") => Value::number(text),
        text => Value::text(text),
    };
    values.iter().zip(&schema.columns).map(value).collect()
}

pub fn change(
    schema: &Arc<TableSchema>,
    op: Op,
    commit: u64,
    before: Option<&[&str]>,
    after: Option<&[&str]>,
) -> Change {
    Change {
        schema: schema.clone(),
        op,
        before: before.map(|values| row(schema, values)),
        after: after.map(|values| row(schema, values)),
        moved_from: None,
        position: Position::new(commit, 0),
        tx: commit,
        committed_at_us: 1_700_000_000_000_000,
    }
}

pub fn insert(schema: &Arc<TableSchema>, commit: u64, after: &[&str]) -> Change {
    change(schema, Op::Insert, commit, None, Some(after))
}

pub fn update(schema: &Arc<TableSchema>, commit: u64, after: &[&str]) -> Change {
    change(schema, Op::Update, commit, None, Some(after))
}

pub fn delete(schema: &Arc<TableSchema>, commit: u64, before: &[&str]) -> Change {
    change(schema, Op::Delete, commit, Some(before), None)
}

/// What a person asked for is kept, the last word of each pipeline.
pub(crate) async fn check_asked_threads(replica: &dyn keylane_core::apply::Replica) {
    use keylane_core::apply::{AskedThreads, Threads};
    assert_eq!(replica.asked_threads("a").await, Ok(None));
    for (threads, configured) in [
        (Threads::Number(7), Threads::Auto),
        (Threads::Auto, Threads::Number(1024)),
    ] {
        let asked = AskedThreads {
            threads,
            configured,
        };
        assert_eq!(replica.ask_threads("a", asked).await, Ok(()));
        assert_eq!(replica.asked_threads("a").await, Ok(Some(asked)));
        assert_eq!(replica.asked_threads("b").await, Ok(None));
    }
}
