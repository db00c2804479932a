//! Which tables belong together: rule 1 (what must keep its order shares topic and order key) and rule 2 (dependents go with their parent).
//!
//! A row follows a parent if it cannot be without one: a foreign key to the parent's primary key, none of whose columns may be NULL. The parent's key then stands
//! in the row itself, so the row can be ordered by it without asking anybody. Of several parents the strongest bond counts ([`Bond`]).
//!
//! A chain is followed only as far as the rows themselves tell: where `order_items` refers to `orders` and `orders` to `customers`, an item knows its order but not
//! its customer. Then the chain is cut above the order, because the lowest bond is the tightest; items stay with their order, and the order is ordered by itself.
//! With keys that carry the grandparent's (`orders(customer, number)`, `items(customer, number, line)`) the whole chain goes by the customer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::TableName;

use super::schema::{Reference, Table};

/// What binds a dependent to its parent, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bond {
    /// Its foreign key takes no NULL.
    Required,
    /// Besides, its rows are deleted with the parent's.
    Cascading,
    /// The parent's key is part of its own primary key.
    Identifying,
}

/// Tables that share a topic and an order key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The table that the others follow comes first.
    pub members: Vec<Member>,
}

/// A table of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The table.
    pub table: TableName,
    /// Its columns that hold the group's order key; its own primary key for the first member. Empty for a table without a key.
    pub order_key: Vec<Arc<str>>,
    /// Whom it follows, and why; `None` for the first member.
    pub follows: Option<Follows>,
}

/// Whom a table follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follows {
    /// The parent.
    pub parent: TableName,
    /// The foreign key's columns.
    pub columns: Vec<Arc<str>>,
    /// What binds it.
    pub bond: Bond,
    /// How the parent was chosen among equally strong bonds; empty where there was one only.
    pub chosen: &'static str,
}

/// The groups of these tables, by the name of their first member; each table is in one.
pub fn groups(tables: &[Table]) -> Vec<Group> {
    let by_name: BTreeMap<&TableName, &Table> =
        tables.iter().map(|table| (&table.name, table)).collect();
    let mut follows: BTreeMap<TableName, Follows> = tables
        .iter()
        .filter_map(|table| Some((table.name.clone(), candidate(table, &by_name)?)))
        .collect();
    cut_rings(&mut follows);
    cut_chains(&mut follows, &by_name);
    let mut groups: BTreeMap<TableName, Vec<Member>> = BTreeMap::new();
    for table in by_name.values() {
        let (root, depth) = root_of(&table.name, &follows);
        let member = Member {
            table: table.name.clone(),
            order_key: order_key(table, &follows, &by_name),
            follows: follows.get(&table.name).cloned(),
        };
        let members = groups.entry(root.clone()).or_default();
        match depth {
            0 => members.insert(0, member),
            _ => members.push(member),
        }
    }
    groups
        .into_values()
        .map(|members| Group { members })
        .collect()
}

/// The parent that a table would follow.
fn candidate(table: &Table, by_name: &BTreeMap<&TableName, &Table>) -> Option<Follows> {
    if table.key.is_empty() {
        return None;
    }
    let bonds = table.references.iter().filter_map(|reference| {
        let parent = by_name.get(&reference.parent)?;
        Some((bond(table, reference, parent)?, reference, *parent))
    });
    let mut bonds: Vec<(Bond, &Reference, &Table)> = bonds.collect();
    let strongest = bonds.iter().map(|(bond, ..)| *bond).max()?;
    bonds.retain(|(bond, ..)| *bond == strongest);
    let (best, chosen) = match bonds.as_slice() {
        [only] => (only, ""),
        several => choose(table, strongest, several)?,
    };
    let (bond, reference, parent) = best;
    Some(Follows {
        parent: parent.name.clone(),
        columns: reference.columns.clone(),
        bond: *bond,
        chosen,
    })
}

fn bond(table: &Table, reference: &Reference, parent: &Table) -> Option<Bond> {
    let as_set = |columns: &[Arc<str>]| columns.iter().cloned().collect::<BTreeSet<_>>();
    let to_key = as_set(&reference.parent_columns) == as_set(&parent.key);
    if !reference.required || !to_key || parent.key.is_empty() || parent.name == table.name {
        return None;
    }
    let identifies = reference
        .columns
        .iter()
        .all(|column| table.key.contains(column));
    Some(match (identifies, reference.cascades) {
        (true, _) => Bond::Identifying,
        (false, true) => Bond::Cascading,
        (false, false) => Bond::Required,
    })
}

type Bonded<'a> = (Bond, &'a Reference, &'a Table);

/// Among equally strong bonds.
fn choose<'b, 'a>(
    table: &Table,
    bond: Bond,
    several: &'b [Bonded<'a>],
) -> Option<(&'b Bonded<'a>, &'static str)> {
    if bond == Bond::Identifying {
        // The primary key names its parent first.
        let place = |reference: &Reference| {
            let mut key = table.key.iter();
            key.position(|column| reference.columns.contains(column))
        };
        let first = several
            .iter()
            .min_by_key(|(_, reference, _)| place(reference))?;
        return Some((first, "its key stands first in the primary key"));
    }
    // A part comes into being with its whole: the parent that changes most is the one it is made with.
    let most = |of: fn(&Table) -> f64| {
        let best = several
            .iter()
            .max_by(|(_, _, one), (_, _, other)| of(one).total_cmp(&of(other)))?;
        let is_alone = several
            .iter()
            .filter(|(_, _, parent)| of(parent) >= of(best.2))
            .count()
            == 1;
        is_alone.then_some(best)
    };
    if let Some(best) = most(Table::changes_per_s) {
        return Some((best, "of its parents it changes most"));
    }
    if let Some(best) = most(|table| table.rows.unwrap_or(0) as f64) {
        return Some((best, "of its parents it has most rows"));
    }
    let named = several
        .iter()
        .filter(|(_, _, parent)| is_named_after(&table.name.name, &parent.name.name));
    if let Some(best) = named.max_by_key(|(_, _, parent)| parent.name.name.len()) {
        return Some((best, "the table is named after it"));
    }
    Some((several.first()?, "its foreign key is declared first"))
}

/// `order_items` after `orders` or `order`.
fn is_named_after(child: &str, parent: &str) -> bool {
    let stem = parent.strip_suffix('s').unwrap_or(parent);
    child.len() > stem.len() && child.starts_with(stem)
}

/// Tables that follow each other in a ring: the first by name follows nobody.
fn cut_rings(follows: &mut BTreeMap<TableName, Follows>) {
    let names: Vec<TableName> = follows.keys().cloned().collect();
    for name in names {
        let (mut seen, mut at) = (BTreeSet::new(), &name);
        while let Some(next) = follows.get(at)
            && seen.insert(at.clone())
        {
            at = &next.parent;
        }
        // In the order of names, so the first of each ring is met first.
        if *at == name && !seen.is_empty() {
            follows.remove(&name);
        }
    }
}

/// A table with followers follows another only if what it is ordered by then is part of its own key, which its followers hold.
fn cut_chains(follows: &mut BTreeMap<TableName, Follows>, by_name: &BTreeMap<&TableName, &Table>) {
    loop {
        let parents: BTreeSet<&TableName> = follows.values().map(|one| &one.parent).collect();
        let too_far = parents.into_iter().find(|name| {
            let Some(table) = by_name.get(name).filter(|_| follows.contains_key(name)) else {
                return false;
            };
            let order_key = order_key(table, follows, by_name);
            !order_key.iter().all(|column| table.key.contains(column)) || order_key.is_empty()
        });
        let Some(name) = too_far.cloned() else {
            return;
        };
        follows.remove(&name);
    }
}

/// The columns of a table that hold its group's order key; empty if its chain does not tell them.
fn order_key(
    table: &Table,
    follows: &BTreeMap<TableName, Follows>,
    by_name: &BTreeMap<&TableName, &Table>,
) -> Vec<Arc<str>> {
    let Some(follow) = follows.get(&table.name) else {
        return table.key.clone();
    };
    let reference = table
        .references
        .iter()
        .find(|one| one.parent == follow.parent && one.columns == follow.columns);
    let (Some(reference), Some(parent)) = (reference, by_name.get(&follow.parent)) else {
        return Vec::new();
    };
    let of_parent = order_key(parent, follows, by_name);
    let own = of_parent.iter().map(|column| {
        let place = reference
            .parent_columns
            .iter()
            .position(|it| it == column)?;
        reference.columns.get(place).cloned()
    });
    own.collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The first of a table's group, and how far it is.
fn root_of<'n>(
    name: &'n TableName,
    follows: &'n BTreeMap<TableName, Follows>,
) -> (&'n TableName, usize) {
    let (mut at, mut depth) = (name, 0);
    while let Some(next) = follows.get(at) {
        at = &next.parent;
        depth += 1;
    }
    (at, depth)
}
