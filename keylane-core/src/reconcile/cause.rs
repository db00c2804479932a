//! Why a row that is proved to differ does: by what the log told of it last.

use crate::model::{Row, Value};

use super::plan::TablePlan;
use super::sameness::{Sameness, sameness};

/// Who is to be asked about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The log tells what the origin has, and all of it is applied: somebody else wrote the replica.
    Written,
    /// The log does not tell what the origin has: a change was lost before it came there.
    Lost,
}

impl Cause {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Cause::Written => {
                "the log tells what the origin has: somebody else wrote the replica's row"
            }
            Cause::Lost => {
                "the log does not tell what the origin has: a change was lost before it came there"
            }
        }
    }
}

/// Judges a proved row by the origin's row and the row as the log's latest records leave it, both in the plan's columns and `None` if there is none. Columns that the log does not tell
/// ([`Value::Absent`]) say nothing.
pub fn cause(plan: &TablePlan, origin: Option<&Row>, told: Option<&Row>) -> Cause {
    let (origin, told) = match (origin, told) {
        (None, None) => return Cause::Written,
        (Some(origin), Some(told)) => (origin, told),
        (Some(_), None) | (None, Some(_)) => return Cause::Lost,
    };
    let columns = plan.columns.iter().enumerate();
    let mut tells = columns.map(
        |(place, column)| match (origin.get(place), told.get(place)) {
            (_, None | Some(Value::Absent)) => true,
            (None, Some(_)) => false,
            (Some(one), Some(other)) => {
                let kind = column.kinds.0;
                sameness((kind, kind), one, other) == Sameness::Same
            }
        },
    );
    match tells.all(|it| it) {
        true => Cause::Written,
        false => Cause::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Engine, SideColumn, SideTable, plan};
    use super::*;
    use crate::model::TableName;

    #[test]
    fn what_the_log_told_last_says_whether_a_change_was_lost() {
        let column = |name: &str, type_name: &str| SideColumn {
            name: name.into(),
            type_name: type_name.into(),
            collation: None,
            generated: false,
        };
        let side = SideTable {
            name: TableName::new("public", "t"),
            columns: vec![column("k", "bigint"), column("v", "numeric")],
            key: vec!["k".into()],
        };
        let engines = (Engine::Postgres, Engine::Postgres);
        let plan = plan(engines, &side, &side).expect("a table with a key");
        let row = |value: Value| vec![Value::number("1"), value];
        let (one, two) = (row(Value::number("1.0")), row(Value::number("2")));
        let spelt = row(Value::number("1.00"));
        let untold = row(Value::Absent);
        for (origin, told, expect) in [
            (Some(&one), Some(&spelt), Cause::Written),
            (Some(&one), Some(&untold), Cause::Written),
            (Some(&one), Some(&two), Cause::Lost),
            (Some(&one), None, Cause::Lost),
            (None, Some(&one), Cause::Lost),
            (None, None, Cause::Written),
        ] {
            assert_eq!(cause(&plan, origin, told), expect, "{origin:?} {told:?}");
        }
    }
}
