//! The origin: three small tables under immediate constraints, in plain Rust maps that know nothing of the code under test.

use std::collections::BTreeMap;
use std::sync::Arc;

use keylane_core::model::{Change, Column, ForeignKey, Row, TableName, TableSchema, Value};

use crate::Chance;

/// How the origin's tables look and what its log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// A child's order key is its parent, not its own key.
    pub by_parent: bool,
    /// Children refer to the parent's unique name instead of its row key.
    pub by_name: bool,
    /// Before images hold the whole row; else only keys.
    pub full_identity: bool,
    /// Unchanged bodies are not sent (out-of-line values).
    pub absent_bodies: bool,
    /// Tables are emptied now and then.
    pub truncates: bool,
    /// There is a table without a key as well.
    pub unkeyed: bool,
    /// A parent's delete takes its children with it (`ON DELETE CASCADE`); the log tells the parent's delete first.
    pub cascades: bool,
    /// References are checked at commit: a child may be written before its parent.
    pub deferred: bool,
    /// The replica's foreign key takes children with their parent as well.
    pub replica_cascades: bool,
    /// At most so many statements in one transaction.
    pub statements_max: usize,
}

/// A child row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub unique: u32,
    pub parent: u32,
    pub body: u32,
}

/// The origin's rows.
#[derive(Clone, Debug)]
pub struct Shop {
    /// How it is made.
    pub shape: Shape,
    /// Parents: row key to unique name.
    pub(super) parents: BTreeMap<u32, u32>,
    /// Children by row key.
    pub(super) children: BTreeMap<u32, Child>,
    /// The table without a key.
    pub(super) bag: Vec<(u32, u32)>,
    /// The parents' table.
    pub parent_table: Arc<TableSchema>,
    /// The children's table.
    pub child_table: Arc<TableSchema>,
    /// The table without a key.
    pub bag_table: Arc<TableSchema>,
}

/// A committed transaction as the origin's log tells it; row-key changes are still single updates, positions are not given yet.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The commit's place.
    pub commit: u64,
    /// What it did.
    pub changes: Vec<Change>,
}

impl Shape {
    /// A shape by chance.
    pub fn any(chance: &mut Chance) -> Self {
        Shape {
            by_parent: chance.percent(50),
            by_name: chance.percent(25),
            full_identity: chance.percent(40),
            absent_bodies: chance.percent(50),
            truncates: chance.percent(20),
            unkeyed: chance.percent(30),
            statements_max: chance.between(1, 4),
            cascades: false,
            deferred: false,
            replica_cascades: false,
        }
    }

    /// The same by chance, of an origin whose transactions pass through states that immediate constraints forbid.
    pub fn through_forbidden_states(self, chance: &mut Chance) -> Self {
        let cascades = chance.percent(70);
        // Where a parent's change does not tell the value that it gives up, a child that refers to that value before its next holder comes is not known to depend on it.
        let told = self.full_identity || !self.by_name;
        Shape {
            cascades,
            deferred: told && (!cascades || chance.percent(50)),
            replica_cascades: cascades && chance.percent(50),
            ..self
        }
    }
}

impl Shop {
    /// Empty tables.
    pub fn new(shape: Shape) -> Self {
        Shop {
            shape,
            parents: BTreeMap::new(),
            children: BTreeMap::new(),
            bag: Vec::new(),
            parent_table: parent_table(shape),
            child_table: child_table(shape),
            bag_table: bag_table(),
        }
    }

    /// All tables, parents first.
    pub fn tables(&self) -> [Arc<TableSchema>; 3] {
        [
            self.parent_table.clone(),
            self.child_table.clone(),
            self.bag_table.clone(),
        ]
    }

    /// A table's rows as the replica should hold them, in no order that matters.
    pub fn rows(&self, table: &TableName) -> Vec<Row> {
        if *table == self.parent_table.table {
            let row = |(key, name): (&u32, &u32)| parent_row(*key, *name);
            self.parents.iter().map(row).collect()
        } else if *table == self.child_table.table {
            let row = |(key, child): (&u32, &Child)| child_row(*key, child);
            self.children.iter().map(row).collect()
        } else {
            self.bag.iter().map(bag_row).collect()
        }
    }

    /// What children may refer to.
    pub(super) fn targets(&self) -> Vec<u32> {
        if self.shape.by_name {
            self.parents.values().copied().collect()
        } else {
            self.parents.keys().copied().collect()
        }
    }

    /// Whether a child refers to this value.
    pub(super) fn is_referenced(&self, target: u32) -> bool {
        self.children.values().any(|child| child.parent == target)
    }
}

pub(super) fn number(value: u32) -> Value {
    Value::number(value.to_string())
}

pub(super) fn body(value: u32) -> Value {
    Value::text(format!("body {value}"))
}

pub(super) fn parent_row(key: u32, name: u32) -> Row {
    vec![number(key), number(name)]
}

pub(super) fn child_row(key: u32, child: &Child) -> Row {
    vec![
        number(key),
        number(child.unique),
        number(child.parent),
        body(child.body),
    ]
}

pub(super) fn bag_row(row: &(u32, u32)) -> Row {
    vec![number(row.0), number(row.1)]
}

fn column(name: &str, type_name: &str) -> Column {
    Column {
        name: name.into(),
        type_name: type_name.into(),
        nullable: false,
        generated: false,
    }
}

fn parent_table(shape: Shape) -> Arc<TableSchema> {
    Arc::new(
        TableSchema {
            id: Default::default(),
            table: TableName::new("public", "parents"),
            columns: vec![column("id", "integer"), column("name", "integer")],
            key: vec![0],
            order_key: vec![0],
            uniques: vec![vec![1]],
            references: Vec::new(),
            referenced: vec![vec![usize::from(shape.by_name)]],
        }
        .sealed(),
    )
}

fn child_table(shape: Shape) -> Arc<TableSchema> {
    Arc::new(
        TableSchema {
            id: Default::default(),
            table: TableName::new("public", "children"),
            columns: vec![
                column("id", "integer"),
                column("serial", "integer"),
                column("parent", "integer"),
                column("body", "text"),
            ],
            key: vec![0],
            order_key: vec![if shape.by_parent { 2 } else { 0 }],
            uniques: vec![vec![1]],
            references: vec![ForeignKey {
                columns: vec![2],
                parent: TableName::new("public", "parents"),
                parent_columns: vec![if shape.by_name { "name" } else { "id" }.into()],
            }],
            referenced: Vec::new(),
        }
        .sealed(),
    )
}

fn bag_table() -> Arc<TableSchema> {
    Arc::new(
        TableSchema {
            id: Default::default(),
            table: TableName::new("public", "bag"),
            columns: vec![column("who", "integer"), column("what", "integer")],
            key: Vec::new(),
            order_key: Vec::new(),
            uniques: Vec::new(),
            references: Vec::new(),
            referenced: Vec::new(),
        }
        .sealed(),
    )
}
