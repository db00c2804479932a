//! Rows that must be there: an update or delete that hits none ends its transaction before anything of it is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::ApplyErrorKind;
use crate::model::TableName;

use super::{Applied, ApplyError};

/// The tables in which an update or delete that hits no row is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MustHit {
    /// None: such changes are counted only.
    #[default]
    Nowhere,
    /// These. While a table is being copied a change may come before its row, so such a table is not among them.
    In(Arc<BTreeSet<TableName>>),
    /// All.
    Everywhere,
}

impl MustHit {
    /// To be asked before the commit.
    ///
    /// # Errors
    /// Names the first such table of which rows were missing, and how many.
    pub fn check(&self, applied: &Applied) -> Result<(), ApplyError> {
        let counts = |table: &TableName| match self {
            MustHit::Nowhere => false,
            MustHit::In(tables) => tables.contains(table),
            MustHit::Everywhere => true,
        };
        match applied.missing.iter().find(|(table, _)| counts(table)) {
            None => Ok(()),
            Some((table, count)) => Err(ApplyError::new(
                ApplyErrorKind::MissingRow,
                format!(
                    "the replica's table {table} lacks rows that the origin changed: {count} of one transaction's updates and deletes hit none, and \
                     apply.missing_rows is `stop`. Nothing of the transaction is kept. Compare the table with the origin and put the rows back, then start \
                     again; or set apply.missing_rows to `report`"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_missed_only_where_it_must_be_there() {
        let table = |name| TableName::new("public", name);
        let mut applied = Applied::default();
        applied.missing.insert(table("a"), 3);
        let only_b = MustHit::In(Arc::new(BTreeSet::from([table("b")])));
        for lenient in [MustHit::Nowhere, only_b] {
            assert_eq!(lenient.check(&applied), Ok(()), "{lenient:?}");
        }
        let both = MustHit::In(Arc::new(BTreeSet::from([table("a"), table("b")])));
        for strict in [MustHit::Everywhere, both] {
            let error = strict.check(&applied).expect_err("a row is missing");
            assert_eq!(error.kind, ApplyErrorKind::MissingRow);
            assert!(
                error
                    .message
                    .contains("table public.a lacks rows that the origin changed: 3 of"),
                "{error}"
            );
            assert_eq!(strict.check(&Applied::default()), Ok(()));
        }
    }
}
