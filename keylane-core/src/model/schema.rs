//! A table's shape as the origin had it when a change was made, and what orders its rows against other tables' rows.

use std::fmt;
use std::sync::Arc;

/// A table's name at the origin. SQLite tables are in schema `main`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The schema (PostgreSQL) or `main` (SQLite).
    pub schema: Arc<str>,
    /// The table.
    pub name: Arc<str>,
}

impl TableName {
    /// A name from its parts.
    pub fn new(schema: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        TableName {
            schema: schema.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A column as the origin declared it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// Its name, unquoted.
    pub name: Arc<str>,
    /// Its declared type in the origin's own words (`numeric(10,2)`, `character varying(20)`, `INTEGER`), enough to create it again.
    pub type_name: Arc<str>,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// Whether the database computes it (never written by the applier).
    pub generated: bool,
}

/// A foreign key, from this table to a unique key of its parent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForeignKey {
    /// Indices of this table's columns.
    pub columns: Vec<usize>,
    /// The parent table.
    pub parent: TableName,
    /// Names of the parent's columns, in the order of `columns`.
    pub parent_columns: Vec<Arc<str>>,
}

/// A fingerprint of a schema: equal ids have equal content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(pub u64);

/// A table's shape at a moment of the origin's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    /// The fingerprint of everything below.
    pub id: SchemaId,
    /// The table.
    pub table: TableName,
    /// Columns in the order rows carry them.
    pub columns: Vec<Column>,
    /// Indices of the row key's columns; empty for a table without a key.
    pub key: Vec<usize>,
    /// Indices of the order key's columns: what must keep order together. Equal to `key` unless configured.
    pub order_key: Vec<usize>,
    /// Unique constraints besides the row key, as column indices.
    pub uniques: Vec<Vec<usize>>,
    /// Foreign keys of this table.
    pub references: Vec<ForeignKey>,
    /// Column sets of this table that some table's foreign key refers to (the row key included if it is referred to).
    pub referenced: Vec<Vec<usize>>,
}

impl TableSchema {
    /// Completes a schema with its fingerprint.
    pub fn sealed(mut self) -> Self {
        self.id = SchemaId(self.fingerprint());
        self
    }

    /// The index of a column by name.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &*column.name == name)
    }

    /// Whether rows can be told apart by a declared key.
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Whether anything but the row key can collide with another row: secondary unique keys, or foreign keys in either direction.
    pub fn has_secondary_constraints(&self) -> bool {
        !self.uniques.is_empty() || !self.references.is_empty() || !self.referenced.is_empty()
    }

    fn fingerprint(&self) -> u64 {
        let mut hash = Fnv::new();
        hash.text(&self.table.schema).text(&self.table.name);
        for column in &self.columns {
            hash.text(&column.name)
                .text(&column.type_name)
                .number(u64::from(column.nullable) * 2 + u64::from(column.generated));
        }
        let list = |hash: &mut Fnv, indices: &[usize]| {
            hash.number(indices.len() as u64);
            for index in indices {
                hash.number(*index as u64);
            }
        };
        list(&mut hash, &self.key);
        list(&mut hash, &self.order_key);
        for unique in &self.uniques {
            list(&mut hash, unique);
        }
        hash.text("references");
        for key in &self.references {
            list(&mut hash, &key.columns);
            hash.text(&key.parent.schema).text(&key.parent.name);
            for column in &key.parent_columns {
                hash.text(column);
            }
        }
        hash.text("referenced");
        for columns in &self.referenced {
            list(&mut hash, columns);
        }
        hash.0
    }
}

/// A number for a text, the same in every version and on every machine.
pub fn fingerprint(text: &str) -> u64 {
    Fnv::new().text(text).0
}

/// FNV-1a, 64 bits: stable across versions and machines, which `std`'s hasher does not promise and stored ids need.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// Length first, so that `ab`+`c` and `a`+`bc` differ.
    fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as u64);
        for byte in text.bytes() {
            self.byte(byte);
        }
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        for byte in number.to_le_bytes() {
            self.byte(byte);
        }
        self
    }
}
