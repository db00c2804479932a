//! What is written at the replica so that a row is as the origin has it.
//!
//! The row is decided on while the replica's table is fenced: nobody writes it from before the origin's row is read until what is written is committed. Any other order makes a replica worse than it was: a
//! value that was read before the fence may be older than what the road applied meanwhile, and stays for ever if no change of that row follows.

use std::cmp::Reverse;

use crate::model::{Row, Value};

use super::plan::TablePlan;
use super::port::Key;
use super::verdict::{Difference, difference};

/// One row's write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Only the replica has it.
    Delete(Key),
    /// These places of the plan's columns differ.
    Update {
        /// Its key, in the replica's spelling.
        key: Key,
        /// The origin's row.
        row: Row,
        /// What differs.
        columns: Vec<usize>,
    },
    /// The replica lacks it.
    Insert(Row),
}

/// The write of a row that both sides were read for under the fence; `None` if there is nothing to write: both have the same, or what differs the replica computes itself.
pub fn mend(plan: &TablePlan, origin: Option<&Row>, replica: Option<&Row>) -> Option<Mend> {
    let key = |row: &Row| row.get(..plan.key).unwrap_or_default().to_vec();
    match difference(plan, origin, replica).difference? {
        Difference::Missing => origin.cloned().map(Mend::Insert),
        Difference::Extra => replica.map(|row| Mend::Delete(key(row))),
        Difference::Different(columns) => {
            let columns: Vec<usize> = columns
                .into_iter()
                .filter(|place| plan.columns.get(*place).is_some_and(|it| !it.generated))
                .collect();
            let (row, other) = (origin?.clone(), replica?);
            (!columns.is_empty()).then(|| Mend::Update {
                key: key(other),
                row,
                columns,
            })
        }
    }
}

/// The write that puts a row back as it was before a repair; `None` if it is not as the repair left it any more, or has not changed.
pub fn unmend(
    plan: &TablePlan,
    (before, after): (Option<&Row>, Option<&Row>),
    now: Option<&Row>,
) -> Option<Mend> {
    let stands = difference(plan, after, now).difference.is_none();
    stands.then(|| mend(plan, before, now)).flatten()
}

impl Mend {
    /// The row as it stands afterwards; `None`: it is gone. Columns that are not written stay as they were.
    pub fn after(&self, before: Option<&Row>) -> Option<Row> {
        match self {
            Mend::Delete(_) => None,
            Mend::Insert(row) => Some(row.clone()),
            Mend::Update { row, columns, .. } => {
                let mut after = before?.clone();
                for place in columns {
                    if let (Some(cell), Some(value)) = (after.get_mut(*place), row.get(*place)) {
                        *cell = value.clone();
                    }
                }
                Some(after)
            }
        }
    }

    /// Deletes come first, because they free unique values that others take, then updates, then inserts.
    pub fn rank(&self) -> impl Ord + use<> {
        Reverse(match self {
            Mend::Delete(_) => 2,
            Mend::Update { .. } => 1,
            Mend::Insert(_) => 0,
        })
    }

    /// The values of a row that the replica takes, with their places.
    pub fn written(plan: &TablePlan, row: &Row) -> Vec<(usize, Value)> {
        let columns = plan.columns.iter().zip(row).enumerate();
        columns
            .filter(|(_, (column, value))| !column.generated && value.is_present())
            .map(|(place, (_, value))| (place, value.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Engine, SideColumn, SideTable, plan};
    use super::*;
    use crate::model::TableName;

    fn planned() -> TablePlan {
        let column = |name: &str, generated| SideColumn {
            name: name.into(),
            type_name: "integer".into(),
            collation: None,
            generated,
        };
        let side = SideTable {
            name: TableName::new("public", "t"),
            columns: vec![column("k", false), column("a", false), column("g", true)],
            key: vec!["k".into()],
        };
        plan((Engine::Postgres, Engine::Postgres), &side, &side).expect("a plan")
    }

    fn row(cells: [i32; 3]) -> Row {
        cells.map(|cell| Value::number(cell.to_string())).to_vec()
    }

    #[test]
    fn a_row_is_written_as_the_origin_has_it_and_a_computed_column_never() {
        let plan = planned();
        let (one, other) = (row([1, 2, 3]), row([1, 5, 6]));
        assert_eq!(mend(&plan, Some(&one), Some(&one)), None);
        assert_eq!(
            mend(&plan, Some(&one), None),
            Some(Mend::Insert(one.clone()))
        );
        assert_eq!(
            mend(&plan, None, Some(&one)),
            Some(Mend::Delete(vec![Value::number("1")]))
        );
        assert_eq!(mend(&plan, Some(&one), Some(&row([1, 2, 9]))), None);
        let update = mend(&plan, Some(&one), Some(&other)).expect("a write");
        assert_eq!(update.after(Some(&other)), Some(row([1, 2, 6])));
        assert_eq!(Mend::written(&plan, &one).len(), 2);
    }

    #[test]
    fn a_row_is_put_back_only_if_it_is_as_the_repair_left_it() {
        let plan = planned();
        let (before, after) = (row([1, 5, 6]), row([1, 2, 6]));
        let images = (Some(&before), Some(&after));
        let back = unmend(&plan, images, Some(&after)).expect("a write");
        assert_eq!(back.after(Some(&after)), Some(before.clone()));
        assert_eq!(unmend(&plan, images, Some(&row([1, 9, 6]))), None);
        assert_eq!(unmend(&plan, images, None), None);
        let deleted = unmend(&plan, (Some(&before), None), None);
        assert_eq!(deleted, Some(Mend::Insert(before.clone())));
        let inserted = unmend(&plan, (None, Some(&after)), Some(&after));
        assert_eq!(inserted, Some(Mend::Delete(vec![Value::number("1")])));
    }
}
