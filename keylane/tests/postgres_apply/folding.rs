//! Folding leaves what one by one leaves.

use std::collections::BTreeMap;

use keylane_core::apply::Mode;
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Change, Op};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::bed::{Bed, change, delete, insert, shape, update};

/// A random history of a few rows, valid at the origin, with partial updates.
fn history(seed: u64) -> Vec<Change> {
    let mut random = StdRng::seed_from_u64(seed);
    let t = shape("t", 1, &["id integer", "v text", "w text"]);
    let u = shape("u", 1, &["id integer", "v text", "w text"]);
    let n = shape("n", 0, &["id integer", "v text", "w text"]);
    let mut rows: BTreeMap<(bool, u32), ()> = BTreeMap::new();
    let mut unkeyed: Vec<[String; 3]> = Vec::new();
    let mut changes = Vec::new();
    for commit in 1..=120u64 {
        let (v, w) = (format!("v{commit}"), format!("w{commit}"));
        if random.random_bool(0.15) {
            if !unkeyed.is_empty() && random.random_bool(0.5) {
                let old = unkeyed.swap_remove(random.random_range(0..unkeyed.len()));
                let old = [old[0].as_str(), &old[1], &old[2]];
                changes.push(change(&n, Op::Delete, commit, Some(&old), None));
            } else {
                let id = random.random_range(0..2u32).to_string();
                unkeyed.push([id.clone(), "same".to_owned(), "NULL".to_owned()]);
                changes.push(change(
                    &n,
                    Op::Insert,
                    commit,
                    None,
                    Some(&[&id, "same", "NULL"]),
                ));
            }
            continue;
        }
        if random.random_bool(0.01) {
            rows.retain(|(first, _), ()| !first);
            changes.push(change(&t, Op::Truncate, commit, None, None));
            continue;
        }
        let key = (random.random_bool(0.5), random.random_range(0..12u32));
        let schema = if key.0 { &t } else { &u };
        let id = key.1.to_string();
        if rows.remove(&key).is_none() {
            rows.insert(key, ());
            changes.push(insert(schema, commit, &[&id, &v, &w]));
        } else if random.random_bool(0.3) {
            changes.push(delete(schema, commit, &[&id, "ABSENT", "ABSENT"]));
        } else {
            rows.insert(key, ());
            let w = if random.random_bool(0.5) {
                "ABSENT"
            } else {
                &w
            };
            changes.push(update(schema, commit, &[&id, &v, w]));
        }
    }
    changes
}

#[tokio::test(flavor = "multi_thread")]
async fn folding_leaves_what_one_by_one_leaves() {
    let Some(bed) = Bed::new("apply_folding").await else {
        return;
    };
    for seed in 0..12 {
        let changes = history(seed);
        let mut left = Vec::new();
        for mode in [Mode::Unfolded, Mode::Folded, Mode::Careful] {
            bed.sql(
                "DROP TABLE IF EXISTS t, u, n; CREATE TABLE t (id int PRIMARY KEY, v text, w text);
                 CREATE TABLE u (LIKE t INCLUDING ALL); CREATE TABLE n (LIKE t)",
            );
            bed.sql("ALTER TABLE n ALTER COLUMN id DROP NOT NULL");
            let mut lane = bed.lane(0).await;
            let mut session = bed.session().await;
            let mut random = StdRng::seed_from_u64(seed + 1000);
            let mut rest = changes.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(random.random_range(1..=rest.len().min(50)));
                let applied = session
                    .apply(&lane.batch(mode, now))
                    .await
                    .expect("applied");
                assert_eq!(
                    (applied.failed, applied.missing.len()),
                    (None, 0),
                    "seed {seed} {mode:?}"
                );
                rest = later;
            }
            left.push(bed.sql(
                "SELECT 't', * FROM t UNION ALL SELECT 'u', * FROM u UNION ALL SELECT 'n', * FROM n ORDER BY 1, 2, 3, 4",
            ));
        }
        assert_eq!(left[0], left[1], "seed {seed}");
        assert_eq!(left[0], left[2], "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_of_unique_values_that_folding_cannot_do_goes_through_unfolded() {
    let Some(bed) = Bed::new("apply_swap").await else {
        return;
    };
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    let t = shape("t", 1, &["id integer", "v text"]);
    let changes = [
        update(&t, 1, &["1", "tmp"]),
        update(&t, 2, &["2", "a"]),
        update(&t, 3, &["1", "b"]),
    ];
    let mut lane = bed.lane(0).await;
    let before = lane.clone();
    let mut session = bed.session().await;
    let error = session
        .apply(&lane.batch(Mode::Folded, &changes))
        .await
        .expect_err("a violation");
    assert_eq!(error.kind, ApplyErrorKind::Constraint);
    assert!(error.message.contains("t_v_key"), "{error}");
    lane = before;
    session
        .apply(&lane.batch(Mode::Unfolded, &changes))
        .await
        .expect("applied");
    assert_eq!(bed.sql("SELECT * FROM t ORDER BY id"), "1|b\n2|a");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_keys_are_spared_by_the_order_of_tables() {
    let Some(bed) = Bed::new("apply_fk").await else {
        return;
    };
    // Names in the order opposite to the references.
    bed.sql(
        "CREATE TABLE z (id int PRIMARY KEY); CREATE TABLE m (id int PRIMARY KEY, z int REFERENCES z);
         CREATE TABLE a (id int PRIMARY KEY, m int REFERENCES m); INSERT INTO z VALUES (1), (2);
         INSERT INTO m VALUES (1, 1); INSERT INTO a VALUES (1, 1)",
    );
    let z = shape("z", 1, &["id integer"]);
    let m = shape("m", 1, &["id integer", "z integer"]);
    let a = shape("a", 1, &["id integer", "m integer"]);
    let changes = [
        delete(&a, 1, &["1", "ABSENT"]),
        delete(&m, 2, &["1", "ABSENT"]),
        delete(&z, 3, &["1"]),
        insert(&z, 4, &["5"]),
        insert(&m, 5, &["5", "5"]),
        insert(&a, 6, &["5", "5"]),
    ];
    let mut lane = bed.lane(0).await;
    bed.session()
        .await
        .apply(&lane.batch(Mode::Folded, &changes))
        .await
        .expect("applied");
    assert_eq!(
        bed.sql("SELECT a.id, m.id, z FROM a JOIN m ON m.id = a.m"),
        "5|5|5"
    );
}
