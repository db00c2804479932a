//! Rows are mended under a fence, with their images, and put back.

use std::path::Path;

use async_trait::async_trait;
use keylane::postgres::reconcile::PostgresMender;
use keylane::sqlite::reconcile::SqliteMender;
use keylane::workers::reconcile::{HowMended, Mended, Noting, ToMend, mend_rows};
use keylane_core::reconcile::{Difference, Mender};

use super::bed::{Bed, Notes, two_databases};

/// What was noted, and whether it is taken.
#[derive(Default)]
struct Noted {
    rows: Vec<Mended>,
    committed: Vec<Option<bool>>,
    refuses: bool,
}

#[async_trait]
impl Noting for Noted {
    async fn note(&mut self, rows: &[Mended], committed: Option<bool>) -> Result<(), String> {
        if self.refuses {
            return Err("nothing is kept".to_owned());
        }
        self.rows = rows.to_vec();
        self.committed.push(committed);
        Ok(())
    }
}

/// All that differs.
async fn found(bed: &mut Bed) -> Vec<ToMend> {
    let mut notes = Notes::default();
    bed.compare(&mut notes).await.expect("compared");
    let numbered = notes.findings.into_iter().zip(0..);
    numbered
        .map(|(finding, number)| ToMend {
            number,
            key: finding.key,
            may_delete: finding.difference == Difference::Extra,
            back: None,
        })
        .collect()
}

async fn mend(bed: &mut Bed, mender: &mut dyn Mender, rows: &[ToMend]) -> Noted {
    let mut noted = Noted::default();
    let done = mend_rows(&bed.plan, &mut bed.between, mender, rows, &mut noted).await;
    assert_eq!(done.as_deref(), Ok(&*noted.rows));
    assert_eq!(noted.committed, [None, Some(true)]);
    noted
}

fn written(noted: &Noted) -> usize {
    let rows = noted.rows.iter();
    rows.filter(|row| row.how == HowMended::Written).count()
}

fn back(noted: &Noted, rows: &[ToMend]) -> Vec<ToMend> {
    let images = noted.rows.iter().map(|row| {
        let images = (row.before.clone(), row.after.clone());
        let to_mend = rows.iter().find(|it| it.number == row.number);
        ToMend {
            may_delete: true,
            back: Some(images),
            ..to_mend.expect("it was to be mended").clone()
        }
    });
    images.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_difference_is_mended_and_put_back() {
    let Some((origin, replica)) = two_databases("mend") else {
        return;
    };
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, a numeric(10,2), b text, c bytea, d timestamptz, e jsonb, f bit(3), g int GENERATED ALWAYS AS (id * 2) STORED, h char(5), i int[])");
        side.sql("INSERT INTO t (id, a, b, c, d, e, f, h, i) SELECT n, n / 3.0, 'it''s \\ ' || n, '\\x00ff', '2020-01-01', '{\"a\": [1, null]}', '101', 'x', '{1,NULL}' FROM generate_series(1, 50) n");
    }
    replica.sql("UPDATE t SET a = 0, b = NULL, c = '', d = 'infinity', e = '[]', f = '000', h = '', i = NULL WHERE id = 7; DELETE FROM t WHERE id = 8; INSERT INTO t (id, b) VALUES (100, 'rogue')");
    let before = replica.sql("SELECT * FROM t ORDER BY id");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let rows = found(&mut bed).await;
    let mut mender = PostgresMender::new(replica.url(), false);
    let noted = mend(&mut bed, &mut mender, &rows).await;
    assert_eq!(written(&noted), 3, "{:?}", noted.rows);
    let all = "SELECT * FROM t ORDER BY id";
    assert_eq!(replica.sql(all), origin.sql(all));
    // Once more: there is nothing to do.
    assert_eq!(written(&mend(&mut bed, &mut mender, &rows).await), 0);

    // One of them has changed since: that one stays.
    let undo = back(&noted, &rows);
    replica.sql("UPDATE t SET b = 'since' WHERE id = 8");
    assert_eq!(written(&mend(&mut bed, &mut mender, &undo).await), 2);
    replica.sql("DELETE FROM t WHERE id = 8");
    assert_eq!(replica.sql(all), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_hold_each_others_unique_values_are_exchanged() {
    let Some((origin, replica)) = two_databases("swap") else {
        return;
    };
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE NOT NULL); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')");
    }
    // A ring of three, and an extra row that holds what the fourth needs.
    replica.sql(
        "DELETE FROM t; INSERT INTO t VALUES (1, 'b'), (2, 'c'), (3, 'a'), (4, 'x'), (5, 'd')",
    );
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let rows = found(&mut bed).await;
    let mut mender = PostgresMender::new(replica.url(), false);
    let noted = mend(&mut bed, &mut mender, &rows).await;
    assert_eq!(written(&noted), 5, "{:?}", noted.rows);
    bed.check(&[]).await;
    // Where a delete would take others with it, nothing is exchanged.
    replica.sql(
        "CREATE TABLE child (id int REFERENCES t ON DELETE CASCADE); INSERT INTO child VALUES (1)",
    );
    replica.sql("DELETE FROM t WHERE id IN (3, 4); INSERT INTO t VALUES (3, 'd'), (4, 'c')");
    let rows = found(&mut bed).await;
    let noted = mend(&mut bed, &mut mender, &rows).await;
    assert_eq!(written(&noted), 0, "{:?}", noted.rows);
    assert_eq!(replica.sql("SELECT count(*) FROM child"), "1");
    let why = noted
        .rows
        .iter()
        .all(|row| matches!(&row.how, HowMended::Refused(why) if why.contains("23505")));
    assert!(why, "{:?}", noted.rows);
    // With foreign keys trusted no action takes place, and the rows are exchanged.
    let mut mender = PostgresMender::new(replica.url(), true);
    assert_eq!(written(&mend(&mut bed, &mut mender, &rows).await), 2);
    assert_eq!(replica.sql("SELECT count(*) FROM child"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_lost_its_rows_meanwhile_deletes_none() {
    let Some((origin, replica)) = two_databases("emptied") else {
        return;
    };
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 20) n");
    }
    replica.sql("UPDATE t SET v = 0 WHERE id <= 10; INSERT INTO t VALUES (50, 0)");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let rows = found(&mut bed).await;
    origin.sql("TRUNCATE t");
    let mut mender = PostgresMender::new(replica.url(), false);
    // Only what was proved to be the replica's alone.
    assert_eq!(written(&mend(&mut bed, &mut mender, &rows).await), 1);
    assert_eq!(replica.sql("SELECT count(*) FROM t"), "20");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_replica_refuses_holds_up_no_other_row() {
    let Some((origin, replica)) = two_databases("refuse") else {
        return;
    };
    origin.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t SELECT n, n FROM generate_series(1, 10) n");
    replica.sql("CREATE TABLE t (id int PRIMARY KEY, v int CHECK (v <> 5))");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let rows = found(&mut bed).await;
    let mut mender = PostgresMender::new(replica.url(), false);
    let noted = mend(&mut bed, &mut mender, &rows).await;
    assert_eq!(written(&noted), 9);
    bed.check(&[("5", "missing")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_not_written() {
    let Some((origin, replica)) = two_databases("kept") else {
        return;
    };
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)");
    }
    replica.sql("UPDATE t SET v = 2");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let rows = found(&mut bed).await;
    let mut mender = PostgresMender::new(replica.url(), false);
    let mut noted = Noted {
        refuses: true,
        ..Noted::default()
    };
    let done = mend_rows(&bed.plan, &mut bed.between, &mut mender, &rows, &mut noted).await;
    assert!(done.is_err());
    assert_eq!(replica.sql("SELECT v FROM t"), "2");
    // The fence is lifted.
    replica.sql("SET lock_timeout = '1s'; UPDATE t SET v = 3");
}

fn run(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).expect("opened");
    connection.execute_batch(sql).expect(sql);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_mended_and_put_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (folder.path().join("one.db"), folder.path().join("other.db"));
    for path in [&one, &other] {
        run(
            path,
            "CREATE TABLE t (a TEXT, b INTEGER, v, u TEXT UNIQUE, PRIMARY KEY (a, b)); INSERT INTO t VALUES ('k', 1, x'00', 'p'), ('k', 2, 1.5, 'q'), ('l', 1, '1', 'r'), ('m', 1, NULL, 's')",
        );
    }
    run(
        &other,
        "DELETE FROM t; INSERT INTO t VALUES ('k', 1, '00', 'q'), ('k', 2, 1.25, 'p'), ('n', 1, 1, 'r'), ('m', 1, NULL, 's')",
    );
    let mut bed = Bed::sqlite(&one, &other, "t").await;
    let rows = found(&mut bed).await;
    assert_eq!(rows.len(), 4);
    let mut mender = SqliteMender::new(&other, false);
    let noted = mend(&mut bed, &mut mender, &rows).await;
    assert_eq!(written(&noted), 4, "{:?}", noted.rows);
    bed.check(&[]).await;
    let undo = back(&noted, &rows);
    assert_eq!(written(&mend(&mut bed, &mut mender, &undo).await), 4);
    assert_eq!(found(&mut bed).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_holds_back_every_writer_also_of_rows_that_are_not_there_and_no_reader() {
    let Some((origin, replica)) = two_databases("mend_fence") else {
        return;
    };
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, v int)");
    }
    origin.sql("INSERT INTO t VALUES (1, 1), (2, 1)");
    replica.sql("INSERT INTO t VALUES (1, 2)");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let mut mender = PostgresMender::new(replica.url(), false);
    mender.fence(&bed.plan).await.expect("the fence");
    assert_eq!(replica.sql("SELECT v FROM t"), "2");
    // What the road would do meanwhile: a delete that matches no row would be nothing, and the row would come back for ever.
    for change in [
        "DELETE FROM t WHERE id = 2",
        "INSERT INTO t VALUES (3, 1)",
        "UPDATE t SET v = 3 WHERE id = 1",
    ] {
        let held = format!("SET lock_timeout = '200ms'; {change}");
        let refused = replica.try_sql(&held).expect_err(change);
        assert!(refused.contains("lock timeout"), "{change}: {refused}");
    }
    mender.give_up().await;
    replica.sql("DELETE FROM t WHERE id = 2; UPDATE t SET v = 3 WHERE id = 1");
    let rows = found(&mut bed).await;
    let noted = mend(&mut bed, &mut mender, &rows).await;
    assert_eq!(written(&noted), 2);
    // The origin deletes a row that was mended: its record comes behind the fence and finds it.
    origin.sql("DELETE FROM t WHERE id = 2");
    replica.sql("DELETE FROM t WHERE id = 2");
    bed.check(&[]).await;
}
