//! The proof finds what is planted, and nothing where nothing is.

use super::*;
use crate::cli::demo::shop;
use crate::cli::demo::traffic::Dice;

/// An origin with a short past of customer 1 (put at 1, 5 and 9, deleted, put again at 12), and a replica in which the same happened.
struct Pair {
    _folder: tempfile::TempDir,
    origin: Connection,
    replica: Connection,
}

const PAST: [&str; 5] = [
    "INSERT INTO customers VALUES (1, 'a', 'Ada', NULL, 1)",
    "UPDATE customers SET version = 5 WHERE id = 1",
    "UPDATE customers SET version = 9 WHERE id = 1",
    "DELETE FROM customers WHERE id = 1",
    "INSERT INTO customers VALUES (1, 'b', 'Ada', NULL, 12)",
];

fn pair(replica: &[&str]) -> Pair {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let create = |name: &str, past: &[&str]| {
        let database = shop::create(&folder.path().join(name)).expect("the shop's schema");
        past.iter()
            .for_each(|sql| assert_eq!(database.execute(sql, []).expect(sql), 1));
        database
    };
    let (origin, replica) = (create("origin.db", &PAST), create("replica.db", replica));
    Pair {
        origin,
        replica,
        _folder: folder,
    }
}

/// What the order check counts: repeats, steps back, unknown, copied again.
fn check(replica: &[&str], copied_up_to: i64, expect: (u64, u64, u64, u64)) {
    let pair = pair(replica);
    let found = order(&pair.origin, &pair.replica, copied_up_to).expect("both histories");
    assert_eq!(
        (
            found.repeats,
            found.steps_back,
            found.unknown,
            found.copied_again
        ),
        expect,
        "{found:?}"
    );
    assert_eq!(found.examples.len() as u64, found.violations());
}

#[test]
fn a_history_that_is_the_same_or_folded_has_no_violation() {
    check(&PAST, 0, (0, 0, 0, 0));
    check(&[PAST[0], PAST[2], PAST[3]], 0, (0, 0, 0, 0));
    check(&[PAST[4]], 0, (0, 0, 0, 0));
    check(
        &[PAST[0], "UPDATE customers SET version = 12 WHERE id = 1"],
        0,
        (0, 0, 0, 0),
    );
}

#[test]
fn a_version_that_is_written_twice_is_found() {
    check(&[PAST[0], PAST[1], PAST[1], PAST[2]], 0, (1, 0, 0, 0));
}

#[test]
fn a_step_back_is_found_although_the_end_is_right() {
    check(&[PAST[0], PAST[2], PAST[1], PAST[2]], 0, (0, 2, 0, 0));
}

#[test]
fn a_deletion_that_comes_again_after_the_row_came_back_is_found() {
    check(
        &[PAST[0], PAST[3], PAST[4], PAST[3], PAST[4]],
        0,
        (0, 2, 0, 0),
    );
}

#[test]
fn a_version_that_the_origin_never_had_is_found() {
    check(
        &[PAST[0], "UPDATE customers SET version = 7 WHERE id = 1"],
        0,
        (0, 0, 1, 0),
    );
    check(
        &["INSERT INTO customers VALUES (2, 'c', 'Eve', NULL, 5)"],
        0,
        (0, 0, 1, 0),
    );
}

#[test]
fn the_initial_copy_may_come_again_but_not_after_something_later() {
    check(&[PAST[0], PAST[1], PAST[1]], 5, (0, 0, 0, 1));
    check(&[PAST[0], PAST[1], PAST[1]], 4, (1, 0, 0, 0));
    check(&[PAST[0], PAST[2], PAST[1]], 9, (0, 1, 0, 0));
}

#[test]
fn rows_that_are_alike_are_counted_without_a_key() {
    let twin = "INSERT INTO audit VALUES (1, 'twin', x'00', 3)";
    let pair = pair(&PAST);
    pair.origin
        .execute_batch(&format!("{twin}; {twin};"))
        .expect("two that are alike");
    pair.replica
        .execute_batch(&format!("{twin};"))
        .expect("one of them");
    let found = rows(&pair.origin, &pair.replica).expect("both sides");
    assert_eq!(
        (found.compared, found.missing, found.different()),
        (3, 1, 1)
    );
    pair.replica
        .execute_batch(&format!("{twin};"))
        .expect("the other");
    assert_eq!(
        rows(&pair.origin, &pair.replica)
            .expect("both sides")
            .different(),
        0
    );
    assert_eq!(
        order(&pair.origin, &pair.replica, 0)
            .expect("both histories")
            .violations(),
        0
    );
    pair.replica
        .execute_batch(&format!("{twin};"))
        .expect("one too many");
    assert_eq!(
        rows(&pair.origin, &pair.replica).expect("both sides").extra,
        1
    );
    assert_eq!(
        order(&pair.origin, &pair.replica, 0)
            .expect("both histories")
            .repeats,
        1
    );
}

#[test]
fn a_planted_difference_is_found_in_any_column_and_any_storage_class() {
    let whole = || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let filled = |name: &str| {
            let mut database = shop::create(&folder.path().join(name)).expect("the shop's schema");
            shop::fill(&mut database, &mut Dice::new(7)).expect("the same rows from the same seed");
            database
        };
        let (origin, replica) = (filled("origin.db"), filled("replica.db"));
        Pair {
            origin,
            replica,
            _folder: folder,
        }
    };
    let pair = whole();
    assert_eq!(
        rows(&pair.origin, &pair.replica)
            .expect("both sides")
            .different(),
        0
    );
    for plant in [
        "UPDATE customers SET note = 'x' WHERE id = 7",
        "UPDATE customers SET id = 100007 WHERE id = (SELECT max(id) FROM customers WHERE id NOT IN (SELECT customer_id FROM orders))",
        "UPDATE orders SET receipt = CAST(x'00' AS TEXT) WHERE id = 9",
        "UPDATE payments SET amount = amount + 1e-9 WHERE id = 3",
        "DELETE FROM order_items WHERE order_id = 5 AND line = 1",
        "UPDATE audit SET detail = 1 WHERE rowid = (SELECT rowid FROM audit WHERE typeof(detail) = 'text' LIMIT 1)",
    ] {
        let pair = whole();
        assert_eq!(pair.replica.execute(plant, []).expect(plant), 1, "{plant}");
        let found = rows(&pair.origin, &pair.replica).expect("both sides");
        assert!(found.different() > 0, "{plant}");
        assert_eq!(found.examples.len() as u64, found.different());
    }
}
