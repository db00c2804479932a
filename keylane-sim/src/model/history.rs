//! Random histories that an origin with immediate constraints can have: puts, deletes, row-key changes, moves between parents, truncates.

use std::sync::Arc;

use keylane_core::model::{Change, Op, Position, Row, TableSchema, Value};

use super::shop::{Child, Shop, Transaction, bag_row, body, child_row, number, parent_row};
use crate::Chance;

const KEYS: usize = 5;
const VALUES: usize = 4;

/// Runs the origin until it has done about `changes_max` changes; commits are 10 apart so that places between them exist.
pub fn history(shop: &mut Shop, chance: &mut Chance, changes_max: usize) -> Vec<Transaction> {
    states(shop, chance, changes_max)
        .into_iter()
        .map(|(transaction, _)| transaction)
        .collect()
}

/// The same, with the rows after each transaction.
pub fn states(
    shop: &mut Shop,
    chance: &mut Chance,
    changes_max: usize,
) -> Vec<(Transaction, Shop)> {
    let (mut done, mut all, mut idle) = (0, Vec::new(), 0);
    while done < changes_max && idle < 1000 {
        let mut changes = Vec::new();
        for _ in 0..chance.between(1, shop.shape.statements_max) {
            statement(shop, chance, &mut changes);
        }
        if changes.is_empty() {
            idle += 1;
            continue;
        }
        done += changes.len();
        let commit = 10 * (all.len() as u64 + 1);
        for change in &mut changes {
            change.position = Position::new(commit, 0);
            change.tx = commit;
        }
        all.push((Transaction { commit, changes }, shop.clone()));
    }
    all
}

fn statement(shop: &mut Shop, chance: &mut Chance, out: &mut Vec<Change>) {
    if shop.shape.truncates && chance.percent(3) {
        return truncate(shop, chance, out);
    }
    if shop.shape.unkeyed && chance.percent(15) {
        return bag(shop, chance, out);
    }
    match chance.below(100) {
        0..10 if shop.shape.deferred => put_child_first(shop, chance, out),
        0..25 => put_parent(shop, chance, out),
        25..35 => delete_parent(shop, chance, out),
        35..76 => put_child(shop, chance, out),
        76..86 => delete_child(shop, chance, out),
        86..96 => rekey_child(shop, chance, out),
        _ => rekey_parent(shop, chance, out),
    }
}

fn put_parent(shop: &mut Shop, chance: &mut Chance, out: &mut Vec<Change>) {
    let (key, name) = (chance.below(KEYS) as u32, chance.below(VALUES) as u32);
    let taken = shop.parents.iter().any(|(k, n)| *k != key && *n == name);
    let old = shop.parents.get(&key).copied();
    let loses = old.is_some_and(|old| old != name && shop.shape.by_name && shop.is_referenced(old));
    if taken || loses {
        return;
    }
    shop.parents.insert(key, name);
    let table = &shop.parent_table;
    let after = parent_row(key, name);
    out.push(match old {
        None => change(table, Op::Insert, None, Some(after)),
        Some(old) => {
            let before = shop.shape.full_identity.then(|| parent_row(key, old));
            change(table, Op::Update, before, Some(after))
        }
    });
}

fn delete_parent(shop: &mut Shop, chance: &mut Chance, out: &mut Vec<Change>) {
    let keys: Vec<(u32, u32)> = shop.parents.iter().map(|(k, n)| (*k, *n)).collect();
    let Some((key, name)) = chance.pick(&keys).copied() else {
        return;
    };
    let target = if shop.shape.by_name { name } else { key };
    if shop.is_referenced(target) && !shop.shape.cascades {
        return;
    }
    shop.parents.remove(&key);
    let before = parent_before(shop, key, name);
    out.push(change(&shop.parent_table, Op::Delete, Some(before), None));
    let is_gone = |(_, child): &(&u32, &Child)| child.parent == target;
    let gone: Vec<u32> = shop
        .children
        .iter()
        .filter(is_gone)
        .map(|(k, _)| *k)
        .collect();
    for key in gone {
        take_child(shop, key, out);
    }
}

fn rekey_parent(shop: &mut Shop, chance: &mut Chance, out: &mut Vec<Change>) {
    let keys: Vec<(u32, u32)> = shop.parents.iter().map(|(k, n)| (*k, *n)).collect();
    let Some((old, name)) = chance.pick(&keys).copied() else {
        return;
    };
    let new = chance.below(KEYS) as u32;
    if shop.parents.contains_key(&new) || (!shop.shape.by_name && shop.is_referenced(old)) {
        return;
    }
    // With a reference by name the replica sees the name gone between delete and insert, which the origin never did.
    if shop.shape.by_name && shop.is_referenced(name) {
        return;
    }
    shop.parents.remove(&old);
    shop.parents.insert(new, name);
    let before = parent_before(shop, old, name);
    let after = parent_row(new, name);
    out.push(change(
        &shop.parent_table,
        Op::Update,
        Some(before),
        Some(after),
    ));
}

fn put_child(shop: &mut Shop, chance: &mut Chance, out: &mut Vec<Change>) {
    if let Some(parent) = chance.pick(&shop.targets()).copied() {
        write_child(shop, chance, parent, out);
    }
}

fn write_child(shop: &mut Shop, chance: &mut Chance, parent: u32, out: &mut Vec<Change>) {
    let key = chance.below(KEYS) as u32;
    let old = shop.children.get(&key).cloned();
    let unique = chance.below(VALUES) as u32;
    let keeps_body = old.is_some() && chance.percent(50);
    let text = match &old {
        Some(old) if keeps_body => old.body,
        _ => chance.below(1000) as u32,
    };
    let new = Child {
        unique,
        parent,
        body: text,
    };
    let taken = |(k, c): (&u32, &Child)| *k != key && c.unique == unique;
    if shop.children.iter().any(taken) {
        return;
    }
    let mut after = child_row(key, &new);
    if keeps_body && shop.shape.absent_bodies {
        after[3] = Value::Absent;
    }
    let moved = old.as_ref().is_some_and(|old| old.parent != parent) && shop.shape.by_parent;
    shop.children.insert(key, new);
    out.push(match old {
        None => change(&shop.child_table, Op::Insert, None, Some(after)),
        Some(old) => {
            let tells = shop.shape.full_identity || shop.shape.by_parent || moved;
            let before = tells.then(|| child_before(shop, key, &old));
            change(&shop.child_table, Op::Update, before, Some(after))
        }
    });
}

fn delete_child(shop: &mut Shop, chance: &mut Chance, out: &mut Vec<Change>) {
    let keys: Vec<u32> = shop.children.keys().copied().collect();
    let Some(key) = chance.pick(&keys).copied() else {
        return;
    };
    take_child(shop, key, out);
}

fn take_child(shop: &mut Shop, key: u32, out: &mut Vec<Change>) {
    if let Some(old) = shop.children.remove(&key) {
        let before = child_before(shop, key, &old);
        out.push(change(&shop.child_table, Op::Delete, Some(before), None));
    }
}

/// A child of a parent that is not there yet, then the parent.
fn put_child_first(shop: &mut Shop, chance: &mut Chance, out: &mut Vec<Change>) {
    let (key, name) = (chance.below(KEYS) as u32, chance.below(VALUES) as u32);
    if shop.parents.contains_key(&key) || shop.parents.values().any(|other| *other == name) {
        return;
    }
    let target = if shop.shape.by_name { name } else { key };
    write_child(shop, chance, target, out);
    shop.parents.insert(key, name);
    let after = Some(parent_row(key, name));
    out.push(change(&shop.parent_table, Op::Insert, None, after));
}

fn rekey_child(shop: &mut Shop, chance: &mut Chance, out: &mut Vec<Change>) {
    let keys: Vec<u32> = shop.children.keys().copied().collect();
    let Some(old) = chance.pick(&keys).copied() else {
        return;
    };
    let new = chance.below(KEYS) as u32;
    if shop.children.contains_key(&new) {
        return;
    }
    let Some(child) = shop.children.remove(&old) else {
        return;
    };
    let before = child_before(shop, old, &child);
    let mut after = child_row(new, &child);
    if shop.shape.absent_bodies {
        after[3] = Value::Absent;
    }
    shop.children.insert(new, child);
    out.push(change(
        &shop.child_table,
        Op::Update,
        Some(before),
        Some(after),
    ));
}

fn bag(shop: &mut Shop, chance: &mut Chance, out: &mut Vec<Change>) {
    let table = shop.bag_table.clone();
    let row = (chance.below(3) as u32, chance.below(3) as u32);
    let at = chance.below(shop.bag.len());
    match (shop.bag.is_empty(), chance.below(4)) {
        (false, 0) => {
            let old = shop.bag.swap_remove(at);
            out.push(change(&table, Op::Delete, Some(bag_row(&old)), None));
        }
        (false, 1) => {
            let old = std::mem::replace(&mut shop.bag[at], row);
            let before = Some(bag_row(&old));
            out.push(change(&table, Op::Update, before, Some(bag_row(&row))));
        }
        _ => {
            shop.bag.push(row);
            out.push(change(&table, Op::Insert, None, Some(bag_row(&row))));
        }
    }
}

fn truncate(shop: &mut Shop, chance: &mut Chance, out: &mut Vec<Change>) {
    shop.children.clear();
    out.push(change(&shop.child_table, Op::Truncate, None, None));
    if chance.percent(50) {
        shop.parents.clear();
        out.push(change(&shop.parent_table, Op::Truncate, None, None));
    }
}

fn parent_before(shop: &Shop, key: u32, name: u32) -> Row {
    if shop.shape.full_identity || shop.shape.by_name {
        parent_row(key, name)
    } else {
        vec![number(key), Value::Absent]
    }
}

fn child_before(shop: &Shop, key: u32, old: &Child) -> Row {
    let hide = |told: bool, value: Value| if told { value } else { Value::Absent };
    let full = shop.shape.full_identity;
    vec![
        number(key),
        hide(full, number(old.unique)),
        hide(full || shop.shape.by_parent, number(old.parent)),
        hide(full, body(old.body)),
    ]
}

fn change(table: &Arc<TableSchema>, op: Op, before: Option<Row>, after: Option<Row>) -> Change {
    Change {
        schema: table.clone(),
        op,
        before,
        after,
        moved_from: None,
        position: Position::ZERO,
        tx: 0,
        committed_at_us: 0,
    }
}
