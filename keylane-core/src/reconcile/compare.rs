//! Two sides' rows of one range, compared as bytes.
//!
//! Rows that are equal in both sides' order, nearly all of them, cost one comparison each. From the first row whose key is not the other side's, rows are found by their keys, so that the order in
//! which a side tells them does not count.

use std::collections::HashMap;

use bytes::Bytes;

use super::encoded::EncodedRow;

/// A row that is not the same bytes on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The cells of its key.
    pub key: EncodedRow,
    /// The bytes of the origin's row of that key; 0 if it has none.
    pub origin_bytes: usize,
    /// The bytes of the replica's; 0 if it has none.
    pub replica_bytes: usize,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Rows that are equal on both sides.
    pub equal: u64,
    /// The others.
    pub suspects: Vec<Suspect>,
}

/// Compares all rows that each side has in one range of the key; the key is the first cells of each row.
pub fn compare(origin: &[EncodedRow], replica: &[EncodedRow], key: usize) -> Compared {
    let mut found = Compared::default();
    let mut side_by_side = 0;
    for (one, other) in origin.iter().zip(replica) {
        if one == other {
            found.equal += 1;
        } else if one.head(key) == other.head(key) {
            found
                .suspects
                .push(suspect(one.head(key), Some(one), Some(other)));
        } else {
            break;
        }
        side_by_side += 1;
    }
    let left = |rows: &[EncodedRow]| rows.len() > side_by_side;
    if !left(origin) && !left(replica) {
        return found;
    }
    let rest = replica.iter().skip(side_by_side);
    let mut by_key: HashMap<Bytes, Vec<&EncodedRow>> = HashMap::new();
    for row in rest {
        by_key.entry(row.head(key)).or_default().push(row);
    }
    for one in origin.iter().skip(side_by_side) {
        let head = one.head(key);
        let others = by_key.get_mut(&head).and_then(Vec::pop);
        match others {
            Some(other) if one == other => found.equal += 1,
            other => found.suspects.push(suspect(head, Some(one), other)),
        }
    }
    // In the replica's order, whatever a map's is.
    for row in replica.iter().skip(side_by_side) {
        let head = row.head(key);
        if let Some(other) = by_key.get_mut(&head).and_then(Vec::pop) {
            found.suspects.push(suspect(head, None, Some(other)));
        }
    }
    found
}

fn suspect(key: Bytes, origin: Option<&EncodedRow>, replica: Option<&EncodedRow>) -> Suspect {
    let bytes = |row: Option<&EncodedRow>| row.map_or(0, EncodedRow::size_bytes);
    Suspect {
        key: EncodedRow(key),
        origin_bytes: bytes(origin),
        replica_bytes: bytes(replica),
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoded::push_cell;
    use super::*;

    fn rows(rows: &[(u8, &str)]) -> Vec<EncodedRow> {
        let row = |(key, value): &(u8, &str)| {
            let mut bytes = Vec::new();
            push_cell(&mut bytes, Some(&[*key]));
            push_cell(&mut bytes, Some(value.as_bytes()));
            EncodedRow(bytes.into())
        };
        rows.iter().map(row).collect()
    }

    fn check(
        origin: &[(u8, &str)],
        replica: &[(u8, &str)],
        equal: u64,
        expect: &[(u8, bool, bool)],
    ) {
        let found = compare(&rows(origin), &rows(replica), 1);
        let told: Vec<(u8, bool, bool)> = found
            .suspects
            .iter()
            .map(|it| {
                let key = it
                    .key
                    .cells()
                    .next()
                    .flatten()
                    .and_then(|cell| cell.first());
                (
                    *key.expect("a key"),
                    it.origin_bytes > 0,
                    it.replica_bytes > 0,
                )
            })
            .collect();
        assert_eq!(
            (found.equal, &*told),
            (equal, expect),
            "{origin:?} {replica:?}"
        );
    }

    #[test]
    fn each_kind_of_difference_is_found_wherever_it_is() {
        let all = [(1, "a"), (2, "b"), (3, "c")];
        check(&all, &all, 3, &[]);
        check(&[], &[], 0, &[]);
        check(&all, &[(1, "a"), (2, "x"), (3, "c")], 2, &[(2, true, true)]);
        check(&all, &all[1..], 2, &[(1, true, false)]);
        check(&all, &all[..2], 2, &[(3, true, false)]);
        check(&all[1..], &all, 2, &[(1, false, true)]);
        check(&all[..2], &all, 2, &[(3, false, true)]);
        check(
            &all,
            &[],
            0,
            &[(1, true, false), (2, true, false), (3, true, false)],
        );
        check(&[], &all[..1], 0, &[(1, false, true)]);
        check(
            &all,
            &[(1, "a"), (4, "d"), (3, "x")],
            1,
            &[(2, true, false), (3, true, true), (4, false, true)],
        );
    }

    #[test]
    fn the_order_in_which_a_side_tells_its_rows_does_not_count() {
        let (one, other) = (
            [(1, "a"), (2, "b"), (3, "c")],
            [(3, "c"), (1, "a"), (2, "b")],
        );
        check(&one, &other, 3, &[]);
    }

    #[test]
    fn the_same_edit_of_many_rows_does_not_cancel() {
        let one: Vec<(u8, &str)> = (0..200).map(|key| (key, "paid")).collect();
        let other: Vec<(u8, &str)> = (0..200).map(|key| (key, "void")).collect();
        assert_eq!(compare(&rows(&one), &rows(&other), 1).suspects.len(), 200);
    }

    #[test]
    fn a_row_that_is_there_twice_is_not_one_that_is_there_once() {
        check(&[(1, "a")], &[(1, "a"), (1, "a")], 1, &[(1, false, true)]);
        check(&[(1, "a"), (1, "a")], &[(1, "a")], 1, &[(1, true, false)]);
    }
}
