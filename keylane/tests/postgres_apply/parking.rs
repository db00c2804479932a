//! What cannot be applied: found, parked, redriven, dropped.

use bytes::Bytes;
use keylane_core::apply::{Mode, ParkedFilter, Replica as _, WorkAction};
use keylane_core::error::ApplyErrorKind;
use keylane_core::model::{Change, Lane, Offset};

use super::bed::{Bed, LaneAt, MODES, PIPELINE, delete, insert, shape, update};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_too_long_for_its_column_is_a_misfit_and_never_cut() {
    let Some(bed) = Bed::new("apply_misfit").await else {
        return;
    };
    bed.sql(
        "CREATE DOMAIN short AS varchar(3);
         CREATE TABLE t (id int PRIMARY KEY, v varchar(3), c char(3), b bit(3), d short, n numeric(3), i int2, ck int CHECK (ck < 5), nn text NOT NULL DEFAULT 'x')",
    );
    let columns = [
        "v text",
        "c text",
        "b text",
        "d text",
        "n text",
        "i text",
        "ck integer",
        "nn text",
    ];
    for (column, value) in [
        ("v text", "secret"),
        ("c text", "secret"),
        ("b text", "10101"),
        ("d text", "secret"),
        ("n text", "12345"),
        ("i text", "99999"),
        ("i text", "secret"),
        ("ck integer", "7"),
        ("nn text", "NULL"),
    ] {
        assert!(columns.contains(&column));
        let t = shape("t", 1, &["id integer", column]);
        for mode in MODES {
            let mut lane = bed.lane(0).await;
            let batch = lane.batch(mode, &[insert(&t, 1, &["1", value])]);
            let error = match bed.session().await.apply(&batch).await {
                Err(error) => error,
                Ok(applied) => applied.failed.expect("does not fit").1,
            };
            assert_eq!(
                error.kind,
                ApplyErrorKind::Misfit,
                "{column} {mode:?}: {error}"
            );
            assert!(!error.message.contains(value) || value == "7", "{error}");
            assert!(error.message.contains("public.t"), "{error}");
            assert_eq!(bed.sql("SELECT count(*) FROM t"), "0");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn careful_keeps_what_stands_before_the_first_that_fails() {
    let Some(bed) = Bed::new("apply_careful").await else {
        return;
    };
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v varchar(3))");
    let t = shape("t", 1, &["id integer", "v text"]);
    let mut lane = bed.lane(2).await;
    let changes = [
        insert(&t, 11, &["1", "a"]),
        insert(&t, 12, &["2", "b"]),
        insert(&t, 13, &["3", "too long"]),
        insert(&t, 14, &["4", "d"]),
    ];
    let batch = lane.batch(Mode::Careful, &changes);
    let applied = bed.session().await.apply(&batch).await.expect("in part");
    let (index, error) = applied.failed.expect("one fails");
    assert_eq!((index, error.kind), (2, ApplyErrorKind::Misfit));
    assert_eq!(bed.sql("SELECT string_agg(v, '' ORDER BY id) FROM t"), "ab");
    let lane = bed.lane(2).await;
    assert_eq!((lane.next, lane.position), (Offset(2), changes[1].position));
    // A table that is not there fails in its place too.
    let gone = shape("gone", 1, &["id integer"]);
    let mut lane = lane;
    let batch = lane.batch(
        Mode::Careful,
        &[insert(&t, 15, &["5", "e"]), insert(&gone, 16, &["1"])],
    );
    let applied = bed.session().await.apply(&batch).await.expect("in part");
    let (index, error) = applied.failed.expect("one fails");
    assert_eq!((index, error.kind), (1, ApplyErrorKind::MissingObject));
    assert_eq!(bed.lane(2).await.next, Offset(3));
}

/// Parks these changes of one key, the first for its own sake.
async fn park(bed: &Bed, lane: &mut LaneAt, changes: &[Change]) -> Bytes {
    let mut actions = Vec::new();
    let mut offset = lane.next;
    for (index, change) in changes.iter().enumerate() {
        let code = if index == 0 {
            "KL-APPLY-004"
        } else {
            "KL-APPLY-011"
        };
        let entry = bed.parked(change, offset, lane.lane, code);
        actions.push((entry.key.clone(), WorkAction::Park(Box::new(entry))));
        lane.position = change.position;
        offset = offset.next();
    }
    let key = actions[0].0.clone();
    let batch = lane.batch_of(Mode::Careful, actions);
    let applied = bed.session().await.apply(&batch).await.expect("parked");
    assert_eq!(applied.failed, None);
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_key_is_listed_redriven_and_gone() {
    let Some(bed) = Bed::new("apply_park").await else {
        return;
    };
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v varchar(3), w text)");
    let t = shape("t", 1, &["id integer", "v text", "w text"]);
    let mut lane = bed.lane(1).await;
    let changes = [
        insert(&t, 1, &["1", "too long", "a"]),
        update(&t, 2, &["1", "longer", "b"]),
        update(&t, 3, &["1", "longest", "ABSENT"]),
    ];
    let key = park(&bed, &mut lane, &changes).await;
    let all = ParkedFilter::default();
    let listed = bed
        .replica
        .parked(PIPELINE, &all, 10)
        .await
        .expect("listed");
    assert_eq!(listed.len(), 1);
    let summary = &listed[0];
    assert_eq!(
        (
            summary.table.as_str(),
            summary.key.as_str(),
            summary.code.as_str(),
            summary.behind
        ),
        ("public.t", "{\"id\":1}", "KL-APPLY-004", 2)
    );
    assert_eq!((summary.attempts, summary.redriving), (1, false));

    // Asked for: the next owner reads it with the fence.
    let this = ParkedFilter {
        id: Some(summary.id),
        table: Some("public.t".to_owned()),
    };
    let touched = bed.replica.resolve_parked(PIPELINE, &this, false).await;
    assert_eq!(touched, Ok(1));
    let progress = bed.replica.progress(PIPELINE).await.expect("progress");
    assert_eq!(progress[0].parked_keys, [(Lane(1), key.clone())]);
    assert_eq!(progress[0].redrive_keys, std::slice::from_ref(&key));

    still_too_long(&bed, &mut lane.clone(), &key).await;

    // Mended: the queue is folded to its end.
    bed.sql("ALTER TABLE t ALTER COLUMN v TYPE text");
    let redrive = lane.batch_of(Mode::Folded, vec![(key, WorkAction::Redrive)]);
    bed.session().await.apply(&redrive).await.expect("redriven");
    assert_eq!(bed.sql("SELECT * FROM t"), "1|longest|b");
    assert_eq!(bed.replica.parked(PIPELINE, &all, 10).await, Ok(Vec::new()));
    assert_eq!(bed.sql("SELECT count(*) FROM keylane.parked"), "0");
}

/// It stays, with its new error, and is not asked for any more.
async fn still_too_long(bed: &Bed, lane: &mut LaneAt, key: &Bytes) {
    let redrive = lane.batch_of(Mode::Folded, vec![(key.clone(), WorkAction::Redrive)]);
    let applied = bed.session().await.apply(&redrive).await;
    assert_eq!(applied.expect_err("too long").kind, ApplyErrorKind::Misfit);
    let listed = bed
        .replica
        .parked(PIPELINE, &ParkedFilter::default(), 10)
        .await;
    let listed = listed.expect("listed");
    assert_eq!(
        (listed[0].attempts, listed[0].redriving, listed[0].behind),
        (2, false, 2)
    );
    assert!(listed[0].error.contains("22001"), "{}", listed[0].error);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_parked_keys_touches_those_asked_for_alone() {
    let Some(bed) = Bed::new("apply_discard").await else {
        return;
    };
    bed.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)");
    let (t, u) = (
        shape("t", 1, &["id integer"]),
        shape("u", 1, &["id integer"]),
    );
    let mut lane = bed.lane(1).await;
    park(
        &bed,
        &mut lane,
        &[insert(&t, 1, &["1"]), delete(&t, 2, &["1"])],
    )
    .await;
    park(&bed, &mut lane, &[insert(&t, 3, &["2"])]).await;
    park(&bed, &mut lane, &[insert(&u, 4, &["3"])]).await;
    let of_t = ParkedFilter {
        id: None,
        table: Some("public.t".to_owned()),
    };
    assert_eq!(
        bed.replica.resolve_parked("other", &of_t, true).await,
        Ok(0)
    );
    assert_eq!(
        bed.replica.resolve_parked(PIPELINE, &of_t, true).await,
        Ok(2)
    );
    let left = bed
        .replica
        .parked(PIPELINE, &ParkedFilter::default(), 10)
        .await
        .expect("listed");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].table, "public.u");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_parked_behind_a_dropped_change_is_redriven_by_itself() {
    let Some(bed) = Bed::new("apply_behind").await else {
        return;
    };
    bed.sql("CREATE TABLE t (id int PRIMARY KEY)");
    let t = shape("t", 1, &["id integer"]);
    let mut lane = bed.lane(1).await;
    let key = park(&bed, &mut lane, &[insert(&t, 1, &["1"])]).await;
    let all = ParkedFilter::default();
    let dropped = bed.replica.resolve_parked(PIPELINE, &all, true).await;
    assert_eq!(dropped, Ok(1));
    // The applier has not noticed yet.
    let behind = bed.parked(&update(&t, 2, &["1"]), lane.next, lane.lane, "KL-APPLY-011");
    let action = WorkAction::Park(Box::new(behind));
    let batch = lane.batch_of(Mode::Careful, vec![(key.clone(), action)]);
    bed.session().await.apply(&batch).await.expect("parked");
    let progress = bed.replica.progress(PIPELINE).await.expect("progress");
    assert_eq!(progress[0].redrive_keys, std::slice::from_ref(&key));
    // Once for what stands there, once for nothing.
    for _ in 0..2 {
        let redrive = lane.batch_of(Mode::Folded, vec![(key.clone(), WorkAction::Redrive)]);
        bed.session().await.apply(&redrive).await.expect("redriven");
    }
    assert_eq!(bed.sql("SELECT * FROM t"), "1");
    assert_eq!(bed.replica.parked(PIPELINE, &all, 10).await, Ok(Vec::new()));
}
