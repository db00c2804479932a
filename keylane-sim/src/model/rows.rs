//! Tables under immediate constraints, as a database checks them: after every single write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keylane_core::apply::{RowWrite, WriteKind};
use keylane_core::model::{Row, TableName, TableSchema, Value};

/// A database's rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Whether a delete takes the rows with it that refer to its row.
    pub cascades: bool,
    tables: BTreeMap<TableName, Table>,
}

#[derive(Clone, Debug)]
struct Table {
    shape: Arc<TableSchema>,
    keyed: BTreeMap<Vec<Value>, Arc<Row>>,
    bag: Vec<Arc<Row>>,
}

/// A constraint was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation(pub &'static str);

impl Rows {
    /// Empty tables.
    pub fn new(tables: &[Arc<TableSchema>]) -> Self {
        let table = |shape: &Arc<TableSchema>| {
            let table = Table {
                shape: shape.clone(),
                keyed: BTreeMap::new(),
                bag: Vec::new(),
            };
            (shape.table.clone(), table)
        };
        Rows {
            cascades: false,
            tables: tables.iter().map(table).collect(),
        }
    }

    /// A table's rows.
    pub fn rows(&self, table: &TableName) -> Vec<Row> {
        let Some(table) = self.tables.get(table) else {
            return Vec::new();
        };
        let all = table.keyed.values().chain(&table.bag);
        all.map(|row| (**row).clone()).collect()
    }

    /// Whether no table has rows.
    pub fn is_empty(&self) -> bool {
        let empty = |table: &Table| table.keyed.is_empty() && table.bag.is_empty();
        self.tables.values().all(empty)
    }

    /// One write. Returns whether it hit a row where it should have.
    pub fn write(&mut self, write: &RowWrite) -> Result<bool, Violation> {
        let name = &write.schema.table;
        let key = write.schema.key.clone();
        match &write.kind {
            WriteKind::Insert => self.put(name, &key, write.row.clone()).map(|()| true),
            WriteKind::Update => {
                let hit = self.find(name, &key, &write.row).is_some();
                self.put(name, &key, write.row.clone()).map(|()| hit)
            }
            WriteKind::Merge => match self.find(name, &key, &write.row) {
                None => Ok(false),
                Some(old) => self.put(name, &key, over(&old, &write.row)).map(|()| true),
            },
            WriteKind::Move { from } => match self.find(name, &key, from) {
                None => Ok(false),
                Some(old) => self.rename(name, &key, &old, over(&old, &write.row)),
            },
            WriteKind::Delete { .. } => self.delete(name, &key, &write.row),
            WriteKind::InsertUnkeyed => {
                let table = self.table(name);
                table.bag.push(Arc::new(write.row.clone()));
                Ok(true)
            }
            WriteKind::UpdateUnkeyed { before } => {
                let hit = self.take_from_bag(name, before);
                if hit {
                    self.table(name).bag.push(Arc::new(write.row.clone()));
                }
                Ok(hit)
            }
            WriteKind::DeleteUnkeyed => Ok(self.take_from_bag(name, &write.row)),
            WriteKind::Truncate => self.truncate(name),
        }
    }

    /// The rows, by key, that a transaction which left these has written; all of a row where a table has no key.
    pub fn changed(&self, left: &Rows) -> BTreeSet<(TableName, Vec<Value>)> {
        let mut changed = BTreeSet::new();
        for (name, left) in &left.tables {
            let Some(found) = self.tables.get(name) else {
                continue;
            };
            let keys = found.keyed.keys().chain(left.keyed.keys());
            let written = keys.filter(|key| found.keyed.get(*key) != left.keyed.get(*key));
            changed.extend(written.map(|key| (name.clone(), key.clone())));
            let gone = without(&found.bag, &left.bag);
            changed.extend(gone.iter().map(|row| (name.clone(), row.to_vec())));
        }
        changed
    }

    /// What a transaction made of the rows that it found, as its commit makes it seen. A row that another has changed meanwhile, and a constraint that would not hold,
    /// refuse it: a database would have let one of the two wait.
    pub fn merge(&mut self, found: &Rows, left: &Rows) -> Result<(), Violation> {
        for (name, left) in &left.tables {
            let (Some(found), Some(mine)) = (found.tables.get(name), self.tables.get_mut(name))
            else {
                continue;
            };
            let keys = found.keyed.keys().chain(left.keyed.keys());
            for key in keys {
                let (old, new) = (found.keyed.get(key), left.keyed.get(key));
                if old == new {
                    continue;
                }
                if mine.keyed.get(key) != old {
                    if mine.keyed.get(key) == new {
                        continue;
                    }
                    return Err(Violation("another's row"));
                }
                match new {
                    Some(row) => mine.keyed.insert(key.clone(), row.clone()),
                    None => mine.keyed.remove(key),
                };
            }
            let gone = without(&found.bag, &left.bag);
            for row in &gone {
                let at = mine.bag.iter().position(|other| other == row);
                mine.bag.swap_remove(at.ok_or(Violation("another's row"))?);
            }
            mine.bag.extend(without(&left.bag, &found.bag));
        }
        self.holds()
    }

    /// Every constraint.
    fn holds(&self) -> Result<(), Violation> {
        for (name, table) in &self.tables {
            for (id, row) in &table.keyed {
                self.collides(name, id, row)?;
            }
        }
        Ok(())
    }

    fn table(&mut self, name: &TableName) -> &mut Table {
        self.tables
            .get_mut(name)
            .expect("changes are of tables that the model has")
    }

    fn find(&self, name: &TableName, key: &[usize], row: &Row) -> Option<Arc<Row>> {
        self.tables.get(name)?.keyed.get(&part(row, key)).cloned()
    }

    fn put(&mut self, name: &TableName, key: &[usize], row: Row) -> Result<(), Violation> {
        let id = part(&row, key);
        self.collides(name, &id, &row)?;
        let old = self.table(name).keyed.insert(id, Arc::new(row.clone()));
        if let Some(old) = old {
            self.orphans(name, &old, Some(&row))?;
        }
        Ok(())
    }

    fn rename(
        &mut self,
        name: &TableName,
        key: &[usize],
        old: &Arc<Row>,
        row: Row,
    ) -> Result<bool, Violation> {
        let id = part(&row, key);
        self.table(name).keyed.remove(&part(old, key));
        if self.table(name).keyed.contains_key(&id) {
            return Err(Violation("row key"));
        }
        self.collides(name, &id, &row)?;
        self.table(name).keyed.insert(id, Arc::new(row.clone()));
        self.orphans(name, old, Some(&row))?;
        Ok(true)
    }

    fn delete(&mut self, name: &TableName, key: &[usize], row: &Row) -> Result<bool, Violation> {
        let Some(old) = self.table(name).keyed.remove(&part(row, key)) else {
            return Ok(false);
        };
        if self.cascades {
            self.take_children(name, &old);
        }
        self.orphans(name, &old, None)?;
        Ok(true)
    }

    fn truncate(&mut self, name: &TableName) -> Result<bool, Violation> {
        let table = self.table(name);
        table.bag.clear();
        let gone = std::mem::take(&mut table.keyed);
        for row in gone.values() {
            self.orphans(name, row, None)?;
        }
        Ok(true)
    }

    fn take_from_bag(&mut self, name: &TableName, row: &Row) -> bool {
        let bag = &mut self.table(name).bag;
        match bag.iter().position(|other| **other == *row) {
            Some(index) => {
                bag.swap_remove(index);
                true
            }
            None => false,
        }
    }

    /// Unique values that another row holds, and parents that are not there.
    fn collides(&self, name: &TableName, id: &[Value], row: &Row) -> Result<(), Violation> {
        let Some(table) = self.tables.get(name) else {
            return Ok(());
        };
        if row.contains(&Value::Absent) {
            return Err(Violation("not null"));
        }
        for unique in &table.shape.uniques {
            let wanted = part(row, unique);
            let taken = |(other, held): (&Vec<Value>, &Arc<Row>)| {
                other.as_slice() != id && part(held, unique) == wanted
            };
            if table.keyed.iter().any(taken) {
                return Err(Violation("unique"));
            }
        }
        for reference in &table.shape.references {
            let wanted = part(row, &reference.columns);
            if !self.has(&reference.parent, &reference.parent_columns, &wanted) {
                return Err(Violation("foreign key"));
            }
        }
        Ok(())
    }

    /// Whether a delete of this table may take other rows with it.
    pub fn takes_others(&self, name: &TableName) -> bool {
        let refers = |child: &Table| child.shape.references.iter().any(|it| it.parent == *name);
        self.cascades && self.tables.values().any(refers)
    }

    fn take_children(&mut self, name: &TableName, old: &Row) {
        let Some(parent) = self.tables.get(name).map(|table| table.shape.clone()) else {
            return;
        };
        for child in self.tables.values_mut() {
            for reference in &child.shape.references {
                let held = part(old, &columns_of(&parent, &reference.parent_columns));
                if reference.parent == *name {
                    child
                        .keyed
                        .retain(|_, row| part(row, &reference.columns) != held);
                }
            }
        }
    }

    /// Children of what a row no longer holds.
    fn orphans(&self, name: &TableName, old: &Row, new: Option<&Row>) -> Result<(), Violation> {
        let Some(table) = self.tables.get(name) else {
            return Ok(());
        };
        for child in self.tables.values() {
            for reference in &child.shape.references {
                let columns = columns_of(&table.shape, &reference.parent_columns);
                let held = part(old, &columns);
                let kept = new.is_some_and(|new| part(new, &columns) == held);
                let refers = |row: &Arc<Row>| part(row, &reference.columns) == held;
                if reference.parent == *name && !kept && child.keyed.values().any(refers) {
                    return Err(Violation("foreign key of a child"));
                }
            }
        }
        Ok(())
    }

    fn has(&self, name: &TableName, columns: &[Arc<str>], wanted: &[Value]) -> bool {
        self.tables.get(name).is_some_and(|table| {
            let columns = columns_of(&table.shape, columns);
            let holds = |row: &Arc<Row>| part(row, &columns) == wanted;
            table.keyed.values().any(holds)
        })
    }
}

/// The rows of one bag that another lacks.
fn without(bag: &[Arc<Row>], other: &[Arc<Row>]) -> Vec<Arc<Row>> {
    let mut other = other.to_vec();
    let lacks = |row: &&Arc<Row>| match other.iter().position(|it| it == *row) {
        Some(at) => {
            other.swap_remove(at);
            false
        }
        None => true,
    };
    bag.iter().filter(lacks).cloned().collect()
}

fn columns_of(shape: &TableSchema, names: &[Arc<str>]) -> Vec<usize> {
    let index = |name: &Arc<str>| shape.columns.iter().position(|c| c.name == *name);
    names.iter().filter_map(index).collect()
}

fn part(row: &Row, columns: &[usize]) -> Vec<Value> {
    let value = |index: &usize| row.get(*index).cloned().unwrap_or(Value::Null);
    columns.iter().map(value).collect()
}

fn over(old: &Row, new: &Row) -> Row {
    let one = |(old, new): (&Value, &Value)| {
        if *new == Value::Absent {
            old.clone()
        } else {
            new.clone()
        }
    };
    old.iter().zip(new).map(one).collect()
}
