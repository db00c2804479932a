//! A comparison shows that it sees, before its word is taken: pairs of rows that other comparisons are known to take for one another, and pairs that are one row in two spellings.

use crate::model::Value;

use super::compare::compare;
use super::encoded::{EncodedRow, push_cell};
use super::kind::Kind;
use super::plan::Engine;
use super::sameness::{Sameness, sameness};

/// What was seen wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the comparison's own test failed: {0}")]
pub struct Untrue(pub String);

/// What stands behind a key.
type Cells = [Option<&'static str>; 2];

/// Rows that differ, and what is known to call them equal.
const DIFFERENT: &[(&str, Cells, Cells)] = &[
    (
        "cells without lengths",
        [Some("a"), Some("bc")],
        [Some("ab"), Some("c")],
    ),
    (
        "a separator in a value",
        [Some("a|b"), Some("c")],
        [Some("a"), Some("b|c")],
    ),
    (
        "a separator in a value",
        [Some("a#"), Some("c")],
        [Some("a"), Some("#c")],
    ),
    ("NULL as an empty text", [None, Some("")], [Some(""), None]),
    (
        "NULL as a word",
        [None, Some("x")],
        [Some("NULL"), Some("x")],
    ),
    (
        "NULL as a word",
        [None, Some("x")],
        [Some("<null>"), Some("x")],
    ),
    (
        "blanks at the end",
        [Some("a "), Some("x")],
        [Some("a"), Some("x")],
    ),
    (
        "text as three-byte UTF-8",
        [Some("\u{1F600}"), None],
        [Some("\u{1F601}"), None],
    ),
    (
        "two values exchanged",
        [Some("1"), Some("2")],
        [Some("2"), Some("1")],
    ),
];

/// Values of a type that differ, and values that do not.
const VALUES: &[(&str, &str, &str, bool)] = &[
    ("numeric", "1.1", "1.4", false),
    ("numeric", "1.5000000001", "1.9", false),
    ("numeric", "1.50", "1.5", true),
    ("double precision", "1e-20", "2e-20", false),
    ("double precision", "-0", "0", true),
    ("real", "1.2345671", "1.2345674", false),
    ("bigint", "9007199254740993", "9007199254740992", false),
    ("character(5)", "a    ", "a", true),
    (
        "jsonb",
        "{\"a\": 1, \"b\": 2}",
        "{\"b\": 2, \"a\": 1}",
        true,
    ),
    (
        "timestamp without time zone",
        "0044-03-15 00:00:00 BC",
        "0044-03-15 00:00:00",
        false,
    ),
];

/// Rows of which every one gets the same edit: sums and XORs of checksums cancel.
const EDITED: u8 = 50;

/// Runs it; takes less than a millisecond.
///
/// # Errors
/// [`Untrue`]: the comparison must not be used.
pub fn self_test() -> Result<(), Untrue> {
    for (what, one, other) in DIFFERENT {
        let (one, other) = (row(1, one), row(1, other));
        let found = compare(std::slice::from_ref(&one), &[other], 1);
        if found.suspects.len() != 1 || found.equal != 0 {
            return Err(Untrue(what.to_string()));
        }
        let alone = std::slice::from_ref(&one);
        let same = compare(alone, alone, 1);
        if same.equal != 1 || !same.suspects.is_empty() {
            return Err(Untrue(format!("{what}: a row is not equal to itself")));
        }
    }
    let all = |status: &str| -> Vec<EncodedRow> {
        (0..EDITED)
            .map(|key| row(key, &[Some(status), None]))
            .collect()
    };
    let edited = compare(&all("paid"), &all("void"), 1).suspects.len();
    if edited != usize::from(EDITED) {
        return Err(Untrue(format!(
            "{edited} of {EDITED} equal edits were seen"
        )));
    }
    for (type_name, one, other, same) in VALUES {
        let kind = Kind::of(Engine::Postgres, type_name);
        let found = sameness((kind, kind), &Value::text(*one), &Value::text(*other));
        if (found == Sameness::Same) != *same {
            return Err(Untrue(format!("{type_name}: {one} and {other}")));
        }
    }
    Ok(())
}

fn row(key: u8, cells: &[Option<&str>]) -> EncodedRow {
    let mut bytes = Vec::new();
    push_cell(&mut bytes, Some(&[key]));
    for cell in cells {
        push_cell(&mut bytes, cell.map(str::as_bytes));
    }
    EncodedRow(bytes.into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_comparison_passes_its_own_test() {
        assert_eq!(super::self_test(), Ok(()));
    }
}
