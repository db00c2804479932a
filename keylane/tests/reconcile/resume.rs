//! A comparison that is interrupted goes on where it was.

use keylane::workers::reconcile::CompareError;

use super::bed::{Bed, Notes, two_databases};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_reached_is_not_read_again_and_nothing_is_counted_twice() {
    let Some((origin, replica)) = two_databases("resume") else {
        return;
    };
    for side in [&origin, &replica] {
        side.sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
        side.sql("INSERT INTO t SELECT n, repeat('x', 50) FROM generate_series(1, 120000) n");
    }
    // More than may wait for a look, so that it is told how far it is.
    replica.sql("UPDATE t SET v = 'y' WHERE id % 2 = 0");
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let mut notes = Notes {
        takes: Some(1),
        ..Notes::default()
    };
    let ended = bed.compare(&mut notes).await;
    assert_eq!(
        ended,
        Err(CompareError::NotKept("no more is kept".to_owned()))
    );
    let by_then = notes.figures.clone();
    assert!(
        by_then.different >= 50_000 && by_then.different < 60_000,
        "{by_then:?}"
    );
    assert!(notes.after.is_some());
    // What was found behind that does not count: a crash may have lost it.
    notes.findings.truncate(notes.counted);
    notes.takes = None;
    let mut bed = Bed::postgres(&origin, &replica, "t", None).await;
    let figures = bed.compare(&mut notes).await.expect("compared");
    assert_eq!((figures.different, figures.rows_origin), (60_000, 120_000));
    assert_eq!(notes.findings.len(), 60_000);
    let again = figures.chunks - by_then.chunks;
    assert!(again < figures.chunks, "{again} of {}", figures.chunks);
}
