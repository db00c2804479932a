//! The checkers over rows and audit. They compare the origin's own rows with the replica's, and read the audit; they use none of the code under test.

use std::collections::BTreeMap;

use keylane_core::model::{Position, Row, TableName, Value};

use super::{Effect, Replica, Shop};
use crate::verdict::{Checker, Failure};

/// `convergence`: every table has the same rows on both sides.
pub fn converged(shop: &Shop, replica: &Replica) -> Result<(), Failure> {
    for table in shop.tables() {
        let (mut left, mut right) = (shop.rows(&table.table), replica.rows.rows(&table.table));
        left.sort();
        right.sort();
        if left != right {
            let only = |a: &[Row], b: &[Row]| a.iter().filter(|row| !b.contains(row)).count();
            return Err(Failure::new(
                Checker::Convergence,
                format!(
                    "{}: {} rows only at the origin, {} only at the replica",
                    table.table,
                    only(&left, &right),
                    only(&right, &left)
                ),
            ));
        }
    }
    Ok(())
}

/// `order`: the effects on each row have ascending positions.
pub fn in_order(audit: &[Effect]) -> Result<(), Failure> {
    let mut last: BTreeMap<(&TableName, &[Value]), Position> = BTreeMap::new();
    for effect in audit {
        let Some(key) = &effect.key else { continue };
        let place = (&effect.table, key.as_slice());
        if let Some(before) = last.insert(place, effect.position)
            && before >= effect.position
        {
            return Err(Failure::new(
                Checker::Order,
                format!(
                    "{}: {} took effect behind {before}",
                    effect.table, effect.position
                ),
            ));
        }
    }
    Ok(())
}
