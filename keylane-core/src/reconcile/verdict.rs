//! When a difference is proved, and when it is not.
//!
//! A suspect is looked at between two ends of the log: the log's ends are taken, the origin's row is read, a mark is written at the origin, and once the replica has passed the mark its row is read and the
//! log's ends are taken again. If no record of the key lies between the ends, the origin's row did not change from its reading to the replica's reading (a change would be a record there), the replica has
//! applied all that came before, and nothing was applied after: what differs then is not in flight. This is the confirmation step of DBLog-like watermarks, at rows instead of chunks.
//!
//! Without a log, a difference that was seen unchanged on both sides in two looks with a pause in between stands for the proof; whoever reports it says so.

use crate::model::Row;

use super::plan::TablePlan;
use super::sameness::{Sameness, sameness};

/// A key that was touched in each of so many looks is hot.
pub const TRIES_MAX: u32 = 5;

/// How a row differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The replica lacks it.
    Missing,
    /// Only the replica has it.
    Extra,
    /// Both have it; the places of the plan's columns that differ.
    Different(Vec<usize>),
}

/// What two rows of one key come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How they differ, if they do.
    pub difference: Option<Difference>,
    /// Places of the plan's columns of which the replica holds what its type left of the origin's value.
    pub lossy: Vec<usize>,
    /// Places of those that have no form at the replica.
    pub unrepresentable: Vec<usize>,
}

/// Compares two rows, each with the plan's columns.
pub fn difference(plan: &TablePlan, origin: Option<&Row>, replica: Option<&Row>) -> Found {
    let mut found = Found::default();
    let (one, other) = match (origin, replica) {
        (None, None) => return found,
        (Some(_), None) => {
            found.difference = Some(Difference::Missing);
            return found;
        }
        (None, Some(_)) => {
            found.difference = Some(Difference::Extra);
            return found;
        }
        (Some(one), Some(other)) => (one, other),
    };
    let mut different = Vec::new();
    for (place, column) in plan.columns.iter().enumerate() {
        let stands = match (one.get(place), other.get(place)) {
            (Some(one), Some(other)) => sameness(column.kinds, one, other),
            _ => Sameness::Different,
        };
        match stands {
            Sameness::Same => {}
            Sameness::Lossy => found.lossy.push(place),
            Sameness::Unrepresentable => found.unrepresentable.push(place),
            Sameness::Different => different.push(place),
        }
    }
    if !different.is_empty() {
        found.difference = Some(Difference::Different(different));
    }
    found
}

/// One look at a suspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What its rows came to.
    pub found: Found,
    /// Whether its row may have changed during the look.
    pub touched: bool,
}

/// What a look makes of a suspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Both sides have the same.
    Equal,
    /// They do not, and nothing is on its way.
    Proved(Difference),
    /// Look again.
    Again,
    /// It changes too fast to be proved either way.
    Hot,
}

/// Judges a look, the `tries`-th at this suspect (from 1).
pub fn judge(look: &Look, tries: u32) -> Judged {
    match (&look.found.difference, look.touched) {
        // Equal at the replica's reading to what the origin had at its own, whatever came since.
        (None, _) => Judged::Equal,
        (Some(difference), false) => Judged::Proved(difference.clone()),
        (Some(_), true) if tries < TRIES_MAX => Judged::Again,
        (Some(_), true) => Judged::Hot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(difference: Option<Difference>, touched: bool) -> Look {
        let found = Found {
            difference,
            ..Found::default()
        };
        Look { found, touched }
    }

    #[test]
    fn a_difference_is_proved_only_if_nothing_touched_its_row() {
        let missing = || Some(Difference::Missing);
        assert_eq!(judge(&look(None, false), 1), Judged::Equal);
        assert_eq!(judge(&look(None, true), 1), Judged::Equal);
        assert_eq!(
            judge(&look(missing(), false), 1),
            Judged::Proved(Difference::Missing)
        );
        assert_eq!(judge(&look(missing(), true), 1), Judged::Again);
        assert_eq!(judge(&look(missing(), true), TRIES_MAX), Judged::Hot);
        assert_eq!(
            judge(&look(missing(), false), TRIES_MAX),
            Judged::Proved(Difference::Missing)
        );
    }
}
