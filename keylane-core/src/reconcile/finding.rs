//! What a comparison of one table has come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::Row;

use super::plan::TablePlan;
use super::port::Key;
use super::verdict::Difference;

/// A row that is not as it should be, proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its key.
    pub key: Key,
    /// How it differs.
    pub difference: Difference,
    /// The origin's row, in the plan's columns.
    pub origin: Option<Row>,
    /// The replica's.
    pub replica: Option<Row>,
    /// When it was first seen, microseconds since 1970.
    pub first_seen_us: i64,
    /// When it was proved.
    pub proved_us: i64,
    /// How, in words: the position of the look.
    pub proof: String,
}

/// Counts of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Read at the origin.
    pub rows_origin: u64,
    /// Read at the replica.
    pub rows_replica: u64,
    /// Read together: ranges of the key.
    pub chunks: u64,
    /// Of the origin's rows, those that were added up in the databases instead of being read.
    pub summed: u64,
    /// The replica lacks them, proved.
    pub missing: u64,
    /// Only the replica has them, proved.
    pub extra: u64,
    /// They differ, proved.
    pub different: u64,
    /// They differed when they were first read and do not any more, or only in their spelling.
    pub settling: u64,
    /// They changed too fast to be proved.
    pub hot: u64,
    /// They could not be looked at again.
    pub unproved: u64,
    /// In how many rows a column differed, by its place in the plan.
    pub columns: BTreeMap<usize, u64>,
    /// In how many of the rows that were looked at twice the replica's column holds less than the origin's, by its place.
    pub lossy: BTreeMap<usize, u64>,
    /// In how many it has no form for the origin's value.
    pub unrepresentable: BTreeMap<usize, u64>,
}

/// How a comparison of a table ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both sides have the same rows.
    Equal,
    /// They do not.
    Diverged,
    /// Some rows changed too fast.
    Hot,
    /// Some rows could not be proved either way, because the road stood still.
    Unproved,
}

impl Outcome {
    /// The word that scripts see.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Equal => "equal",
            Outcome::Diverged => "diverged",
            Outcome::Hot => "hot",
            Outcome::Unproved => "unproved",
        }
    }
}

impl Figures {
    /// Rows that are proved to differ.
    pub fn proved(&self) -> u64 {
        self.missing + self.extra + self.different
    }

    /// What they come to.
    pub fn outcome(&self) -> Outcome {
        match (self.proved(), self.unproved, self.hot) {
            (0, 0, 0) => Outcome::Equal,
            (0, 0, _) => Outcome::Hot,
            (0, _, _) => Outcome::Unproved,
            _ => Outcome::Diverged,
        }
    }

    /// Counts a proved difference.
    pub fn add(&mut self, difference: &Difference) {
        match difference {
            Difference::Missing => self.missing += 1,
            Difference::Extra => self.extra += 1,
            Difference::Different(columns) => {
                self.different += 1;
                for place in columns {
                    *self.columns.entry(*place).or_default() += 1;
                }
            }
        }
    }

    /// Columns by name with their counts, most first.
    pub fn named(plan: &TablePlan, counts: &BTreeMap<usize, u64>) -> Vec<(Arc<str>, u64)> {
        let named = |(place, count): (&usize, &u64)| {
            let column = plan.columns.get(*place)?;
            Some((column.name.clone(), *count))
        };
        let mut named: Vec<(Arc<str>, u64)> = counts.iter().filter_map(named).collect();
        named.sort_by(|(one, count), (other, more)| more.cmp(count).then(one.cmp(other)));
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proved_outweighs_what_is_not() {
        let mut figures = Figures::default();
        assert_eq!(figures.outcome(), Outcome::Equal);
        figures.hot = 1;
        assert_eq!(figures.outcome(), Outcome::Hot);
        figures.unproved = 1;
        assert_eq!(figures.outcome(), Outcome::Unproved);
        figures.add(&Difference::Different(vec![2]));
        assert_eq!(figures.outcome(), Outcome::Diverged);
        assert_eq!((figures.proved(), figures.columns.get(&2)), (1, Some(&1)));
    }
}
